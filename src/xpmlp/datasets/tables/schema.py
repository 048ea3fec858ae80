"""A table's schema: measured on the training rows, and checked against every later table."""

from typing import Any

import numpy as np
from jaxtyping import Bool

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, Kind, Missing, TableSchema

from ..dataset import listing
from .columns import BRIGHTEST, did_you_mean, option_text, text_among_numbers
from .numbers import MARKERS_AMONG_NUMBERS
from .options import TableOptions
from .table import Table, as_text, column_type, import_polars

MOST_HINTS = 5  # suggested names in a message
NAMES_SHOWN = 10


def fit_schema(
    table: Table,
    kinds: dict[str, Kind],
    train: Bool[np.ndarray, " rows"],
    *,
    target: str,
    options: TableOptions,
    are_pixels: bool,
) -> TableSchema:
    """Return how a table's columns are filled, scaled and encoded.

    Numbers are filled and scaled as by scikit-learn's ``SimpleImputer`` followed by ``StandardScaler`` or
    ``MinMaxScaler``; booleans and categories are filled with the most frequent value, the first in order among equals.
    Pixels are divided by 255. Only the training rows have an influence.
    """
    scaling = "unit" if are_pixels else options.scale or "standard"
    columns: dict[str, Column] = {}
    for group in table.column_groups([name for name, kind in kinds.items() if kind == "number"]):
        chosen = group.filter(train)
        for name in chosen.columns:
            if are_pixels and options.missing in ("refuse", "drop"):
                columns[name] = Column(name, "number", scale=float(BRIGHTEST))
            else:
                columns[name] = fit_number(table, chosen[name], options.missing, "pixels" if are_pixels else scaling)
    for name, kind in kinds.items():
        if kind != "number":
            columns[name] = fit_frequent(table, name, kind, train, options.missing)
    return TableSchema(tuple(columns[name] for name in kinds), target, options.missing, scaling)


def fit_number(table: Table, series: Any, missing: Missing, scaling: str) -> Column:
    """Measure a column of numbers."""
    name = series.name
    values = series.cast(import_polars().Float64).fill_nan(None)
    if values.null_count() == len(values):
        raise no_values(table, name)
    lowest, highest = float(values.min()), float(values.max())
    fill = float(values.mean() if missing == "mean" else values.median()) if missing in ("mean", "median") else None
    offset, scale = 0.0, 1.0
    if scaling == "pixels":
        scale = float(BRIGHTEST)
    elif scaling == "unit":
        offset, scale = lowest, highest - lowest or 1.0
    elif scaling == "standard":
        offset, scale = mean_and_deviation((values if fill is None else values.fill_null(fill)).drop_nulls().to_numpy())
    if not np.isfinite([lowest, highest, offset, scale]).all():
        infinite = table.column(name).cast(import_polars().Float64).is_infinite().fill_null(value=False).to_numpy()
        where = f"{table.place(int(np.argmax(infinite)))}, " if infinite.any() else ""
        raise DataError(
            f"{table.name}: {where}column {name!r} has an infinite value, or values too far apart to compute with. "
            f"Correct it, or leave the column out with {option_text('--exclude', [name])}."
        )
    return Column(name, "number", fill=fill, offset=offset, scale=scale)


