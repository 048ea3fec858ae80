"""``xpmlp evaluate``: how good a saved model is on labelled data."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from xpmlp import training
from xpmlp.backends import load_backend
from xpmlp.errors import DataError
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model
from xpmlp.nn.loss_names import LossName
from xpmlp.training.baseline import describe_baselines, linear_score
from xpmlp.training.evaluation import evaluate_blocks
from xpmlp.training.evaluation_rows import find_large_rows, find_recorded_data, find_rows
from xpmlp.training.progress import describe_loss, describe_number

from . import options
from .console import make_console, make_table, print_first_that_fits, print_notes

MISTAKES_SHOWN = 20  # if the terminal is too narrow for the confusion matrix


@options.grouped(table=options.READING_OPTIONS, compute=options.STREAMING_OPTIONS)
def evaluate(
    model: options.ModelPath,
    data: options.RecordedData = None,
    data_dir: options.DataDirectory = None,
    as_json: Annotated[
        bool,
        options.flag(
            "--json",
            "Print one JSON object instead: loss, accuracy, per_class, confusion and more, or loss, r2, rmse and mae; "
            "and the scores of simple models.",
        ),
    ] = False,
    target: options.TargetName = None,
    table: Any = None,
    compute: Any = None,
) -> None:
    """Evaluate MODEL on the test rows of DATA.

    Prints accuracy, loss, scores per class and the confusion matrix, or R² and errors for regression; for comparison,
    how good a constant prediction is and, if it is quick, a linear model. If MODEL was trained on a part of the table,
    the rows held out are used; otherwise all rows of a table are.
    """
    backend, memory = load_backend(compute["backend"], compute["device"]), compute["memory"]
    trained = load_model(model)
    if data is None:
        data, data_dir = find_recorded_data(trained, data_dir)
    given = options.collect_table_options(table)
    rows = find_large_rows(trained, data, memory, target, given)
    rows = rows or find_rows(trained, data, data_dir, target, given, memory)
    try:
        if rows.blocks is None:
            report = training.evaluate(trained, rows.split, backend=backend, prepared=True)
        else:
            report = evaluate_blocks(trained, rows.blocks, backend)
    except DataError as error:
        if str(error).startswith(f"{rows.name}: "):
            raise
        raise DataError(f"{rows.name}: {error} Use a model that was trained on these classes.") from error
    linear = None
    with contextlib.suppress(DataError):  # the training rows may have values that the model does not take
        if rows.load_train is not None and trained.task in ("multiclass", "binary", "regression"):
            linear = linear_score(rows.load_train(), rows.split, trained.classes)
    where = f" on {rows.total or rows.split.rows:,} {rows.which} of {rows.name}"
    print_report(trained, report, (*rows.facts, *rows.notes), linear, where, as_json=as_json)


def print_report(
    trained: Model,
    report: training.Report | training.RegressionReport,
    notes: Iterable[str],
    linear: float | None,
    where: str,
    *,
    as_json: bool,
) -> None:
    """Print notes, and an evaluation of rows that are described by `where`."""
    print_notes(*notes)
    if as_json:
        typer.echo(json.dumps(report.to_json() | {"linear_model": linear}))
        return
    console = make_console()
    if isinstance(report, training.RegressionReport):
        score = f"R² {report.r2:.4f}"
        errors = f", RMSE {describe_number(report.rmse)}, MAE {describe_number(report.mae)}{where}"
        if report.coverage is not None:
            low, *_, high = LossName.parse(trained.loss).levels
            inside = (
                f"{100 * report.coverage:.1f} % of the targets lie inside the predicted quantiles {low:g} to {high:g}"
            )
            errors += f"; {inside}"
        console.print(Text.assemble((score, "bold"), errors))
        console.print(describe_baselines(report, linear))
        return
    score = f"accuracy {100 * report.accuracy:.2f} %"
    others = f", balanced accuracy {100 * report.balanced_accuracy:.2f} %"
    others += "" if report.roc_auc is None else f", ROC AUC {report.roc_auc:.4f}"
    console.print(Text.assemble((score, "bold"), f"{others}, loss {describe_loss(report.loss)}{where}"))
    console.print(describe_baselines(report, linear))
    table = make_table("scores per class", "class", "precision", "recall", "F1", "rows", left=0)
    for each in report.per_class:
        cells = (f"{value:.4f}" for value in (each.precision, each.recall, each.f1))
        table.add_row(str(each.label), *cells, f"{each.support:,}")
    console.print(table)
    print_first_that_fits(console, mistake_tables(report))


def mistake_tables(report: training.Report) -> Iterator[Table]:
    """Yield the confusion matrix, and the most common mistakes, in case it is too wide for the terminal."""
    names = [str(score.label) for score in report.per_class]
    table = make_table("true class (rows), predicted class (columns)", "", *(f" {name}" for name in names), left=0)
    table.padding = (0, 0, 0, 0)
    table.columns[0].style = "bold"
    for heading in table.columns:
        heading.no_wrap = True
    for index, name in enumerate(names):
        cells = [
            "·" if count == 0 else str(count) if index == column else Text(str(count), style="red")
            for column, count in enumerate(report.confusion[index].tolist())
        ]
        table.add_row(name, *cells)
    yield table
    mistakes = report.confusion * (1 - np.eye(len(names), dtype=np.int64))
    largest = np.argsort(-mistakes, axis=None, kind="stable")[:MISTAKES_SHOWN]
    table = make_table("most common mistakes", "true class", "predicted", "rows", left=0)
    for row, column in zip(*np.unravel_index(largest, mistakes.shape), strict=True):
        if mistakes[row, column]:
            table.add_row(names[row], names[column], f"{mistakes[row, column]:,}")
    yield table
