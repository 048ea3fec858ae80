"""Whether a table fits the form that a model was trained on, and which of its rows do."""

import numpy as np
from jaxtyping import Bool

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, TableSchema

from .choosing import is_text, near, shown
from .table import Table, import_polars, missing_counts, refuse_missing, rows_with_missing

MOST_HINTS = 5  # of names that may have been meant, in a message


def conform(table: Table, form: TableSchema) -> tuple[str, ...]:
    """Check that a table has the form's columns, whatever their order; return what should be said.

    Raises
    ------
    DataError
        For a column that is missing, with near names, or one of another kind than in training.
    """
    names = [column.name for column in form.columns]
    missing = [name for name in names if name not in table.schema]
    if missing:
        extra = [name for name in table.schema if name not in names and name != form.target]
        hints = {name: near(name, extra) for name in missing[:MOST_HINTS]}
        if len(missing) > 1:
            hints = {name: text.replace(" Did", f" {name!r}: did") for name, text in hints.items()}
        raise DataError(
            f"{table.name}: {len(missing):,} of the {len(names):,} columns that the model was trained on are missing: "
            f"{shown(missing, most=10)}.{''.join(hints.values())} The table has beside: "
            f"{shown(extra, most=10) if extra else 'none'}."
        )
    for column in form.columns:
        check_kind(table, column)
    extra = [name for name in table.schema if name not in names and name != form.target]
    return (f"{table.name}: not used by the model: {shown(extra, most=10)}",) if extra else ()


def check_kind(table: Table, column: Column) -> None:
    """Refuse a column that is of another kind than in training."""
    polars = import_polars()
    name, dtype = column.name, table.schema[column.name]
    if dtype == polars.Null or (column.kind == "category" and not dtype.is_nested()):
        return
    if dtype.is_numeric() or dtype == polars.Boolean:
        if column.kind == "boolean" and dtype != polars.Boolean:
            values = table.column(name).cast(polars.Float64).fill_nan(None).drop_nulls()
            if not values.is_in([0.0, 1.0]).all():
                raise DataError(
                    f"{table.name}: column {name!r} was of yes and no in training, but holds other numbers."
                )
        return
    if is_text(polars, dtype):
        values = table.column(name).cast(polars.String)
        if values.null_count() == len(values):
            return
        wrong = values.is_not_null() & values.cast(polars.Float64, strict=False).is_null()
        row = int(np.argmax(wrong.to_numpy())) if wrong.any() else 0
        raise DataError(
            f"{table.name}: {table.place(row)}, column {name!r}: {values[row]!r} is text, but the model was trained on "
            f"{'numbers' if column.kind == 'number' else 'yes and no'} there. Correct the cell."
        )
    raise DataError(f"{table.name}: column {name!r} is of type {dtype}, but the model was trained on a {column.kind}.")


def usable_rows(table: Table, form: TableSchema) -> tuple[Bool[np.ndarray, " rows"], tuple[str, ...]]:
    """Tell which rows have all the values that the form needs; return what should be said.

    Raises
    ------
    DataError
        Where values are missing, and were refused in training.
    """
    counts = missing_counts(table, [column.name for column in form.columns])
    if not counts:
        return np.ones(table.rows, dtype=np.bool_), ()
    filled = [column.name for column in form.columns if column.fill is not None and column.name in counts]
    notes = []
    if filled:
        total = sum(counts.pop(name) for name in filled)
        notes.append(
            f"{table.name}: {total:,} missing values filled with the training rows' {form.missing} (categories: "
            f"commonest) in {shown(filled, most=5)}"
        )
    usable = np.ones(table.rows, dtype=np.bool_)
    if counts:
        if form.missing != "drop":
            refuse_missing(
                table,
                counts,
                "The model was trained on a table without missing values: fill them, remove the rows, or train with "
                "--missing mean, median or drop.",
            )
        usable = ~rows_with_missing(table, list(counts))
        notes.append(
            f"{table.name}: {np.count_nonzero(~usable):,} of {table.rows:,} rows left out, for they lack values in "
            f"{shown(counts, most=5)}"
        )
    return usable, tuple(notes)
