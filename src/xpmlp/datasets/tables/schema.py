"""A table's schema: measured on the training rows, and checked against every later table."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, Kind, Missing, Scaling, TableSchema

from ..dataset import joined, listing
from .columns import MOST_NAMED, did_you_mean, option_text
from .dates import ENOUGH, PARTS, SECONDS_A_DAY, date_part, find_format, fraction_in_format, varying_parts
from .kinds import MOST_CATEGORIES, convert, is_missing, refuse_wrong_cells, trimmed, wrong_cells_note
from .options import TableOptions
from .table import Table, as_text, column_type, import_polars

MOST_HINTS = 5  # suggested names in a message
NAMES_SHOWN = 10
# Missing values and categories are rare up to so many training rows, and at most one in a hundred of all.
RARE = 4
INFREQUENT, MISSING_CATEGORY = "infrequent", "missing"


def fit_schema(
    table: Table,
    kinds: Mapping[str, Kind],
    train: Bool[np.ndarray, " rows"],
    *,
    target: str,
    options: TableOptions,
    white: float | None,
) -> TableSchema:
    """Return how a table's columns are filled, scaled and encoded.

    Numbers are filled and scaled as by scikit-learn's ``SimpleImputer`` followed by ``StandardScaler`` or
    ``MinMaxScaler``; booleans are filled with the most frequent value, the first in order among equals. Categories are
    as by scikit-learn's ``OneHotEncoder`` with infrequent categories. Pixels are divided by their `white`, which is
    None for other tables. Only the training rows have an influence.
    """
    scaling: Scaling = "unit" if white else options.scale or "standard"
    columns: dict[str, Column] = {}
    for group in table.column_groups([name for name, kind in kinds.items() if kind in ("number", "date")]):
        chosen = group.filter(train)
        for name in chosen.columns:
            values = chosen[name].cast(import_polars().Float64).fill_nan(None)
            if values.null_count() == len(values):
                raise no_values(table, name)
            if kinds[name] == "date":
                columns[name] = fit_date(table, values, float(group[name].max()), options.missing, scaling)
            elif white:
                is_whole = options.missing == "auto" and not values.null_count()
                fill = None if is_whole else fill_value(values, options.missing)
                columns[name] = Column(name, "number", fill=fill, scale=white)
            else:
                columns[name] = fit_number(table, values, options.missing, scaling)
    for name, kind in kinds.items():
        if name not in columns:
            values = as_text(table.column(name)).filter(train)
            if values.null_count() == len(values):
                raise no_values(table, name)
            if kind == "boolean":
                columns[name] = fit_boolean(values, options.missing)
            else:
                columns[name] = fit_category(values, options, keep_rare=options.strict or name in options.categories)
    return TableSchema(tuple(columns[name] for name in kinds), target, options.missing, scaling)


def fit_number(table: Table, values: Any, missing: Missing, scaling: Scaling) -> Column:
    """Measure a column of numbers."""
    name, fill = values.name, fill_value(values, missing)
    present = (values if fill is None else values.fill_null(fill)).drop_nulls().to_numpy()
    offset, scale = measure(present, scaling)
    refuse_overflow(table, name, offset, scale, fill or 0.0)
    mark = needs_mark(values.null_count(), len(values), missing)
    return Column(name, "number", fill=fill, offset=offset, scale=scale, indicator=mark)


def refuse_overflow(table: Table, name: str, *measured: float) -> None:
    """Refuse a column of numbers whose offset, scale or fill value overflows."""
    if not np.isfinite(measured).all():
        raise DataError(
            f"{table.name}: column {name!r} has values too far apart to compute with. Correct them, or leave the "
            f"column out with {option_text('--exclude', [name])}."
        )


def fit_date(table: Table, days: Any, latest: float, missing: Missing, scaling: Scaling) -> Column:
    """Measure the parts of a column of dates."""
    fill = fill_value(days, missing)
    present = (days if fill is None else days.fill_null(fill)).drop_nulls().to_numpy()
    values = {part: date_part(present, part) for part in PARTS}
    varying = varying_parts({part: (float(found.min()), float(found.max())) for part, found in values.items()})
    parts = tuple((part, *measure(values[part], scaling)) for part in varying)
    mark, form = needs_mark(days.null_count(), len(days), missing), table.formats.get(days.name)
    return Column(days.name, "date", fill=fill, parts=parts, latest=latest, format=form, indicator=mark)


def fill_value(values: Any, missing: Missing) -> float | None:
    """Return the replacement for missing numbers; None if there is none."""
    return fill_or_none(float(values.mean() if missing == "mean" else values.median()), missing)


def fill_or_none(value: float, missing: Missing) -> float | None:
    """Return the replacement for missing values; None if rows with missing values are refused or dropped."""
    return None if missing in ("refuse", "drop") else value


def needs_mark(count: int, rows: int, missing: Missing) -> bool:
    """Return whether so many missing values are enough to be marked."""
    return missing == "auto" and not is_rare(count, rows)


def is_rare(count: int, rows: int) -> bool:
    """Return whether so many of the training rows are too few to learn from."""
    return count <= min(RARE, rows // 100)


def measure(values: Float64[np.ndarray, " rows"], scaling: Scaling) -> tuple[float, float]:
    """Return the offset and the scale of numbers."""
    if scaling == "unit":
        low, high = float(values.min()), float(values.max())
        return low, (high - low) or 1.0
    return mean_and_deviation(values) if scaling == "standard" else (0.0, 1.0)


def mean_and_deviation(values: Float64[np.ndarray, " rows"]) -> tuple[float, float]:
    """Return mean and standard deviation; 1 in place of a deviation that is no more than rounding."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(np.mean(values)), float(np.std(values))
    return mean, deviation_or_one(mean, deviation, len(values))


