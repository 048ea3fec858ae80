"""Encoding the rows of a table as the inputs of a network."""

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
    x, places = np.zeros((block.height, schema.inputs), np.float32), schema.places
    if schema.numbers:
        encode_numbers(schema.numbers, block, x, places)
    for column in schema.categories:
        strange = encode_categories(column, as_text(block[column.name]), x[:, places[column.name]], used)
        if len(strange):
            unknown[column.name].update(strange.to_list())
    if (
        not np.isfinite((x.min(initial=0.0), x.max(initial=0.0))).all()
        and (wrong := used[:, None] & ~np.isfinite(x)).any()
    ):
        row, index = (int(value) for value in np.unravel_index(np.argmax(wrong), wrong.shape))
        name = next(name for name, place in places.items() if index < place.stop)
        raise DataError(
            f"{table.name}: {table.place(start + row)}, column {name!r}: the value is infinite, or too "
            "large to compute with. Correct the cell or remove the row."
        )
    return x


def encode_numbers(
    columns: tuple[Column, ...], block: Any, x: Float32[np.ndarray, "rows features"], places: dict[str, slice]
) -> None:
    """Write numbers, booleans and parts of dates, filled and scaled, and marks of missing values into `x`.

    They are converted together: a table of pixels has hundreds of columns.
    """
    polars, frame = import_polars(), block[[column.name for column in columns]]
    others = [name for name, dtype in frame.schema.items() if str(dtype) not in PLAIN_NUMBERS]
    values = (frame.with_columns(polars.col(others).cast(polars.Float64)) if others else frame).to_numpy(writable=True)
    offset, scale = (np.array([getattr(column, name) for column in columns]) for name in ("offset", "scale"))
    firsts = [places[column.name].start for column in columns]
    chosen = slice(firsts[0], firsts[-1] + 1) if firsts[-1] - firsts[0] < len(firsts) else firsts
    if isinstance(chosen, slice) and values.dtype in (np.uint8, np.int8, np.uint16, np.int16) and not offset.any():
        # float32 holds these exactly; images come out as from any other file.
        np.divide(values, scale.astype(np.float32), out=x[:, chosen], casting="same_kind")
        return
    numbers = values.astype(np.float64, copy=False)
    missing = np.isnan(numbers)
    for index in np.flatnonzero(missing.any(axis=0)).tolist():
        fill = columns[index].fill
        if fill is not None:
            numbers[missing[:, index], index] = fill
    with np.errstate(over="ignore", invalid="ignore"):
        numbers -= offset
        numbers /= scale
        x[:, chosen] = numbers
        for index, column in enumerate(columns):
            place = places[column.name]
            for position, (part, low, width) in enumerate(column.parts, start=place.start):  # of a date, not scaled yet
                x[:, position] = (date_part(numbers[:, index], part) - low) / width
            if column.indicator:
                x[:, place.stop - 1] = missing[:, index]


def encode_categories(column: Column, text: Any, x: Float32[np.ndarray, "rows inputs"], used: Any) -> Any:
    """Write a 1 for each row's category into `x`, which holds zeros; return texts that training did not have."""
    if column.fill is not None:
        text = text.fill_null(str(column.fill).strip())
    # Models of earlier versions may have spaces around categories.
    codes_of = {category.strip(): code for code, category in reversed([*enumerate(column.categories)])}
    codes = text.replace_strict(
        list(codes_of), list(codes_of.values()), default=-1, return_dtype=import_polars().Int64
    ).to_numpy()
    strange = text.filter((codes < 0) & used & text.is_not_null().to_numpy())
    if column.infrequent is not None:
        codes, strange = np.where(codes < 0, column.categories.index(column.infrequent), codes), strange[:0]
    known = np.flatnonzero(codes >= 0)
    x[known, codes[known]] = 1.0
    return strange
