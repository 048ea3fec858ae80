"""A table of any format, before it is decided what its columns are for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from xpmlp.errors import DataError
from xpmlp.optional_imports import import_optional

# Of at most 8 bytes each: bounds the memory that a table takes beside the arrays that it becomes.
CELLS_AT_A_TIME = 2_000_000


def import_polars() -> Any:
    """Import Polars, or say how to install it."""
    return import_optional("polars", extra="cli", purpose="Reading tables")


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of equal length.

    Attributes
    ----------
    name
        What messages call it: its path as it was given.
    frame
        A Polars LazyFrame; of a file that can be read in parts, no more than what is asked for is read.
    schema
        Each column's Polars type, in the columns' order.
    rows
        How many there are.
    notes
        What the user should know about how it was read.
    find_line
        Tells in which line of a text file a row, counted from 0, stands; None where there are no lines.
    row_shape
        The shape that a row's features had before they became columns; None where they always were columns.
    """

    name: str
    frame: Any
    schema: dict[str, Any]
    rows: int
    notes: tuple[str, ...] = ()
    find_line: Callable[[int], int | None] | None = None
    row_shape: tuple[int, ...] | None = None

    def place(self, row: int) -> str:
        """Return where a row is found, counted from 1 as people do: ``"row 17 (line 18)"``."""
        line = None if self.find_line is None else self.find_line(row)
        return f"row {row + 1:,}" if line is None else f"row {row + 1:,} (line {line:,})"

    def column(self, name: str) -> Any:
        """Return one column as a Polars Series."""
        return self.frame.select(name).collect()[name]

    def column_groups(self, names: list[str]) -> Iterator[Any]:
        """Yield the columns as DataFrames of all rows and some columns each, as many as fit in a little memory."""
        size = max(1, CELLS_AT_A_TIME // max(1, self.rows))
        for start in range(0, len(names), size):
            yield self.frame.select(names[start : start + size]).collect()

    def row_blocks(self, names: list[str]) -> Iterator[tuple[int, Any]]:
        """Yield the first row of each block and the block, a DataFrame of some rows and these columns."""
        size = max(256, CELLS_AT_A_TIME // max(1, len(names)))
        selected = self.frame.select(names)
        for start in range(0, self.rows, size):
            yield start, selected.slice(start, size).collect()


def is_missing(polars: Any, name: str, dtype: Any) -> Any:
    """Return the expression that is true where a column has no value: nothing at all, or NaN."""
    column = polars.col(name)
    return column.is_null() | column.is_nan() if dtype.is_float() else column.is_null()


def missing_counts(table: Table, names: list[str]) -> dict[str, int]:
    """Return how many values each of the columns lacks; columns that lack none are left out."""
    polars = import_polars()
    counts: dict[str, int] = {}
    for group in table.column_groups(names):
        found = group.select(is_missing(polars, name, table.schema[name]).sum() for name in group.columns)
        counts |= {name: count for name, count in found.row(0, named=True).items() if count}
    return counts


def rows_with_missing(table: Table, names: list[str]) -> Bool[np.ndarray, " rows"]:
    """Tell of each row whether it lacks a value in one of the columns."""
    polars = import_polars()
    lacking = np.zeros(table.rows, dtype=np.bool_)
    for group in table.column_groups(names):
        lacks = polars.any_horizontal([is_missing(polars, name, table.schema[name]) for name in group.columns])
        lacking |= group.select(lacks.alias("lacks"))["lacks"].to_numpy()
    return lacking


def refuse_missing(table: Table, counts: dict[str, int], remedy: str) -> None:
    """Refuse missing values, naming how many there are and where the first is.

    Raises
    ------
    DataError
        Where there are any.
    """
    if not counts:
        return
    name, count = next(iter(counts.items()))
    row = int(np.argmax(rows_with_missing(table, [name])))
    others = f", and {len(counts) - 1:,} more columns lack some" if len(counts) > 1 else ""
    raise DataError(
        f"{table.name}: {count:,} of {table.rows:,} rows have no value in column {name!r}, the first of them "
        f"{table.place(row)}{others}. {remedy}"
    )