def deviation_or_one(mean: float, deviation: float, rows: int) -> float:
    """Return a standard deviation; 1 if it is no more than rounding."""
    rounding = rows * float(np.finfo(np.float64).eps)
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.float64(deviation) ** 2
        return 1.0 if square <= rounding * square + np.float64(rounding * mean) ** 2 else deviation


def fit_boolean(texts: Any, missing: Missing) -> Column:
    """Find the most frequent of the values ``"true"`` and ``"false"``."""
    fill = fill_or_none(float((texts.drop_nulls() == "true").mean() > 0.5), missing)
    return Column(texts.name, "boolean", fill=fill, indicator=needs_mark(texts.null_count(), len(texts), missing))


def fit_category(texts: Any, options: TableOptions, *, keep_rare: bool) -> Column:
    """Find the categories of a column of text."""
    found = dict(texts.drop_nulls().value_counts().sort(texts.name).rows())
    return category_column(texts.name, found, texts.null_count(), options, keep_rare=keep_rare)


def category_column(
    name: str, found: Mapping[str, int], missing: int, options: TableOptions, *, keep_rare: bool
) -> Column:
    """Return a column of categories, by how many rows each has, in order, and how many have none."""
    rows = sum(found.values()) + missing
    by_frequency = sorted(found, key=lambda text: -found[text])
    rare = set() if keep_rare else {text for text, count in found.items() if is_rare(count, rows)}
    if len(found) - len(rare) > MOST_CATEGORIES:
        rare = set(by_frequency[MOST_CATEGORIES - 1 :])
    infrequent = INFREQUENT if len(rare) > 1 else None
    categories = dict.fromkeys(text for text in found if infrequent is None or text not in rare)
    fill = by_frequency[0] if options.missing in ("mean", "median") else None
    if options.missing == "auto":
        fill = infrequent or by_frequency[0]
        fill = fill if is_rare(missing, rows) else MISSING_CATEGORY
    categories |= dict.fromkeys(text for text in (infrequent, fill) if text is not None)
    return Column(name, "category", tuple(categories), fill, infrequent=infrequent)


def no_values(table: Table, name: str) -> DataError:
    """Return the error for an empty column."""
    return DataError(
        f"{table.name}: column {name!r} has no values in the training rows. Leave it out with "
        f"{option_text('--exclude', [name])}."
    )


