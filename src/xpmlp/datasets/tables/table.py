"""A table of any format. All reading by Polars goes through here, so that its errors become `DataError`."""

import functools
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from jaxtyping import Bool, Shaped

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Reading
from xpmlp.optional_imports import import_optional

from ..dataset import listing

# Of at most 8 bytes each: bounds the memory that a table needs besides the arrays made from it.
CELLS_AT_A_TIME = 2_000_000

STANDARD_ERROR = threading.RLock()

P = ParamSpec("P")
T = TypeVar("T")
ColumnType = Literal["number", "boolean", "text", "date", "other"]


def import_polars() -> Any:
    """Import Polars, or say how to install it."""
    return import_optional("polars", extra="cli", purpose="Reading tables")


@contextmanager
def polars_errors(what: str, remedy: str = "Is the file whole?") -> Iterator[None]:
    """Turn every error of Polars, panics included, into a `DataError`; `what` begins the message."""
    polars = import_polars()
    try:
        yield
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{what} ({reason}). {remedy}") from error


@contextmanager
def silent_panics() -> Iterator[None]:
    """Keep Polars' threads from printing a panic, which is raised as well; other output appears afterwards."""
    with STANDARD_ERROR, tempfile.TemporaryFile() as scratch:
        try:
            original = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        os.dup2(scratch.fileno(), 2)
        is_panic = True
        try:
            yield
            is_panic = False
        finally:
            os.dup2(original, 2)
            scratch.seek(0)
            if not is_panic and (printed := scratch.read()):
                os.write(2, printed)
            os.close(original)


def reports_polars_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors of Polars in a function whose first argument is a table, a name or a path."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        name = args[0] if isinstance(args[0], str | Path) else getattr(args[0], "name", args[0])
        with polars_errors(f"{name}: cannot be used as a table"):
            return function(*args, **kwargs)

    return wrapper


