"""Columns that should perhaps not be inputs: those that number the rows, and those that give the target away."""

import re
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from ..dataset import listing
from .columns import MOST_NAMED, Target, option_text
from .table import Table, column_type, import_polars

MOST_COLUMNS = 300
MOST_ROWS = 6000  # of which a third is held out
FEWEST_ROWS = 60
LARGEST_SHARE_OF_MISTAKES = 0.02  # of those of always predicting the commonest class
HIGHEST_R2 = 0.995
DENSE = 1.5  # numbers of rows may have gaps, as after some rows were dropped
ID_NAME = re.compile(r"(?i:(.*[\s_-])?id|(row[\s_-]?)?(index|number|nr|no))|.*[a-z](Id|ID)", re.DOTALL)


def note_suspicions(
    table: Table, features: list[str], target: Target | None = None, rows: Bool[np.ndarray, " rows"] | None = None
) -> list[str]:
    """Return notes on features that number the rows, or that alone predict the target nearly perfectly in some rows."""
    ids: list[str] = []
    leaks: list[str] = []
    chosen = np.random.RandomState(0).permutation(table.rows if rows is None else np.flatnonzero(rows))[:MOST_ROWS]
    for group in table.column_groups(features[:MOST_COLUMNS]):
        for series in group:
            if numbers_rows(series):
                ids.append(series.name)
            elif target is not None and len(features) > 1 and len(chosen) >= FEWEST_ROWS:
                values = comparable_values(series[chosen])
                if values is not None and gives_away(values, target, chosen):
                    leaks.append(series.name)
    notes = []
    if ids:
        what = "numbers the rows" if len(ids) == 1 else "number the rows"
        notes.append(f"{listing(ids, most=MOST_NAMED)} {what}, which says nothing about new ones; {exclude(ids)}")
    if leaks and target is not None:
        what = "alone predicts" if len(leaks) == 1 else "each alone predict"
        notes.append(
            f"{listing(leaks, most=MOST_NAMED)} {what} {target.name!r} nearly perfectly on held-out rows; if that is "
            f"unknown when predictions are made, {exclude(leaks)}"
        )
    return notes


def exclude(names: list[str]) -> str:
    """Return the advice to leave columns out."""
    option = option_text("--exclude", names if len(names) <= MOST_NAMED else ["COLUMNS"])
    return f"leave {'it' if len(names) == 1 else 'them'} out with {option}"


def numbers_rows(series: Any) -> bool:
    """Return whether every row has another whole number, without large gaps or in a column named as an identifier."""
    if len(series) < FEWEST_ROWS or not series.dtype.is_integer() or series.null_count():
        return False
    is_dense = int(series.max()) - int(series.min()) < DENSE * len(series)
    if not is_dense and not ID_NAME.fullmatch(series.name):
        return False
    return bool(series.n_unique() == len(series))


def comparable_values(series: Any) -> Float64[np.ndarray, " rows"] | None:
    """Return a column as numbers that are equal where its values are; None if they cannot be compared."""
    polars = import_polars()
    kind = column_type(series.dtype)
    if series.dtype.is_nested() or series.dtype in (polars.Null, polars.Object):
        return None
    if kind == "other":
        series = series.to_physical()
    elif kind == "text":
        series = series.cast(polars.String).rank("dense")
    values: Float64[np.ndarray, " rows"] = series.cast(polars.Float64, strict=False).fill_null(np.nan).to_numpy()
    finite = values[np.isfinite(values)]
    return np.nan_to_num(values, nan=float(finite.min()) - 1.0) if len(finite) else None


def gives_away(values: Float64[np.ndarray, " rows"], target: Target, rows: Any) -> bool:
    """Return whether the column's values alone predict the target on the last third of the rows.

    The prediction is that of the nearest value among the other rows: their commonest class, or their mean.
    """
    known = 2 * len(rows) // 3
    places, group, counts = np.unique(values[:known], return_inverse=True, return_counts=True)
    if len(places) < 2:
        return False
    after = np.clip(np.searchsorted(places, values[known:]), 1, len(places) - 1)
    nearest = np.where(values[known:] - places[after - 1] <= places[after] - values[known:], after - 1, after)
    if target.task == "regression":
        truth = target.values[rows].astype(np.float64)
        means = np.bincount(group, truth[:known]) / counts
        variance = float(np.var(truth[known:]))
        return variance > 0.0 and 1.0 - float(np.mean((truth[known:] - means[nearest]) ** 2)) / variance > HIGHEST_R2
    classes, truth = np.unique(target.values[rows], return_inverse=True)
    votes = np.bincount(group * len(classes) + truth[:known], minlength=len(places) * len(classes))
    commonest = votes.reshape(len(places), len(classes)).argmax(axis=1)
    mistakes = np.count_nonzero(commonest[nearest] != truth[known:])
    constant = len(truth) - known - np.bincount(truth[known:]).max()
    return bool(constant > 0 and mistakes <= LARGEST_SHARE_OF_MISTAKES * constant)
