"""``xpmlp inspect``: a look at data before training on it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from xpmlp.datasets.tables import TASKS, TableOptions
from xpmlp.errors import OutputError
from xpmlp.inspection import html_report, inspect_table, open_data
from xpmlp.whole_files import write_whole

from .arguments import Data, DataDirectory
from .console import make_console
from .inspect_screen import print_inspection


def inspect(
    data: Data,
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column to predict; by default one named label, target, class or y."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"{' or '.join(TASKS)}; by default told by the target's values."),
    ] = None,
    data_dir: DataDirectory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with everything instead.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write everything into one page for a browser, with pictures."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace that file if it exists.")] = False,
) -> None:
    """Look at DATA: its first rows, each column in numbers, missing values, classes, duplicates."""
    if html is not None and html.exists() and not force:
        raise OutputError(f"{html}: exists already. Choose another name, or give --force to replace it.")
    options = TableOptions.parse(target=target, task=task)
    table = open_data(data, data_dir)
    inspection = inspect_table(table, target=options.target, task=options.task)
    if html is not None:
        write_whole(html, html_report(inspection, table).encode())
    if as_json:
        typer.echo(json.dumps(inspection.to_json()))
        return
    console = make_console()
    print_inspection(console, inspection)
    if html is not None:
        console.print(f"written to {html}")
