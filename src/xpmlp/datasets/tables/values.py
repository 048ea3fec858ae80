"""Text columns of any file that are numbers after all: markers of missing values, units, thousands, leading zeros."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from msgspec.structs import replace as replace_fields

from xpmlp.errors import DataError
from xpmlp.model.table_schema import NumberFormat, Reading, TableSchema

from .columns import option_text
from .numbers import MARKERS_AMONG_NUMBERS, MISSING_MARKERS, apply_format, as_numbers, find_format
from .options import NO_MARKERS, TableOptions
from .table import Table, import_polars

LEADING_ZERO = r"^[+-]?0\d+$"


@dataclass
class Values:
    """What text columns hold.

    Attributes
    ----------
    columns
        Those that differ from the file's: text without spaces around it and markers, or numbers.
    reading
        How they were read.
    notes
        Each names the option that changes it.
    markers
        How often each marker of a missing value stands in each column.
    """

    columns: list[Any] = field(default_factory=list)
    reading: Reading = field(default_factory=Reading)
    notes: list[str] = field(default_factory=list)
    markers: dict[str, dict[str, int]] = field(default_factory=dict)


def markers(options: TableOptions) -> list[str]:
    """Return the cells that are missing values in any column."""
    usual = [""] if NO_MARKERS in options.na else MISSING_MARKERS
    return [*usual, *(marker for marker in options.na if marker != NO_MARKERS)]


def read_values(
    texts: Iterable[Any], options: TableOptions, schema: TableSchema | None, reading: Reading | None = None
) -> Values:
    """Read columns of text as numbers if all their values are, apart from markers of missing values."""
    polars, found = import_polars(), Values()
    known = Reading() if schema is None or schema.reading is None else schema.reading
    decimal_comma = reading is not None and reading.separator == ";"
    amongst: dict[str, str] = {}
    formats: dict[str, NumberFormat] = {}
    codes: list[str] = []
    examples: dict[str, str] = {}
    for original in texts:
        name, text = original.name, original.str.strip_chars()
        is_marker = text.is_in(markers(options)).fill_null(value=False)
        counts = Counter(text.filter(is_marker & (text != "")).to_list())
        text = text.set(is_marker, None)
        is_code = text.str.contains(LEADING_ZERO).fill_null(value=False)
        if name in options.categories:
            found.columns.append(text)
        elif name not in (*options.numbers, *known.formats) and (name in known.texts or is_code.any()):
            found.columns.append(text)
            if as_numbers(text) is not None:
                codes.append(name)
                examples[name] = next(iter(text.filter(is_code)), "")
        else:
            values, form, others = text_to_numbers(
                text, known.formats.get(name), decimal_comma=decimal_comma, keep=NO_MARKERS in options.na
            )
            found.columns.append(values)
            if others:
                amongst[name] = f"{others.total():,}"
                counts += others
            if form is not None:
                formats[name] = form
                has_value = values.is_not_null()
                is_decorated = has_value & text.cast(polars.Float64, strict=False).is_null()
                row = int(np.argmax((is_decorated if is_decorated.any() else has_value).to_numpy()))
                examples[name] = f"{text[row]} as {values[row]:.12g}"
        if counts:
            found.markers[name] = dict(counts.most_common())
    found.reading = replace_fields(reading or Reading(), formats=formats, texts=tuple(codes))
    usual = NumberFormat(",") if decimal_comma else None
    decorated = [name for name, form in formats.items() if form not in (usual, known.formats.get(name))]
    new_codes = {name: examples[name] for name in codes if examples[name] and name not in known.texts}
    if schema is not None:  # what columns are is known
        decorated, new_codes = [], {}
    found.notes.extend(value_notes(amongst, {name: examples[name] for name in decorated}, new_codes, options))
    return found


def value_notes(
    amongst: dict[str, str], decorated: dict[str, str], codes: dict[str, str], options: TableOptions
) -> Iterator[str]:
    """Yield the notes on columns, each with a number or an example; with ``--strict`` `--numbers` confirms them."""
    if amongst:
        yield f"read markers such as ? and - as missing values in {with_examples(amongst)}; keep them with --na none"
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

    Other text is returned as it is. `form` is the format of numbers if it is known; with `keep`, markers are text.
    """
    is_marker = text.str.to_lowercase().is_in([] if keep else MARKERS_AMONG_NUMBERS).fill_null(value=False)
    present = text.set(is_marker, None)
    values = as_numbers(present) if form is None else None
    if values is None:
        form = form or find_format(present, decimal_comma=decimal_comma)
        values = None if form is None else apply_format(present, form)
        if values is None or values.null_count() > present.null_count():
            return text, None, Counter()
    return values, form, Counter(text.filter(is_marker).to_list())


def with_examples(examples: dict[str, str]) -> str:
    """Return columns, each with an example in brackets."""
    return ", ".join(f"{name!r} ({example})" for name, example in examples.items())


def refuse_doubts(name: str, notes: Iterable[str], options: TableOptions) -> None:
    """With ``--strict``, refuse a table that could not be read literally."""
    doubts = [note.removeprefix(f"{name}: ") for note in notes] if options.strict else []
    if doubts:
        raise DataError(f"{name}: refused because of --strict: {'; '.join(doubts)}.")


def read_texts(table: Table, options: TableOptions | None, schema: TableSchema | None) -> Table:
    """Return a table of another format than CSV with its text read in the same way; other text stays as it is."""
    polars = import_polars()
    names = [name for name, dtype in table.schema.items() if dtype == polars.String]
    if not names:
        return table
    options = options or TableOptions()
    found = read_values(map(table.column, names), options, schema)
    refuse_doubts(table.name, found.notes, options)
    numbers = [series for series in found.columns if series.dtype != polars.String]
    changed = {series.name: series.dtype for series in numbers}
    return replace(
        table,
        frame=table.frame.with_columns(numbers),
        schema=table.schema | changed,
        reading=None if found.reading == Reading() else found.reading,
        notes=(*table.notes, *(f"{table.name}: {note}" for note in found.notes)),
        markers={name: counts for name, counts in found.markers.items() if name in changed},
    )
