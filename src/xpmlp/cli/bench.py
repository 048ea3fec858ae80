"""``xpmlp bench``: how fast each array library trains a network here."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from xpmlp.backends import BACKENDS, usable_backends
from xpmlp.bench import (
    BenchSettings,
    Results,
    Workload,
    backend_candidate,
    load_results,
    make_workload,
    parse_sweep,
    report,
    run_benchmark,
    synthetic_workload,
)
from xpmlp.bench.worker import share_gpus
from xpmlp.datasets import TableOptions
from xpmlp.datasets.load import load_by_options
from xpmlp.errors import SettingsError, XpmlpError
from xpmlp.training.recipes import parse_sizes

from . import options
from .console import make_console, make_table, print_error, print_notes, writes_to_terminal
from .options import declare, flag, option

SYNTHETIC = "synthetic"


NETWORK_OPTIONS: options.Group = {
    "hidden": declare(str, "SIZES", "Units in each hidden layer: 128, or 256,128, or none.", default="128"),
    "batch_size": declare(int, "ROWS", "Rows per step.", default=128),
    "dtype": declare(str, "NAME", "float32 or float64.", default="float32"),
    "rows": declare(int, "N", "Rows per epoch; by default all rows of DATA."),
    "rounds": declare(int, "N", "Timed epochs per library.", default=7),
}
Folder: Any = options.output_folder("Write results.json, results.md and figures there.")


@options.grouped(network=NETWORK_OPTIONS, table=options.TABLE_OPTIONS)
def bench(
    backend: Annotated[
        list[str] | None,
        option(
            "NAME[:DEVICE]",
            f"{', '.join(BACKENDS)}, or with a device: torch:cuda. Repeat for several; by default all that work here.",
        ),
    ] = None,
    data: Annotated[str, option("DATA", "synthetic (random rows of MNIST's shape), or any DATA of train.")] = SYNTHETIC,
    network: Any = None,
    sweep: Annotated[
        str | None, option("SETTING=VALUES", "batch-size=32,128,512, or hidden=…, depth=…, rows=…")
    ] = None,
    output: Folder = None,
    force: Annotated[bool, flag("--force", "Replace the results in that folder.")] = False,
    compare: Annotated[
        tuple[Path, Path] | None, option("OLD NEW", "Compare two results.json files instead of measuring.")
    ] = None,
    data_dir: options.DataDirectory = None,
    table: Any = None,
) -> None:
    """Compare how fast each array library trains a network here.

    Epochs of the same network are timed on each library in turn.
    """
    console = make_console()
    if compare is not None:
        print_changes(console, load_results(compare[0]), load_results(compare[1]))
        return
    share_gpus()  # before this process uses a GPU
    names = list(dict.fromkeys(backend or usable_backends()))
    for name in names:
        if name.partition(":")[0] not in BACKENDS:
            raise SettingsError(f"--backend: {name!r} is not one of {', '.join(BACKENDS)}.")
    with options.named_as_options("batch size", "dtype", "rows", "rounds"):
        settings = BenchSettings(parse_sizes(network.pop("hidden")), **network)
    swept = None if sweep is None else parse_sweep(sweep)
    given = options.collect_table_options(table)
    if output is not None:
        options.prepare_folder(output, report.FILES, force=force)
    workload = load_workload(data, data_dir, given)
    status = console.status("starting")
    with status if writes_to_terminal(console) else contextlib.nullcontext():
        candidates = [backend_candidate(name) for name in names]
        results = run_benchmark(
            candidates, workload, settings, swept, progress=lambda line: status.update(Text(line)), warn=print_notes
        )
    print_results(console, results)
    is_timed = any(case.timed for case in results.cases)
    if output is not None and is_timed:
        console.print(f"saved in {output}: {', '.join(report.save_results(results, output))}")
    if any(case.interrupted for case in results.cases) or not results.cases:
        if not is_timed:
            print_error("Interrupted before anything was measured; nothing is saved.")
        raise typer.Exit(options.INTERRUPTED)
    if not is_timed:
        raise XpmlpError("Nothing could be measured; the table says why.")


def load_workload(data: str, data_dir: Path | None, given: TableOptions) -> Workload:
    """Return the rows to train on."""
    if data != SYNTHETIC:
        return make_workload(load_by_options(data, data_dir, given))
    if given.given:
        raise SettingsError(f"{data}: is not a table, so {', '.join(given.given)} cannot be used. Leave it out.")
    return synthetic_workload()


def print_results(console: Console, results: Results) -> None:
    """Print a table for each case, warnings, and the threads used."""
    for case in results.cases:
        if case.measurements:
            table = make_table(report.describe_case(case), "", *report.COLUMNS)
            for row in report.table_rows(case):
                table.add_row(*row)
            console.print(table)
        print_notes(*report.warnings_of(case))
    threads, load = report.describe_threads(results), report.describe_load(results.machine)
    if threads:
        console.print(threads)
    if load:
        print_notes(load)


def print_changes(console: Console, old: Results, new: Results) -> None:
    """Print what became faster or slower."""
    changes = report.compare_results(old, new)
    if not changes:
        raise SettingsError("--compare: the two results have nothing in common: no backend with the same settings.")
    table = make_table("", "", "backend", "old", "new", "ratio", "", left=2)
    table.columns[-1].justify = "left"
    for change in changes:
        verdict = Text("within noise", "dim")
        if change.is_significant:
            percent = f" by {100 * abs(change.ratio - 1.0):.0f} %"
            verdict = Text(f"slower{percent}", "red") if change.ratio > 1.0 else Text(f"faster{percent}", "green")
        table.add_row(
            change.case, change.name, f"{change.old:.4g} s", f"{change.new:.4g} s", f"{change.ratio:.3f}", verdict
        )
    console.print(table)
    print_notes(*report.differences(old, new), *report.doubts(old, new))
