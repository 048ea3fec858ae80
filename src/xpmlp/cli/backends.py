"""``xpmlp backends``: which array libraries and devices can be used here."""

import json
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from xpmlp.backends import BackendStatus, check_backends
from xpmlp.backends.survey import Trial
from xpmlp.data.placement import format_bytes

from .console import make_console


def backends(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with an object for each instead.")] = False,
) -> None:
    """Show each array library: whether it is installed, its devices, and whether a small training comes out right."""
    statuses = check_backends()
    if as_json:
        typer.echo(json.dumps([status.to_json() for status in statuses], indent=2))
        return
    console = make_console()
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("backend", "version", "--device", "", "memory", "products by", "small training"):
        table.add_column(name, overflow="fold")
    for status in statuses:
        for row in rows_of(status):
            table.add_row(*row)
    console.print(table)
    for status in statuses:
        if status.install is not None:
            console.print(Text.assemble((status.name, "bold"), f" is not installed: {status.install}"))
        for problem in [status.problem, *(trial.problem for trial in status.trials)]:
            if problem is not None:
                console.print(Text.assemble((status.name, "bold"), ": ", (problem, "red")))


def rows_of(status: BackendStatus) -> list[tuple[str | Text, ...]]:
    """Return a table row for each device of a backend, one where it has none."""
    if not status.trials:
        state = Text("not installed", "dim") if status.install is not None else Text("cannot be used", "red")
        return [(status.name, status.version or "", "", "", "", "", state)]
    return [
        (
            status.name if first else "",
            (status.version or "") if first else "",
            trial.device.name,
            trial.device.description,
            describe_memory(trial),
            (status.linear_algebra or "") if first else "",
            describe_trial(trial),
        )
        for first, trial in zip([True] + [False] * len(status.trials), status.trials, strict=False)
    ]


def describe_memory(trial: Trial) -> str:
    """Return a device's memory in words; nothing where it shares the host's."""
    if trial.device.total_memory is None:
        return ""
    free = "" if trial.device.free_memory is None else f", {format_bytes(trial.device.free_memory)} free"
    return f"{format_bytes(trial.device.total_memory)}{free}"


def describe_trial(trial: Trial) -> Text:
    """Say whether training on a device gave NumPy's weights."""
    if trial.problem is not None:
        return Text("failed", "red")
    return Text("as NumPy" if trial.difference else "ok", "green")
