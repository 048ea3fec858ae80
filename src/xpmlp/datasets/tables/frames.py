"""Data in memory as tables: data frames of any library, arrays, and columns in a dict."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError

from .files import checked, is_one_hot, table_of_arrays
from .table import Table, import_polars, known_floats

NAME = "the data"  # in messages


def is_frame(data: Any) -> bool:
    """Return whether something is a data frame of Polars, pandas, Arrow or the like, or a dict of columns."""
    is_of_arrow = hasattr(data, "__arrow_c_stream__") and hasattr(data, "schema")  # which a single column has not
    return isinstance(data, Mapping) or is_of_arrow or hasattr(type(data), "columns")


def table_in_memory(data: Any, y: Any = None, target: str | None = None) -> Table:
    """Return a table of a data frame, a dict of columns or an array, with `y` as a column of targets.

    That column is called `target`, by default by the name of `y`, or ``"y"`` if it has none. The columns of an array
    are called ``x_0``, ``x_1`` and so on.
    """
    if not is_frame(data):
        data = as_array(data)
        if data.ndim == 2 and data.dtype == object:  # numbers and text, as in the values of a data frame
            data = {f"x_{index}": column.tolist() for index, column in enumerate(data.T)}
    is_table = is_frame(data)
    table = checked(Table.of(NAME, to_polars(data))) if is_table else table_of_arrays(NAME, {"x": data})
    if y is None:
        return table
    column = to_series(y, is_target=True).alias(target or target_name(y))
    if len(column) != table.rows:
        raise DataError(f"{NAME}: there are {table.rows:,} samples, but {len(column):,} targets. Give one for each.")
    frame, schema = table.frame.with_columns(column), table.schema | {column.name: column.dtype}
    return replace(table, frame=frame, schema=schema).flat()


def as_array(data: Any) -> Shaped[np.ndarray, "..."]:
    """Return samples or targets as an array; refuse anything else, such as a generator or a DataLoader."""
    try:
        array = np.asarray(data)
        if array.ndim or array.dtype != object:
            return known_floats(array)
        reason = ""
    except (TypeError, ValueError, RuntimeError) as error:
        reason = f" ({error})"
    raise DataError(
        f"{NAME}: a {type(data).__name__} is not an array of samples{reason}. Give an array, a list of rows, a data "
        "frame or a dict of columns; of pairs of samples and labels, x and y with x, y = zip(*pairs)."
    )


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

    Targets may be one-hot; those of a data frame are named after its columns.
    """
    polars, names = import_polars(), None
    if is_target and is_frame(column):
        frame = to_polars(column)
        column, names = (frame.to_series(), None) if frame.width == 1 else (frame.to_numpy(), np.array(frame.columns))
    if isinstance(column, polars.Series):
        return column
    is_of_pandas = hasattr(column, "notna") and hasattr(column, "dtype")
    if is_of_pandas and (not isinstance(column.dtype, np.dtype) or column.dtype == object):
        column = column.astype(object).where(column.notna(), None)  # pandas' own types, which NumPy does not know
    array = as_array(column)
    if array.ndim == 2 and (array.shape[1] == 1 or (is_target and len(array) == 1)):  # a row, as MATLAB has them
        array = array.reshape(-1)
    if is_target and array.ndim == 2 and array.shape[1] and is_one_hot(array):
        array = array.argmax(axis=1) if names is None else names[array.argmax(axis=1)]
    if array.ndim != 1:
        what = "y" if is_target else "a column"
        remedy = "xpmlp.MLPRegressor and xpmlp.MLPClassifier take several targets" if is_target else "Give x and y"
        raise DataError(f"{NAME}: {what} has the shape {array.shape}; expected one value for each row. {remedy}.")
    if array.dtype.kind in "US":
        return polars.Series(array.astype(np.str_).tolist())
    return polars.Series(array if array.dtype.kind in "biufmM" else array.tolist(), strict=False)