def column_type(dtype: Any) -> ColumnType:
    """Return what a Polars type holds."""
    polars = import_polars()
    if dtype == polars.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "number"
    if dtype in (polars.Date, polars.Datetime, polars.Time):
        return "date"
    return "text" if dtype in (polars.String, polars.Categorical, polars.Enum) else "other"


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of equal length."""

    name: str  # the path as it was given, for messages
    frame: Any  # a Polars LazyFrame: of Parquet and Arrow files, only the columns and rows that are used are read
    schema: dict[str, Any]  # each column's Polars type, in the columns' order
    rows: int
    notes: tuple[str, ...] = ()  # for the user, on how the file was read
    find_line: Callable[[int], int | None] | None = None  # the line of a text file in which a row, from 0, starts
    row_shape: tuple[int, ...] | None = None  # of a row's features before they became columns
    reading: Reading | None = None  # how a text file was read; None if in the usual way
    formats: Mapping[str, str] = field(default_factory=dict)  # of columns of text that are dates
    # How often each marker of a missing value, such as ?, stands in each column of text.
    markers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    first: int = 0  # number of the first row, of a part of a larger table

    @staticmethod
    def of(name: str, frame: Any, **attributes: Any) -> "Table":
        """Return a table of a Polars DataFrame in memory, flat."""
        return Table(name, frame.lazy(), dict(frame.schema), frame.height, **attributes).flat()

    def flat(self) -> "Table":
        """Return the table with columns of plain values.

        There is one for each field of structs and each number of lists of one length; durations are numbers of seconds,
        with a note.
        """
        polars, parts = import_polars(), dict[str, list[Any]]()
        for name, dtype in self.schema.items():
            column = polars.col(name)
            if dtype == polars.Struct and not any(part.dtype == polars.Binary for part in dtype.fields):  # a picture
                names = [part.name for part in dtype.fields]
                parts[name] = [column.struct.field(part).alias(f"{name}.{part}") for part in names]
            elif dtype in (polars.Array, polars.List) and (dtype.inner.is_numeric() or dtype.inner.is_nested()):
                lists = column.arr.to_list().list if dtype == polars.Array else column.list
                lengths = self.collect(self.frame.select(lists.len().unique())).to_series().drop_nulls()
                if len(lengths) == 1:
                    parts[name] = [lists.get(index).alias(f"{name}_{index}") for index in range(lengths[0])]
            elif dtype == polars.Duration:
                parts[name] = [column.dt.total_microseconds() / 1e6]
        if not any(parts.values()):
            return self
        frame = self.frame.select([part for name in self.schema for part in parts.get(name, [polars.col(name)])])
        with polars_errors(f"{self.name}: values of {listing(parts)} cannot become columns", "Rename them."):
            schema = dict(frame.collect_schema())
        durations = [name for name in parts if self.schema[name] == polars.Duration]
        notes = (f"durations are numbers of seconds: {listing(durations)}",) if durations else ()
        return replace(self, frame=frame, schema=schema, notes=(*self.notes, *notes)).flat()

    def place(self, row: int) -> str:
        """Return where a row is, counted from 1: ``"row 17 (line 18)"``."""
        line = None if self.find_line is None else self.find_line(row)
        number = f"row {self.first + row + 1:,}"
        return number if line is None else f"{number} (line {line:,})"

    def collect(self, frame: Any = None) -> Any:
        """Return a LazyFrame made from `frame`, by default itself, as a DataFrame."""
        with polars_errors(f"{self.name}: cannot be read"), silent_panics():
            return (self.frame if frame is None else frame).collect()

    def column(self, name: str) -> Any:
        """Return a column as a Polars Series."""
        return self.collect(self.frame.select(name))[name]

    def head(self, rows: int) -> Any:
        """Return the first rows as a DataFrame."""
        return self.collect(self.frame.head(rows))

    def column_groups(self, names: list[str]) -> Iterator[Any]:
        """Yield DataFrames of all rows and as many of the columns as fit in a little memory."""
        size = max(1, CELLS_AT_A_TIME // max(1, self.rows))
        for start in range(0, len(names), size):
            yield self.collect(self.frame.select(names[start : start + size]))

    def row_blocks(self, names: list[str]) -> Iterator[tuple[int, Any]]:
        """Yield the index of each block's first row and the block, a DataFrame of some rows and these columns."""
        size = max(256, CELLS_AT_A_TIME // max(1, len(names)))
        selected = self.frame.select(names)
        for start in range(0, self.rows, size):
            yield start, self.collect(selected.slice(start, size))

    def missing_counts(self, names: list[str]) -> dict[str, int]:
        """Return the number of missing values of each of the columns that has any; NaN is missing."""
        counts: dict[str, int] = {}
        for group in self.column_groups(names):
            counts |= without_nan(group).null_count().row(0, named=True)
        return {name: count for name, count in counts.items() if count}

    def rows_with_missing(self, names: Iterable[str], *, in_all: bool = False) -> Bool[np.ndarray, " rows"]:
        """Return which rows have a missing value in one of the columns, or in all of them."""
        names = list(names)
        found = np.zeros(self.rows, dtype=np.int64)
        for group in self.column_groups(names):
            missing = without_nan(group).select(import_polars().all().is_null().cast(int))
            found += missing.sum_horizontal().to_numpy()
        return found >= (len(names) if in_all else 1)


def known_floats(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Return numbers that only few libraries know, such as float16, bfloat16 or float128, as float32 or float64."""
    name = array.dtype.name
    if not name.removeprefix("b").startswith("float") or name in ("float32", "float64"):
        return array
    return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)


def without_nan(frame: Any) -> Any:
    """Return a DataFrame with null in place of NaN."""
    return frame.with_columns(import_polars().selectors.float().fill_nan(None))


def as_text(series: Any) -> Any:
    """Return categories as text without spaces around it; whole numbers alike, stored as integers or as floats."""
    polars = import_polars()
    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = series.cast(polars.Int64, strict=False)
        if whole.null_count() == series.null_count() and bool((whole == series).all()):
            series = whole
    return series.cast(polars.String).str.strip_chars()


def rows_have(count: int) -> str:
    """Return the beginning of a sentence about so many rows."""
    return "1 row has" if count == 1 else f"{count:,} rows have"
