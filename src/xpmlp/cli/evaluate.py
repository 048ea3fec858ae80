"""``xpmlp evaluate``: how good a saved model is on labelled data."""

import json
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpmlp.backends import load_backend
from xpmlp.errors import DataError
from xpmlp.model.model_file import load_model
from xpmlp.training import RegressionReport, Report
from xpmlp.training import evaluate as evaluate_model

from .arguments import (
    BackendName,
    Data,
    DataDirectory,
    DeviceName,
    ModelPath,
    find_model_file,
)
from .console import WIDTH_OF_FILES, make_console, print_note
from .judged_rows import find_rows
from .progress import describe_loss
from .table_options import TABLES

MISTAKES_SHOWN = 20  # where a terminal is too narrow for all of them


def evaluate(
    model: ModelPath,
    data: Data,
    data_dir: DataDirectory = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object with loss, accuracy, per_class and confusion instead; for regression loss, r2, "
            "rmse and mae.",
        ),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The column of a table with the right answers, where it is called otherwise than in training.",
            rich_help_panel=TABLES,
        ),
    ] = None,
    backend: BackendName = "numpy",
    device: DeviceName = None,
) -> None:
    """Judge MODEL on the test rows of DATA: loss, accuracy, how well it knows each class; for numbers R² and errors.

    Of a table that the model was trained on, these are the rows that were held out; of another one, all rows.
    """
    compute = load_backend(backend, device)
    trained = load_model(find_model_file(model))
    rows = find_rows(trained, data, data_dir, target)
    try:
        judged = evaluate_model(trained, rows.split, compute)
    except DataError as error:
        raise DataError(f"{rows.name}: {error} Use a model that was trained on these classes.") from error
    for note in rows.notes:
        print_note(note)
    if as_json:
        typer.echo(json.dumps(judged.to_json()))
        return
    console = make_console()
    where = f" on {len(rows.split.x):,} {rows.which} of {rows.name}"
    if isinstance(judged, RegressionReport):
        console.print(
            Text.assemble((f"R² {judged.r2:.4f}", "bold"), f", RMSE {judged.rmse:.4g}, MAE {judged.mae:.4g}{where}")
        )
        return
    console.print(
        Text.assemble(
            (f"accuracy {100 * judged.accuracy:.2f} %", "bold"), f", loss {describe_loss(judged.loss)}{where}"
        )
    )
    print_scores(console, judged)
    print_mistakes(console, judged)


def print_scores(console: Console, judged: Report) -> None:
    """Print a table with a row for each class."""
    table = Table(title="per class", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("class", "precision", "recall", "F1", "rows"):
        table.add_column(name, justify="right")
    for score in judged.per_class:
        table.add_row(
            str(score.label), f"{score.precision:.4f}", f"{score.recall:.4f}", f"{score.f1:.4f}", f"{score.support:,}"
        )
    console.print(table)


def print_mistakes(console: Console, judged: Report) -> None:
    """Print the confusion matrix, or where it is too wide for the terminal, the commonest mistakes in it."""
    table = confusion_table(judged)
    unbounded = console.options.update(max_width=WIDTH_OF_FILES)
    if console.measure(table, options=unbounded).maximum > console.width:
        table = commonest_mistakes(judged)
    console.print(table)


def confusion_table(judged: Report) -> Table:
    """Return the confusion matrix, mistakes marked."""
    table = Table(
        title="true class (down), taken for (across)", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0)
    )
    table.add_column("", justify="right", style="bold")
    for score in judged.per_class:
        table.add_column(f" {score.label}", justify="right")
    for index, score in enumerate(judged.per_class):
        cells = [
            "·" if count == 0 else str(count) if index == column else Text(str(count), style="red")
            for column, count in enumerate(judged.confusion[index].tolist())
        ]
        table.add_row(str(score.label), *cells)
    return table


def commonest_mistakes(judged: Report) -> Table:
    """Return the largest entries of the confusion matrix beside its diagonal."""
    names = [str(score.label) for score in judged.per_class]
    mistakes = judged.confusion * (1 - np.eye(len(names), dtype=np.int64))
    largest = np.argsort(-mistakes, axis=None, kind="stable")[:MISTAKES_SHOWN]
    table = Table(title="the commonest mistakes", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("true class", "taken for", "rows"):
        table.add_column(name, justify="right")
    for row, column in zip(*np.unravel_index(largest, mistakes.shape), strict=True):
        if mistakes[row, column]:
            table.add_row(names[row], names[column], f"{mistakes[row, column]:,}")
    return table