def check_table(table: Table, schema: TableSchema) -> tuple[Table, tuple[str, ...]]:
    """Check that a table has the schema's columns, in any order; return it with values of their kinds, and notes.

    Values of another kind than in training are missing values if training made the best of such, else an error.
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
    notes = [f"{table.name}: not used by the model: {listing(extra, most=NAMES_SHOWN)}"] if extra else []
    for column in schema.columns:
        check_type(table, column)
    formats, more = later_formats(table, schema)
    kinds = {column.name: column.kind for column in schema.columns}
    table, wrong = convert(replace(table, formats=formats, reading=schema.reading), kinds)
    refused = {name: w for name, w in wrong.items() if schema.missing != "auto" or 2 * w.count > w.present}
    refuse_wrong_cells(table, kinds, refused, "The model was trained on nothing else in this column: correct the cell.")
    return table, (*notes, *more, *wrong_cells_note(table, kinds, wrong), *later_dates_notes(table, schema))


def check_type(table: Table, column: Column) -> None:
    """Refuse a column of a type that cannot become that of training."""
    polars = import_polars()
    dtype, kind = table.schema[column.name], column.kind
    found = column_type(dtype)
    if dtype != polars.Null and (found == "other" or (found == "date" and kind in ("number", "boolean"))):
        raise DataError(
            f"{table.name}: column {column.name!r} is of type {dtype}, but the model was trained on a {kind}."
        )


def later_formats(table: Table, schema: TableSchema) -> tuple[dict[str, str], list[str]]:
    """Return the formats of dates in text, and notes on those that differ from training."""
    formats, notes = {}, []
    for column in schema.dates:
        if column_type(table.schema[column.name]) not in ("text", "number"):
            continue
        values = table.column(column.name)
        texts = trimmed(values.filter(~is_missing(values)).unique())
        formats[column.name] = column.format or ""
        if not len(texts) or (column.format and fraction_in_format(texts, column.format) >= ENOUGH):
            continue
        found = find_format(texts)
        if found is not None:
            formats[column.name], other = found
            if column.format or other:  # else training had dates that were no text, and this text fits one format only
                notes.append(f"{table.name}: dates in {column.name!r} are read as {found[0]}, unlike in training")
    return {name: form for name, form in formats.items() if form}, notes


def later_dates_notes(table: Table, schema: TableSchema) -> list[str]:
    """Return notes on dates after the latest one of training."""
    notes = []
    for column in schema.dates:
        days = table.column(column.name).cast(import_polars().Float64)
        count = 0 if column.latest is None else int((days > column.latest).sum())
        if column.latest is not None and count:
            rows_have = "1 row has" if count == 1 else f"{count:,} rows have"
            latest = str(np.datetime64(round(column.latest * SECONDS_A_DAY), "s").item()).removesuffix(" 00:00:00")
            notes.append(
                f"{table.name}: {rows_have} a date in column {column.name!r} after {latest}, the latest in training: "
                "the model extrapolates"
            )
    return notes


def usable_rows(table: Table, schema: TableSchema) -> tuple[Bool[np.ndarray, " rows"], tuple[str, ...]]:
    """Return which rows have all values that the schema needs, and notes."""
    counts = table.missing_counts([column.name for column in schema.columns])
    notes = missing_notes(table, counts, schema)
    without_fill = [column.name for column in schema.columns if column.fill is None]
    if schema.missing == "auto" and len(counts) == len(schema.columns):
        empty = table.rows_with_missing(counts, in_all=True)
        notes += [f"{table.name}: {int(empty.sum()):,} rows have no values: no predictions"] if empty.any() else []
        return ~empty, tuple(notes)
    counts = {name: counts[name] for name in without_fill if name in counts}
    if not counts:
        return np.ones(table.rows, dtype=np.bool_), tuple(notes)
    if schema.missing != "drop":
        refuse_missing(
            table,
            counts,
            "The model was trained on a table without missing values: fill them, remove the rows, or train with "
            "--missing auto, mean, median or drop.",
        )
    usable = ~table.rows_with_missing(counts)
    notes.append(dropped_note(table, int(np.count_nonzero(~usable)), counts))
    return usable, tuple(notes)


def missing_notes(
    table: Table, counts: Mapping[str, int], schema: TableSchema, *, is_training: bool = False
) -> list[str]:
    """Return the note on missing values that are filled, if there are any."""
    ways: dict[str, list[str]] = {}
    average = "mean" if schema.missing == "mean" else "median"
    for column in schema.columns:
        if column.name not in counts or column.fill is None:
            continue
        if column.kind == "category":
            way = "a category of their own" if column.fill == MISSING_CATEGORY else f"the category {column.fill!r}"
        elif column.kind == "boolean":
            way = "the most frequent value"
        else:
            way = f"the {average} of the training rows"
        way += ", with an input that marks them" if column.indicator else ""
        ways.setdefault(way, []).append(f"{column.name!r} ({counts[column.name]:,})")
    listed = "; ".join(f"{joined(names, most=MOST_NAMED)}: {way}" for way, names in ways.items())
    change = "; change it with --missing mean, median, drop or refuse" if is_training else ""
    return [f"{table.name}: missing values: {listed}{change}"] if ways else []


def infrequent_notes(table: Table, schema: TableSchema) -> list[str]:
    """Return the note on categories that became one, if there are any."""
    merged = [column.name for column in schema.categories if column.infrequent is not None]
    keep = option_text("--categories", merged)
    note = f"{table.name}: rare categories of {listing(merged)} become one, {INFREQUENT!r}; keep them with {keep}"
    return [note] if merged else []


def dropped_note(table: Table, dropped: int, counts: dict[str, int]) -> str:
    """Return the note on rows that are dropped because of missing values in some columns."""
    return f"{table.name}: {dropped:,} of {table.rows:,} rows dropped: missing values in {listing(counts, most=5)}"


def refuse_missing(
    table: Table, counts: dict[str, int], remedy: str, missing: Bool[np.ndarray, " rows"] | None = None
) -> None:
    """Refuse missing values, naming their number and the place of the first; `missing` is known of the first column."""
    if not counts:
        return
    name, count = next(iter(counts.items()))
    row = int(np.argmax(table.rows_with_missing([name]) if missing is None else missing))
    others = f"; {len(counts) - 1:,} more columns have missing values" if len(counts) > 1 else ""
    raise DataError(
        f"{table.name}: {count:,} of {table.rows:,} rows have no value in column {name!r}, the first of them "
        f"{table.place(row)}{others}. {remedy}"
    )
