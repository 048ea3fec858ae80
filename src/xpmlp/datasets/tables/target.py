"""The values to be predicted: classes or numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError

from .choosing import is_text, refuse_text_among_numbers
from .options import TableOptions, Task
from .table import Table, import_polars

# Whole numbers are taken for classes where there are at most so many, each in at least so many rows on average.
MOST_CLASSES = 100
ROWS_A_CLASS = 10


@dataclass(frozen=True, eq=False)
class Target:
    """A column to predict.

    Attributes
    ----------
    name
        The column's.
    task
        Whether its values are classes or numbers.
    values
        One a row: integers or texts where they are classes, float64 where they are numbers; of no use where missing.
    missing
        Which rows have none.
    note
        What to say where the task was guessed.
    """

    name: str
    task: Task
    values: Shaped[np.ndarray, " rows"]
    missing: Shaped[np.ndarray, " rows"]
    note: str | None = None


def read_target(table: Table, name: str, options: TableOptions) -> Target:
    """Read a table's target, and tell what to learn where it was not said.

    Raises
    ------
    DataError
        Where its values can be neither classes nor numbers.
    """
    polars = import_polars()
    series, dtype = table.column(name), table.schema[name]
    if is_text(polars, dtype) or dtype == polars.Boolean:
        series = series.cast(polars.String)
        missing = series.is_null().to_numpy()
        if options.task == "regression":
            remedy = "Correct the cell, or learn classes with --task classification."
            refuse_text_among_numbers(table, name, series, remedy=remedy)
            raise DataError(f"{table.name}: the target {name!r} is text, which no regression can predict. {remedy}")
        if options.task is None:
            remedy = "Correct the cell, or say --task classification where these are classes."
            refuse_text_among_numbers(table, name, series, remedy=remedy)
        values = np.asarray(series.fill_null("").to_list(), dtype=np.str_)
        return Target(name, "classification", values, missing)
    if not dtype.is_numeric():
        raise DataError(f"{table.name}: the target {name!r} is of type {dtype}, neither numbers nor classes.")
    if dtype.is_integer() and dtype not in (polars.Int128, polars.UInt64):
        missing = series.is_null().to_numpy()
        whole = series.fill_null(0).cast(polars.Int64).to_numpy()
    else:
        numbers = series.cast(polars.Float64).fill_null(np.nan).to_numpy()
        missing = np.isnan(numbers)
        refuse_infinite(table, name, numbers)
        present = np.where(missing, 0.0, numbers)
        is_whole = bool(np.all((np.abs(present) <= 2**53) & (np.trunc(present) == present)))
        if not is_whole and options.task == "classification":
            raise DataError(
                f"{table.name}: the target {name!r} has fractions, such as {fraction(present)!r}, which are no "
                "classes. Say --task regression, or name the classes with whole numbers or texts."
            )
        if not is_whole:
            return Target(name, "regression", numbers, missing)
        whole = present.astype(np.int64)
    return whole_target(name, whole, missing, options.task)


def whole_target(name: str, whole: Any, missing: Any, task: Task | None) -> Target:
    """Return a target of whole numbers, which may be classes or amounts."""
    note = None
    if task is None:
        distinct = len(np.unique(whole[~missing]))
        is_class = distinct <= MOST_CLASSES and distinct * ROWS_A_CLASS <= np.count_nonzero(~missing)
        task = "classification" if is_class else "regression"
        other = "regression" if is_class else "classification"
        note = (
            f"{name!r} holds {distinct:,} different whole numbers, taken for {task}; --task {other} decides otherwise"
        )
    return Target(name, task, whole if task == "classification" else whole.astype(np.float64), missing, note)


def refuse_infinite(table: Table, name: str, numbers: Any) -> None:
    """Refuse targets that no network can reach."""
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise DataError(f"{table.name}: {table.place(row)}, column {name!r}: the target is infinite. Correct it.")


def fraction(numbers: Any) -> float:
    """Return the first number that is not whole."""
    return float(numbers[np.trunc(numbers) != numbers][0])


def classes_of(labels: Shaped[np.ndarray, " rows"]) -> tuple[int | str, ...]:
    """Return the different labels in order."""
    return tuple(np.unique(labels).tolist())
