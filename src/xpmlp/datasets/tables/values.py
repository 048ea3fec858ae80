"""Text columns of any file that are numbers after all: markers of missing values, units, thousands, leading zeros."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace as replace_fields

from xpmlp.errors import DataError
from xpmlp.model.table_schema import NumberFormat, Reading, TableSchema, reading_of

from ..dataset import joined
from .columns import MISTAKES_RECUR, MOST_NAMED, option_text
from .numbers import MARKERS_AMONG_NUMBERS, MISSING_MARKERS, apply_format, as_numbers, find_format
from .options import NO_MARKERS, TableOptions
from .table import Table, import_polars

LEADING_ZERO = r"^[+-]?0\d+$"
NONE = "None"
TRUTHS = {"true": True, "t": True, "yes": True, "y": True, "1": True, "1.0": True}
TRUTHS |= {"false": False, "f": False, "no": False, "n": False, "0": False, "0.0": False}


class Values(NamedTuple):
    """Columns of text as read: stripped, without markers, or as numbers; how; notes; and each column's markers."""

    columns: list[Any]
    reading: Reading
    notes: list[str]
    markers: dict[str, dict[str, int]]


def markers(options: TableOptions) -> list[str]:
    """Return the cells that are missing values in any column."""
    usual = [""] if NO_MARKERS in options.na else MISSING_MARKERS
    return [*usual, *(marker for marker in options.na if marker != NO_MARKERS)]


def read_values(
    texts: Iterable[Any], options: TableOptions, schema: TableSchema | None, reading: Reading | None = None
) -> Values:
    """Read columns of text as numbers if all their values are, apart from markers of missing values."""
    known = reading_of(schema)
    decimal_comma = reading is not None and reading.separator == ";"
    usual = NumberFormat(",") if decimal_comma else None
    found = Values([], reading or Reading(), [], {})
    formats: dict[str, NumberFormat] = {}
    codes: list[str] = []
    among: dict[str, str] = {}  # columns to note, each with a number or an example
    decorated: dict[str, str] = {}
    zeros: dict[str, str] = {}
    changed: dict[str, str] = {}
    for original in texts:
        name, text = original.name, original.str.strip_chars()
        is_marker = text.is_in(markers(options)).fill_null(value=False)
        counts = Counter(text.filter(is_marker & (text != "")).to_list())
        values = text = text.set(is_marker, None)
        is_code = text.str.contains(LEADING_ZERO).fill_null(value=False)
        may_be_number = name in (*options.numbers, *known.formats) or not (name in known.texts or is_code.any())
        if name not in options.categories and may_be_number:
            values, form, others = text_to_numbers(
                text, known.formats.get(name), decimal_comma=decimal_comma, keep=NO_MARKERS in options.na
            )
            counts += others
            if others:
                among[name] = f"{others.total():,}"
            if form is not None:
                formats[name] = form
                if form != known.formats.get(name, form):
                    changed[name] = decorated_example(text, values)
                if form != usual and values.count():
                    decorated[name] = decorated_example(text, values)
        elif name not in options.categories and as_numbers(text) is not None:
            codes.append(name)
            if is_code.any():
                zeros[name] = text.filter(is_code)[0]
        if counts[NONE] >= MISTAKES_RECUR and name not in codes and is_category(values, options, schema):
            values = values.set((original.str.strip_chars() == NONE).fill_null(value=False), NONE)
            del counts[NONE]
        found.columns.append(values)
        if counts:
            found.markers[name] = dict(counts.most_common())
    if schema is not None:  # what columns are is known
        decorated, zeros = {}, {}
    if changed:
        found.notes.append(f"numbers are written unlike in training: {with_examples(changed)}")
    found.notes.extend(value_notes(among, decorated, zeros, options))
    return found._replace(reading=replace_fields(found.reading, formats=formats, texts=tuple(codes)))


def is_category(values: Any, options: TableOptions, schema: TableSchema | None) -> bool:
    """Return whether "None" among these values is one of them, as the least of an amount, and not a missing value."""
    known = () if schema is None else schema.columns
    if any(NONE not in column.categories for column in known if column.name == values.name):
        return False
    if values.dtype != import_polars().String or NONE in options.na:
        return False
    return not values.drop_nulls().str.to_lowercase().is_in(list(TRUTHS)).all()


