"""``xpmlp backends``: the array libraries and devices that work here."""

import json
from typing import Annotated

import typer
from rich.text import Text

from xpmlp.backends import BackendStatus, check_backends
from xpmlp.datasets.memory import format_bytes

from . import options
from .console import make_console, make_table


def backends(
    as_json: Annotated[
        bool, options.flag("--json", "Print a JSON list instead, with an object for each library.")
    ] = False,
) -> None:
    """List the array libraries and devices that work here.

    On each device a small network is trained and compared with NumPy's.
    """
    statuses = check_backends()
    if as_json:
        typer.echo(json.dumps([status.to_json() for status in statuses], indent=2))
        return
    console = make_console()
    headings = ("backend", "version", "--device", "", "memory", "matrix products", "training")
    table = make_table("", *headings, left=len(headings))
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
    """Return a table row for each device of a library, or one if it has none."""
    name, version = status.name, status.version or ""
    if not status.trials:
        state = Text("not installed", "dim") if status.install is not None else Text("does not work", "red")
        return [(name, version, "", "", "", "", state)]
    rows: list[tuple[str | Text, ...]] = []
    products = status.linear_algebra or ""
    for trial in status.trials:
        device, memory, outcome = trial.device, "", Text("as NumPy" if trial.difference else "ok", "green")
        if device.total_memory is not None:  # a GPU's own
            free = "" if device.free_memory is None else f", {format_bytes(device.free_memory)} free"
            memory = f"{format_bytes(device.total_memory)}{free}"
        if trial.problem is not None:
            outcome = Text("failed", "red")
        rows.append((name, version, device.name, device.description, memory, products, outcome))
        name = version = products = ""  # only in the library's first row
    return rows
