"""``xpmlp bench``: which array library trains a network fastest here."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpmlp.backends import BACKENDS, usable_backends
from xpmlp.bench import (
    BenchSettings,
    Results,
    Workload,
    backend_candidate,
    compare_results,
    load_results,
    make_workload,
    parse_sweep,
    prepare_folder,
    run_benchmark,
    save_results,
    synthetic_workload,
)
from xpmlp.bench.compare import differences, doubts
from xpmlp.bench.report import COLUMNS, describe_case, describe_load, describe_threads, table_rows, warnings_of
from xpmlp.bench.worker import share_gpus
from xpmlp.datasets.load import load_by_options
from xpmlp.datasets.tables import TableOptions
from xpmlp.errors import SettingsError, XpmlpError

from .arguments import DataDirectory
from .console import make_console, print_error, print_note, writes_to_terminal
from .table_options import (
    Categories,
    Exclude,
    Features,
    MissingValues,
    Scale,
    Target,
    TaskName,
    TestFile,
    TestFraction,
    collect_options,
)
from .train import parse_sizes

INTERRUPTED = 130
SYNTHETIC = "synthetic"


def bench(
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:DEVICE]",
            help=f"{', '.join(BACKENDS)}, or with a device: torch:cuda. Repeat it for several; by default all that "
            "work here.",
        ),
    ] = None,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="synthetic (random rows of MNIST's shape), or what train takes.")
    ] = SYNTHETIC,
    hidden: Annotated[str, typer.Option(metavar="SIZES", help="Units of each hidden layer: 128, or 256,128.")] = "128",
    batch_size: Annotated[int, typer.Option(metavar="ROWS", help="Rows of a step.")] = 128,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="float32 or float64.")] = "float32",
    rows: Annotated[int | None, typer.Option(metavar="NUMBER", help="Rows of an epoch; by default the data's.")] = None,
    rounds: Annotated[int, typer.Option(metavar="NUMBER", help="Epochs of each that are timed.")] = 7,
    sweep: Annotated[
        str | None,
        typer.Option(metavar="SETTING=VALUES", help="batch-size=32,128,512, or hidden=…, depth=…, rows=…"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write results.json, results.md and pictures there."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the results that are in the folder.")] = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="OLD NEW", help="Measure nothing: say what differs between two results.json."),
    ] = None,
    target: Target = None,
    features: Features = None,
    exclude: Exclude = None,
    categories: Categories = None,
    test: TestFile = None,
    test_fraction: TestFraction = None,
    missing: MissingValues = "refuse",
    scale: Scale = None,
    task: TaskName = None,
    data_dir: DataDirectory = None,
) -> None:
    """Time training epochs of one network on each array library, in turn."""
    console = make_console()
    if compare is not None:
        print_changes(console, load_results(compare[0]), load_results(compare[1]))
        return
    share_gpus()  # before this process looks what there is
    names = check_backends(backend or usable_backends())
    settings = BenchSettings(
        hidden_layer_sizes=parse_sizes(hidden), batch_size=batch_size, dtype=dtype, rows=rows, rounds=rounds
    )
    swept = None if sweep is None else parse_sweep(sweep)
    options = collect_options(
        target=target,
        features=features,
        exclude=exclude,
        categories=categories,
        test=test,
        test_fraction=test_fraction,
        missing=missing,
        scale=scale,
        task=task,
    )
    if output is not None:
        prepare_folder(output, force=force)
    workload = find_workload(data, data_dir, options)
    with showing_progress(console) as progress:
        candidates = [backend_candidate(name) for name in names]
        results = run_benchmark(candidates, workload, settings, swept, progress=progress, warn=print_note)
    print_results(console, results)
    if output is not None and any(case.timed for case in results.cases):
        console.print(f"saved in {output}: {', '.join(save_results(results, output))}")
    if any(case.interrupted for case in results.cases) or not results.cases:
        if not any(case.timed for case in results.cases):
            print_error("Interrupted before anything was measured; nothing is saved.")
        raise typer.Exit(INTERRUPTED)
    if not any(case.timed for case in results.cases):
        raise XpmlpError("Nothing could be measured; the table says why.")


def check_backends(names: list[str]) -> list[str]:
    """Refuse a name that is no backend's."""
    for name in names:
        if name.partition(":")[0] not in BACKENDS:
            raise SettingsError(f"--backend: {name!r} is not one of {', '.join(BACKENDS)}.")
    return list(dict.fromkeys(names))


def find_workload(data: str, data_dir: Path | None, options: TableOptions) -> Workload:
    """Return the rows to train on."""
    if data != SYNTHETIC:
        return make_workload(load_by_options(data, data_dir, options))
    if options.given:
        raise SettingsError(f"{data}: is no table, so {', '.join(options.given)} cannot be used. Leave it out.")
    return synthetic_workload()


@contextlib.contextmanager
def showing_progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Show what goes on, where someone looks at a screen."""
    if not writes_to_terminal(console):
        yield lambda line: None
        return
    with console.status("starting") as status:
        yield lambda line: status.update(Text(line))


def print_results(console: Console, results: Results) -> None:
    """Print a table for each case, warnings, and the threads used."""
    for case in results.cases:
        if case.measurements:
            print_table(console, describe_case(case), ["", *COLUMNS], table_rows(case))
        for warning in warnings_of(case):
            print_note(warning)
    threads, load = describe_threads(results), describe_load(results.machine)
    if threads is not None:
        console.print(threads)
    if load is not None:
        print_note(load)


def print_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, names on the left and figures on the right."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_changes(console: Console, old: Results, new: Results) -> None:
    """Print what became faster or slower."""
    changes = compare_results(old, new)
    if not changes:
        raise SettingsError("--compare: the two results have nothing in common: no backend with the same settings.")
    table = Table(box=box.SIMPLE_HEAD)
    for index, name in enumerate(("", "backend", "old", "new", "ratio", "")):
        table.add_column(name, justify="right" if 2 <= index <= 4 else "left", overflow="fold")
    for change in changes:
        verdict = Text("within noise", "dim")
        if change.is_significant:
            percent = f" by {100 * abs(change.ratio - 1.0):.0f} %"
            verdict = Text(f"slower{percent}", "red") if change.ratio > 1.0 else Text(f"faster{percent}", "green")
        table.add_row(
            change.case, change.name, f"{change.old:.4g} s", f"{change.new:.4g} s", f"{change.ratio:.3f}", verdict
        )
    console.print(table)
    for difference in [*differences(old, new), *doubts(old, new)]:
        print_note(difference)
