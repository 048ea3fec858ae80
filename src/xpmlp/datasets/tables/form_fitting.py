"""Measuring, on the training rows alone, how columns are filled, scaled and coded."""

from typing import Any

import numpy as np
from jaxtyping import Bool

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, Kind, TableSchema

from .encoding import as_text
from .options import TableOptions
from .pixels import BRIGHTEST
from .table import Table, import_polars


def fit_form(
    table: Table,
    kinds: dict[str, Kind],
    train: Bool[np.ndarray, " rows"],
    *,
    target: str,
    options: TableOptions,
    are_pixels: bool,
) -> TableSchema:
    """Return the form of a table's columns.

    Numbers are filled and scaled as by scikit-learn's ``SimpleImputer`` followed by ``StandardScaler`` or
    ``MinMaxScaler``; booleans and categories are filled with the commonest, the first in order where there are several.

    Parameters
    ----------
    kinds
        Of each feature.
    train
        The rows that may be looked at.
    are_pixels
        Whether all features are, and are divided by 255.

    Raises
    ------
    DataError
        For a column without values, or with an infinite one, in the training rows.
    """
    scaling = "unit" if are_pixels else options.scale or "standard"
    columns: dict[str, Column] = {}
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    for group in table.column_groups(numbers):
        chosen = group.filter(train)
        for name in chosen.columns:
            if are_pixels and options.missing in ("refuse", "drop"):
                columns[name] = Column(name, "number", scale=float(BRIGHTEST))
            else:
                columns[name] = fit_number(
                    table, name, chosen[name], missing=options.missing, scaling="pixels" if are_pixels else scaling
                )
    for name, kind in kinds.items():
        if kind == "boolean":
            columns[name] = fit_boolean(table, name, train, missing=options.missing)
        elif kind == "category":
            columns[name] = fit_category(table, name, train, missing=options.missing)
    return TableSchema(tuple(columns[name] for name in kinds), target, options.missing, scaling)


def fit_number(table: Table, name: str, series: Any, *, missing: str, scaling: str) -> Column:
    """Measure a column of numbers."""
    polars = import_polars()
    values = series.cast(polars.Float64).fill_nan(None)
    if values.null_count() == len(values):
        raise no_values(table, name)
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):
        raise infinite_value(table, name)
    fill = None if missing not in ("mean", "median") else float(values.mean() if missing == "mean" else values.median())
    if fill is not None and values.null_count():
        values = values.fill_null(fill)
    offset, scale = 0.0, 1.0
    if scaling == "pixels":
        scale = float(BRIGHTEST)
    elif scaling == "unit":
        offset = float(values.min())
        scale = float(values.max()) - offset or 1.0
    elif scaling == "standard":
        offset, scale = standard(values.drop_nulls().to_numpy())
    if not (np.isfinite(offset) and np.isfinite(scale)):
        raise infinite_value(table, name)
    return Column(name, "number", fill=fill, offset=offset, scale=scale)


def standard(values: Any) -> tuple[float, float]:
    """Return mean and standard deviation; 1 for that of values that differ by no more than rounding."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(np.mean(values)), float(np.std(values))
        rounding = len(values) * np.finfo(np.float64).eps
        is_constant = deviation**2 <= rounding * deviation**2 + (rounding * mean) ** 2
    return mean, 1.0 if is_constant else deviation


def fit_boolean(table: Table, name: str, train: Any, *, missing: str) -> Column:
    """Measure a column of booleans: there is no more to it than the commonest."""
    values = table.column(name).filter(train).drop_nulls()
    if not len(values):
        raise no_values(table, name)
    fill = float(2 * int(values.sum()) > len(values)) if missing in ("mean", "median") else None
    return Column(name, "boolean", fill=fill)


def fit_category(table: Table, name: str, train: Any, *, missing: str) -> Column:
    """Find the categories of a column."""
    polars = import_polars()
    counts = as_text(polars, table.column(name)).filter(train).drop_nulls().value_counts()
    if not counts.height:
        raise no_values(table, name)
    counts = counts.sort(name)
    categories = tuple(counts[name].to_list())
    fill = categories[int(counts["count"].arg_max())] if missing in ("mean", "median") else None
    return Column(name, "category", categories, fill)


def no_values(table: Table, name: str) -> DataError:
    """Return the error for a column that says nothing."""
    return DataError(f"{table.name}: column {name!r} has no values to learn from. Leave it out with --exclude {name}.")


def infinite_value(table: Table, name: str) -> DataError:
    """Return the error for a column that no scale is right for."""
    infinite = table.column(name).cast(import_polars().Float64).is_infinite().fill_null(value=False).to_numpy()
    where = f"{table.place(int(np.argmax(infinite)))}, " if infinite.any() else ""
    return DataError(
        f"{table.name}: {where}column {name!r} holds an infinite value, or values too far apart to compute with. "
        f"Correct it, or leave the column out with --exclude {name}."
    )
