"""Data in memory as tables: data frames of any library, arrays, and columns in a dict."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from xpmlp.errors import DataError

from .files import checked, is_one_hot, table_of_arrays
from .table import Table, import_polars

NAME = "the data"  # in messages


def is_frame(data: Any) -> bool:
    """Return whether something is a data frame of Polars, pandas, Arrow or the like, or a dict of columns."""
    return isinstance(data, Mapping) or hasattr(data, "__arrow_c_stream__") or hasattr(type(data), "columns")


def table_in_memory(data: Any, y: Any = None, target: str | None = None) -> Table:
    """Return a table of a data frame, a dict of columns or an array, with `y` as a column of targets.

    That column is called `target`, by default by the name of `y`, or ``"y"`` if it has none. The columns of an array
    are called ``x_0``, ``x_1`` and so on.

    Raises
    ------
    DataError
        If the two do not fit together, or hold something else than numbers, booleans and text.
    """
    if is_frame(data):
        table = checked(Table.of(NAME, to_polars(data)))
    else:
        table = table_of_arrays(NAME, {"x": np.asarray(data)})
    if y is None:
        return table
    column = to_series(y, is_target=True).alias(target or target_name(y))
    if len(column) != table.rows:
        raise DataError(f"{NAME}: there are {table.rows:,} samples, but {len(column):,} targets. Give one for each.")
    frame, schema = table.frame.with_columns(column), table.schema | {column.name: column.dtype}
    return replace(table, frame=frame, schema=schema).in_seconds()


def target_name(y: Any) -> str:
    """Return the name of a Series, or of a data frame's only column; ``"y"`` if there is none."""
    columns = list(getattr(y, "columns", ()))
    return str(columns[0] if columns else getattr(y, "name", None) or "y")


def to_polars(data: Any) -> Any:
    """Return a data frame of Polars."""
    polars = import_polars()
    if isinstance(data, polars.LazyFrame):
        return data.collect()
    if isinstance(data, polars.DataFrame):
        return data
    if not hasattr(data, "dtypes") and hasattr(data, "__arrow_c_stream__"):
        return polars.DataFrame(data)
    names = [str(name) for name in (data if isinstance(data, Mapping) else data.columns)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{NAME}: two columns are named {twice!r}. Rename one.")
    return polars.DataFrame([to_series(data[key]).alias(str(key)) for key in data])


def to_series(column: Any, *, is_target: bool = False) -> Any:
    """Return an array, a list or another library's column as a Series of Polars, with null for missing values.

    Targets may be one-hot.
    """
    polars = import_polars()
    if isinstance(column, polars.Series):
        return column
    if hasattr(column, "isna") and (not isinstance(column.dtype, np.dtype) or column.dtype == object):
        column = column.astype(object).where(column.notna(), None)  # pandas' own types, which NumPy does not know
    array = np.asarray(column)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if is_target and array.ndim == 2 and array.shape[1] and is_one_hot(array):
        array = array.argmax(axis=1)
    if array.ndim != 1:
        what = "y" if is_target else "a column"
        raise DataError(f"{NAME}: {what} has the shape {array.shape}; expected one value for each row.")
    if array.dtype.kind in "US":
        return polars.Series(array.astype(np.str_).tolist())
    return polars.Series(array if array.dtype.kind in "biufmM" else array.tolist(), strict=False)
