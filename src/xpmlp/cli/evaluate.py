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
from xpmlp.datasets import Dataset, Split, load_dataset
from xpmlp.errors import DataError
from xpmlp.model import Model
from xpmlp.model_file import load_model
from xpmlp.training import Report, report

from .arguments import (
    BackendName,
    Data,
    DataDirectory,
    DeviceName,
    ModelPath,
    find_model_file,
    note_if_scaled_otherwise,
)
from .console import WIDTH_OF_FILES, make_console, print_note
from .progress import describe_loss

MISTAKES_SHOWN = 20  # where a terminal is too narrow for all of them


def evaluate(
    model: ModelPath,
    data: Data,
    data_dir: DataDirectory = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object with loss, accuracy, per_class and confusion instead."),
    ] = False,
    backend: BackendName = "numpy",
    device: DeviceName = None,
) -> None:
    """Judge MODEL on the test rows of DATA: loss, accuracy, and how well it knows each class."""
    compute = load_backend(backend, device)
    trained = load_model(find_model_file(model))
    dataset = load_dataset(data, data_dir=data_dir)
    split = scale_for(trained, dataset)
    try:
        judged = report(trained, split, compute)
    except DataError as error:
        raise DataError(f"{dataset.name}: {error} Use a model that was trained on these classes.") from error
    for note in dataset.notes:
        print_note(note)
    if as_json:
        typer.echo(json.dumps(judged.to_json()))
        return
    console = make_console()
    console.print(
        Text.assemble(
            (f"accuracy {100 * judged.accuracy:.2f} %", "bold"),
            f", loss {describe_loss(judged.loss)} on {len(dataset.test.x):,} test rows of {dataset.name}",
        )
    )
    print_scores(console, judged)
    print_mistakes(console, judged)


def scale_for(model: Model, dataset: Dataset) -> Split:
    """Return the test rows, scaled as the model's own training data were.

    Raises
    ------
    DataError
        Where the rows have another shape than the model was trained on.
    """
    if dataset.input_shape != model.input_shape:
        shapes = [" × ".join(map(str, shape)) for shape in (dataset.input_shape, model.input_shape)]
        raise DataError(
            f"{dataset.name}: its rows have the shape {shapes[0]}, but the model was trained on {shapes[1]}. "
            "Use a model trained on data of this shape."
        )
    x, labels = dataset.test.x, dataset.test.labels
    if dataset.input_scale != model.input_scale:
        x = (x * (dataset.input_scale / model.input_scale)).astype(x.dtype)
        note_if_scaled_otherwise(x, model, what=dataset.name)
    return Split(x, labels)


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
