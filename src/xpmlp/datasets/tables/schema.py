"""A later table, checked against the schema of the training rows; notes on missing values and rare categories."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from xpmlp.errors import DataError
from xpmlp.model.table_schema import TableSchema

from ..dataset import joined, listing
from .columns import MOST_NAMED, did_you_mean
from .dates import ENOUGH, SECONDS_A_DAY, find_format, fraction_in_format
from .kinds import convert, is_missing, refuse_wrong_cells, trimmed, wrong_cells_note
from .table import Table, column_type, import_polars, rows_have

MOST_HINTS = 5  # suggested names in a message
NAMES_SHOWN = 10
INFREQUENT, MISSING_CATEGORY = "infrequent", "missing"


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
    notes = [f"not used by the model: {listing(extra, most=NAMES_SHOWN)}"] if extra else []
    for column in schema.columns:
        dtype, kind = table.schema[column.name], column.kind
        found = column_type(dtype)
        is_other = found == "other" and dtype != import_polars().Null
        if is_other or (found == "date" and kind in ("number", "boolean")):
            raise DataError(
                f"{table.name}: column {column.name!r} is of type {dtype}, but the model was trained on a {kind}."
            )
    formats, more = later_formats(table, schema)
    kinds = {column.name: column.kind for column in schema.columns}
    table, wrong = convert(replace(table, formats=formats, reading=schema.reading), kinds)
    refused = {name: w for name, w in wrong.items() if schema.missing != "auto" or 2 * w.count > w.present}
    refuse_wrong_cells(table, refused, "The model was trained on nothing else in this column: correct the cell.")
    return table, (*notes, *more, *wrong_cells_note(table, wrong), *later_dates_notes(table, schema))


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
                notes.append(f"dates in {column.name!r} are read as {found[0]}, unlike in training")
    return {name: form for name, form in formats.items() if form}, notes


def later_dates_notes(table: Table, schema: TableSchema) -> list[str]:
    """Return notes on dates after the latest one of training."""
    notes = []
    for column in schema.dates:
        days = table.column(column.name).cast(import_polars().Float64)
        count = 0 if column.latest is None else int((days > column.latest).sum())
        if column.latest is not None and count:
            latest = str(np.datetime64(round(column.latest * SECONDS_A_DAY), "s").item()).removesuffix(" 00:00:00")
            notes.append(
                f"{rows_have(count)} a date in column {column.name!r} after {latest}, the latest in "
                "training: the model extrapolates"
            )
    return notes


def usable_rows(table: Table, schema: TableSchema) -> tuple[Bool[np.ndarray, " rows"], tuple[str, ...]]:
    """Return which rows have all values that the schema needs, and notes."""
    counts = table.missing_counts([column.name for column in schema.columns])
    notes = missing_notes(counts, schema)
    without_fill = [column.name for column in schema.columns if column.fill is None]
    if schema.missing == "auto" and len(counts) == len(schema.columns):
        empty = table.rows_with_missing(counts, in_all=True)
        notes += [f"{int(empty.sum()):,} rows have no values: no predictions"] if empty.any() else []
        return ~empty, tuple(notes)
    counts = {name: counts[name] for name in without_fill if name in counts}
    if schema.missing != "drop":
        refuse_missing(
            table,
            counts,
            "The model was trained on a table without missing values: fill them, remove the rows, or train with "
            "--missing auto, mean, median or drop.",
        )
    usable = ~table.rows_with_missing(counts)
    notes += [dropped_note(table, int(np.count_nonzero(~usable)), counts)] if counts else []
    return usable, tuple(notes)


def missing_notes(counts: Mapping[str, int], schema: TableSchema, *, is_training: bool = False) -> list[str]:
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
    return [f"missing values: {listed}{change}"] if ways else []


def dropped_note(table: Table, dropped: int, counts: Mapping[str, int]) -> str:
    """Return the note on rows that are dropped because of missing values in some columns."""
    return f"{dropped:,} of {table.rows:,} rows dropped: missing values in {listing(counts, most=5)}"


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