def decorated_example(text: Any, values: Any) -> str:
    """Return the first text that is not a plain number, or else the first, with its value."""
    polars = import_polars()
    has_value = values.is_not_null()
    is_decorated = has_value & text.cast(polars.Float64, strict=False).is_null()
    row = int(np.argmax((is_decorated if is_decorated.any() else has_value).to_numpy()))
    return f"{text[row]} as {values[row]:.12g}"


def value_notes(
    among: dict[str, str], decorated: dict[str, str], codes: dict[str, str], options: TableOptions
) -> Iterator[str]:
    """Yield the notes on columns, each with a number or an example; with ``--strict`` `--numbers` confirms them."""
    if among:
        yield f"read markers such as ? and - as missing values in {with_examples(among)}; keep them with --na none"
    if options.strict:
        decorated = {name: example for name, example in decorated.items() if name not in options.numbers}
    if decorated:
        keep = option_text("--categories", decorated)
        confirm = f", or confirm it with {option_text('--numbers', decorated)}" if options.strict else ""
        yield f"read as numbers: {with_examples(decorated)}; keep the text with {keep}{confirm}"
    if codes:
        numbers = option_text("--numbers", codes)
        yield f"kept as text, for leading zeros: {with_examples(codes)}; read numbers with {numbers}"


def text_to_numbers(
    text: Any, form: NumberFormat | None, *, decimal_comma: bool, keep: bool
) -> tuple[Any, NumberFormat | None, Counter[str]]:
    """Return text as numbers if all of it is numbers or markers, their format unless plain, and the markers.

    Other text is returned as it is. `form` is that of the training data if it is known: another with the same unit, or
    none, is read as well if the text cannot be of that one. With `keep`, markers are text.
    """
    is_marker = text.str.to_lowercase().is_in([] if keep else MARKERS_AMONG_NUMBERS).fill_null(value=False)
    present = text.set(is_marker, None)
    values = as_numbers(present) if form is None else apply_format(present, form)
    if values is None or values.null_count() > present.null_count():
        found = find_format(present, decimal_comma=decimal_comma)
        if found is None or (form is not None and found.unit not in ("", form.unit)):
            return text, None, Counter()
        form, values = found, apply_format(present, found)
    return values, form, Counter(text.filter(is_marker).to_list())


def with_examples(examples: dict[str, str]) -> str:
    """Return columns, each with an example in brackets."""
    return joined((f"{name!r} ({example})" for name, example in examples.items()), most=MOST_NAMED)


def refuse_doubts(name: str, notes: Iterable[str], options: TableOptions) -> None:
    """With ``--strict``, refuse a table that could not be read literally."""
    if options.strict and (doubts := "; ".join(notes)):
        raise DataError(f"{name}: refused because of --strict: {doubts}.")


def read_texts(table: Table, options: TableOptions, schema: TableSchema | None) -> Table:
    """Return a table of another format than CSV with its text read in the same way: empty text is a missing value.

    Other text that is not numbers stays as it is.
    """
    polars = import_polars()
    names = [name for name, dtype in table.schema.items() if dtype == polars.String]
    if not names:
        return table
    found = read_values(map(table.column, names), options, schema)
    refuse_doubts(table.name, found.notes, options)
    numbers = [series for series in found.columns if series.dtype != polars.String]
    changed = {series.name: series.dtype for series in numbers}
    known = {} if schema is None else {column.name: column.categories for column in schema.columns}
    texts = [polars.col(name) for name in names if name not in changed and "" not in known.get(name, ())]
    present = [polars.when(text.str.strip_chars() != "").then(text) for text in texts]
    return replace(
        table,
        frame=table.frame.with_columns(*numbers, *present),
        schema=table.schema | changed,
        reading=None if found.reading == Reading() else found.reading,
        notes=(*table.notes, *found.notes),
        markers={name: counts for name, counts in found.markers.items() if name in changed},
    )