def mean_and_deviation(values: Any) -> tuple[float, float]:
    """Return mean and standard deviation; 1 in place of a deviation that is no more than rounding."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(np.mean(values)), float(np.std(values))
        rounding = len(values) * np.finfo(np.float64).eps
        is_constant = deviation**2 <= rounding * deviation**2 + (rounding * mean) ** 2
    return mean, 1.0 if is_constant else deviation


def fit_frequent(table: Table, name: str, kind: Kind, train: Any, missing: Missing) -> Column:
    """Find the values of a column of booleans or categories, and the most frequent one."""
    counts = as_text(table.column(name)).filter(train).drop_nulls().value_counts().sort(name)
    if not counts.height:
        raise no_values(table, name)
    values = tuple(counts[name].to_list())
    fill = values[int(counts["count"].arg_max())] if missing in ("mean", "median") else None
    if kind == "boolean":
        return Column(name, "boolean", fill=None if fill is None else float(fill == "true"))
    return Column(name, "category", values, fill)


def no_values(table: Table, name: str) -> DataError:
    """Return the error for an empty column."""
    return DataError(
        f"{table.name}: column {name!r} has no values in the training rows. Leave it out with "
        f"{option_text('--exclude', [name])}."
    )


def check_table(table: Table, schema: TableSchema) -> tuple[Table, tuple[str, ...]]:
    """Check that a table has the schema's columns, in any order; return the table to use, and notes.

    Columns of numbers in training that hold nothing but markers of missing values here are made empty.
    """
    names = [column.name for column in schema.columns]
    extra = [name for name in table.schema if name not in names and name != schema.target]
    missing = [name for name in names if name not in table.schema]
    if missing:
        hints = [did_you_mean(name, extra) for name in missing[:MOST_HINTS]]
        if len(missing) > 1:
            hints = [hint.replace(" Did", f" {name!r}: did") for name, hint in zip(missing, hints, strict=False)]
        raise DataError(
            f"{table.name}: {len(missing):,} of the {len(names):,} columns that the model was trained on are missing: "
            f"{listing(missing, most=NAMES_SHOWN)}.{''.join(hints)} Other columns of the table: "
            f"{listing(extra, most=NAMES_SHOWN) if extra else 'none'}."
        )
    table = table.without_values(
        [column.name for column in schema.columns if column.kind != "category" and has_only_markers(table, column.name)]
    )
    for column in schema.columns:
        check_kind(table, column)
    notes = (f"{table.name}: not used by the model: {listing(extra, most=NAMES_SHOWN)}",) if extra else ()
    return table, notes


def has_only_markers(table: Table, name: str) -> bool:
    """Return whether a column of text has no values other than markers of missing values among numbers."""
    if column_type(table.schema[name]) != "text":
        return False
    text = table.column(name).cast(import_polars().String).str.to_lowercase().drop_nulls()
    return bool(text.is_in(MARKERS_AMONG_NUMBERS).all())


def check_kind(table: Table, column: Column) -> None:
    """Refuse a column of another kind than in training."""
    polars = import_polars()
    name, dtype = column.name, table.schema[column.name]
    found = column_type(dtype)
    if dtype == polars.Null or (column.kind == "category" and not dtype.is_nested()) or found == "boolean":
        return
    if found == "other":
        raise DataError(
            f"{table.name}: column {name!r} is of type {dtype}, but the model was trained on a {column.kind}."
        )
    if found == "number":
        if column.kind == "boolean":
            values = table.column(name).cast(polars.Float64).fill_nan(None).drop_nulls()
            if not values.is_in([0.0, 1.0]).all():
                raise DataError(f"{table.name}: column {name!r} was boolean in training, but has other numbers here.")
        return
    values = table.column(name).cast(polars.String)
    if values.null_count() < len(values):
        _, row = text_among_numbers(values)
        expected = "numbers" if column.kind == "number" else "booleans"
        raise DataError(
            f"{table.name}: {table.place(row)}, column {name!r}: {values[row]!r} is text, but the model was trained on "
            f"{expected}. Correct the cell."
        )


def usable_rows(table: Table, schema: TableSchema) -> tuple[Bool[np.ndarray, " rows"], tuple[str, ...]]:
    """Return which rows have all values that the schema needs, and notes."""
    counts = table.missing_counts([column.name for column in schema.columns])
    have_fill = [column.name for column in schema.columns if column.fill is not None and column.name in counts]
    filled = {name: counts.pop(name) for name in have_fill}
    notes = [filled_note(table, filled, schema.missing)] if filled else []
    if not counts:
        return np.ones(table.rows, dtype=np.bool_), tuple(notes)
    if schema.missing != "drop":
        refuse_missing(
            table,
            counts,
            "The model was trained on a table without missing values: fill them, remove the rows, or train with "
            "--missing mean, median or drop.",
        )
    usable = ~table.rows_with_missing(counts)
    notes.append(dropped_note(table, int(np.count_nonzero(~usable)), counts))
    return usable, tuple(notes)


def filled_note(table: Table, counts: dict[str, int], missing: Missing) -> str:
    """Return the note on missing values that are filled in some columns."""
    return (
        f"{table.name}: {sum(counts.values()):,} missing values filled with the {missing} of the training rows "
        f"(categories: the most frequent) in {listing(counts, most=5)}"
    )


def dropped_note(table: Table, dropped: int, counts: dict[str, int]) -> str:
    """Return the note on rows that are dropped because of missing values in some columns."""
    return f"{table.name}: {dropped:,} of {table.rows:,} rows dropped: missing values in {listing(counts, most=5)}"


def refuse_missing(table: Table, counts: dict[str, int], remedy: str) -> None:
    """Refuse missing values, naming their number and the place of the first."""
    if not counts:
        return
    name, count = next(iter(counts.items()))
    row = int(np.argmax(table.rows_with_missing([name])))
    others = f"; {len(counts) - 1:,} more columns have missing values" if len(counts) > 1 else ""
    raise DataError(
        f"{table.name}: {count:,} of {table.rows:,} rows have no value in column {name!r}, the first of them "
        f"{table.place(row)}{others}. {remedy}"
    )
