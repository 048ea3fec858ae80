"""Encoding the rows of a table as the inputs of a network."""

import itertools
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, TableSchema

from ..memory import check_memory
from .dates import date_part
from .table import Table, as_text, import_polars, rows_have

# The types that NumPy has too; booleans, decimals and the like become float64 first.
PLAIN_NUMBERS = {"UInt8", "UInt16", "UInt32", "UInt64", "Int8", "Int16", "Int32", "Int64", "Float32", "Float64"}
CACHED_ROWS, CACHED_CELLS = 2**14, 2**18  # at most, encoded at a time: they stay in the processor's cache
EXAMPLES = 3  # of unknown categories, in a note


def encode(
    schema: TableSchema, table: Table, parts: list[Bool[np.ndarray, " rows"]]
) -> tuple[list[Float32[np.ndarray, "_ features"]], tuple[str, ...]]:
    """Return the inputs of some parts of a table's rows, in the table's order, and notes on unknown categories.

    The table must fit the schema (see `check_table`), and all missing values must have a fill value.
    """
    sizes = [int(np.count_nonzero(part)) for part in parts]
    check_memory(
        sum(sizes) * schema.inputs * 4,
        what=f"{table.name}: {sum(sizes):,} rows of {schema.inputs:,} values",
        remedy="Take fewer columns with --features or --exclude, or fewer rows.",
    )
    arrays = [np.empty((size, schema.inputs), np.float32) for size in sizes]
    filled = [0] * len(parts)
    unknown: defaultdict[str, Counter[str]] = defaultdict(Counter)  # rows of each unknown category, by column
    used = np.logical_or.reduce(parts)
    names = [column.name for column in schema.columns]
    size = min(CACHED_ROWS, max(256, CACHED_CELLS // max(1, len(names))))
    for first, large in table.row_blocks(names):
        for start, block in zip(range(first, first + large.height, size), large.iter_slices(size), strict=True):
            rows = slice(start, start + block.height)
            x = encode_block(schema, table, block, start, used[rows], unknown)
            for index, part in enumerate(parts):
                chosen = np.flatnonzero(part[rows])
                # Without "clip" the rows would be copied twice.
                x.take(chosen, axis=0, out=arrays[index][filled[index] : filled[index] + len(chosen)], mode="clip")
                filled[index] += len(chosen)
    notes = []
    for name, found in unknown.items():
        examples = ", ".join(map(repr, list(found)[:EXAMPLES])) + (", …" if len(found) > EXAMPLES else "")
        notes.append(
            f"{rows_have(found.total())} a category in column {name!r} that no training row had "
            f"({examples}); it is encoded as none of the known ones"
        )
    return arrays, tuple(notes)


def encode_block(
    schema: TableSchema, table: Table, block: Any, start: int, used: Any, unknown: dict[str, Counter[str]]
) -> Float32[np.ndarray, "rows features"]:
    """Encode a block of a table's rows that begins with row `start`; rows that are not used may be anything."""
    x = np.zeros((block.height, schema.inputs), np.float32)
    position = 0
    # Neighbouring columns of numbers are converted together: a table of pixels has hundreds.
    for is_category, neighbours in itertools.groupby(schema.columns, lambda column: column.kind == "category"):
        columns = list(neighbours)
        width = sum(column.inputs for column in columns)
        target = x[:, position : position + width]
        if is_category:
            encode_categories(columns, block, target, used, unknown)
        else:
            encode_numbers(columns, block, target)
            refuse_infinite(columns, table, target, start, used)
        position += width
    return x


def encode_numbers(columns: list[Column], block: Any, target: Float32[np.ndarray, "rows inputs"]) -> None:
    """Write numbers, booleans and parts of dates, filled and scaled, and marks of missing values into `target`."""
    numbers = block[[column.name for column in columns]]
    others = [name for name, dtype in numbers.schema.items() if str(dtype) not in PLAIN_NUMBERS]
    if others:
        numbers = numbers.with_columns(import_polars().col(others).cast(import_polars().Float64))
    values = numbers.to_numpy(writable=True)
    offset = np.array([column.offset for column in columns], np.float64)
    scale = np.array([column.scale for column in columns], np.float64)
    one_each = target.shape[1] == len(columns) and not any(column.parts for column in columns)
    if one_each and values.dtype in (np.uint8, np.int8, np.uint16, np.int16) and not offset.any():
        # float32 holds these exactly; images come out as from any other file.
        np.divide(values, scale.astype(np.float32), out=target, casting="same_kind")
        return
    exact = values.astype(np.float64, copy=False)
    missing = np.isnan(exact)
    for index in np.flatnonzero(missing.any(axis=0)).tolist():
        fill = columns[index].fill
        if fill is not None:
            exact[missing[:, index], index] = fill
    with np.errstate(over="ignore", invalid="ignore"):
        if one_each:
            exact -= offset
            exact /= scale
            target[...] = exact
            return
        position = 0
        for index, column in enumerate(columns):
            parts = column.parts or (("elapsed", column.offset, column.scale),)  # which is the number itself
            for place, (part, low, width) in enumerate(parts, start=position):
                target[:, place] = (date_part(exact[:, index], part) - low) / width
            position += column.inputs
            if column.indicator:
                target[:, position - 1] = missing[:, index]


def refuse_infinite(
    columns: list[Column], table: Table, x: Float32[np.ndarray, "rows inputs"], start: int, used: Any
) -> None:
    """Refuse values that are infinite, or become infinite in float32."""
    if np.isfinite(x.min(initial=0.0)) and np.isfinite(x.max(initial=0.0)):
        return
    wrong = ~np.isfinite(x) & used[:, None]
    if not wrong.any():
        return
    row, index = (int(value) for value in np.unravel_index(np.argmax(wrong), wrong.shape))
    name = [column.name for column in columns for _ in range(column.inputs)][index]
    raise DataError(
        f"{table.name}: {table.place(start + row)}, column {name!r}: the value is infinite, or too "
        "large to compute with. Correct the cell or remove the row."
    )


def encode_categories(
    columns: list[Column],
    block: Any,
    target: Float32[np.ndarray, "rows inputs"],
    used: Any,
    unknown: dict[str, Counter[str]],
) -> None:
    """Write a 1 for each row's category into `target`, which holds zeros."""
    polars = import_polars()
    position = 0
    for column in columns:
        text = as_text(block[column.name])
        if column.fill is not None:
            text = text.fill_null(str(column.fill).strip())
        # Models of earlier versions may have spaces around categories.
        codes_of = {category.strip(): code for code, category in reversed([*enumerate(column.categories)])}
        codes = text.replace_strict(
            list(codes_of), list(codes_of.values()), default=-1, return_dtype=polars.Int64
        ).to_numpy()
        strange = (codes < 0) & used & text.is_not_null().to_numpy()
        if column.infrequent is not None:
            codes = np.where(codes < 0, column.categories.index(column.infrequent), codes)
        elif strange.any():
            unknown[column.name].update(text.filter(strange).to_list())
        known = np.flatnonzero(codes >= 0)
        target[known, position + codes[known]] = 1.0
        position += column.inputs
