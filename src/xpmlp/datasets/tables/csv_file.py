"""CSV files and the like: read by Polars, and by Python's csv module to find the layout and lines."""

import csv
import io
import itertools
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Reading, TableSchema, reading_of

from .columns import option_text
from .footer import without_footer
from .kinds import names_the_rows
from .layout import Layout, Record, find_layout, split_records
from .options import DEFAULTS, NO_MARKERS, TableOptions
from .table import Table, import_polars, polars_errors, reports_polars_errors
from .text_file import Text, read_text
from .values import LEADING_ZERO, markers, read_values, refuse_doubts

SAMPLE_ROWS = 100
MOST_CODES = 200  # columns of whole numbers that are searched for leading zeros; pixels are more


@dataclass(frozen=True)
class CsvFile:
    """A CSV file and its layout."""

    text: Text
    layout: Layout

    def scan(self, types: dict[str, Any], **arguments: Any) -> Any:
        """Return a LazyFrame of the columns that have a type."""
        polars, names = import_polars(), self.layout.names
        frame = polars.scan_csv(
            self.text.content,
            has_header=False,
            skip_lines=self.layout.first_line,
            separator=self.layout.separator,
            comment_prefix=self.layout.comment,
            schema={name: types.get(name, polars.String) for name in names},
            **arguments,
        )
        if len(types) == len(names):  # a selection of all takes as long as reading
            return frame
        return frame.select(polars.nth(*(index for index, name in enumerate(names) if name in types)))

    def read(self, types: dict[str, Any], **arguments: Any) -> Any:
        """Read the columns that have a type."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = self.scan(types, **arguments).collect()
        if any("malformed" in str(warning.message) for warning in caught):  # rows of it are lost
            raise import_polars().exceptions.ComputeError("a quote without its partner")
        return frame

    def records(self) -> Iterator[Record]:
        """Yield the rows; blank lines have no cells. This second reading is slow and exact."""
        first, layout = self.layout.first_line, self.layout
        with self.text.open() as file:
            yield from split_records(itertools.islice(file, first, None), layout.separator, layout.comment, first)

    def find_line(self, row: int) -> int | None:
        """Return the line, counted from 1, in which a row, counted from 0, starts."""
        lines = (record.start for record in self.records() if record.cells)
        return next((line + 1 for index, line in enumerate(lines) if index == row), None)

    def check_rectangular(self) -> None:
        """Refuse a file whose rows have different numbers of cells, naming the first one."""
        width = len(self.layout.names)
        optional = self.layout.names[-1] in self.layout.unnamed  # a separator at the end of a line
        for row, record in enumerate(record for record in self.records() if record.cells):
            count = len(record.cells)
            if count != width and not (optional and count == width - 1):
                raise DataError(
                    f"{self.text.path}: row {row + 1:,} (line {record.start + 1:,}) has {count} values, but the first "
                    f"line has {width}. Correct this line; put quotes around a value that contains the separator."
                )


@reports_polars_errors
def read_csv(path: Path, options: TableOptions = DEFAULTS, schema: TableSchema | None = None) -> Table:
    """Read a CSV file, perhaps for a model. Columns whose first values are 0 to 255 take a byte each if all are."""
    text = read_text(path, options, reading_of(schema))
    layout = find_layout(str(path), text.head(), options, schema)
    reading = Reading(text.encoding, layout.separator, layout.has_header, layout.comment)
    file = canonical(CsvFile(text, layout))
    kept, footer = without_footer(file.text, file.layout, options)
    file = replace(file, text=kept)
    try:
        with polars_errors(f"{path}: cannot be read as CSV", "Is it a table with a separator, and whole?"):
            frame = read_frame(file, options, schema)
    except DataError:
        file.check_rectangular()
        raise
    if frame.width and frame[frame.columns[-1]].null_count():
        # Polars fills up rows that are too short, and takes a blank line for a row.
        file.check_rectangular()
        frame = without_blank_lines(file, frame)
    if frame.height == 0:  # only blank lines, or damage
        raise DataError(f"{path}: has no rows that can be read. Give a table with at least two rows.")
    texts = frame.select(import_polars().selectors.string())
    found = read_values(texts.get_columns(), options, schema, reading)
    frame, reading, notes = frame.with_columns(found.columns), found.reading, found.notes
    harmless: list[str] = []
    empty = [name for name in layout.unnamed if frame[name].null_count() == frame.height]
    if empty and len(empty) < frame.width:
        frame = frame.drop(empty)
        harmless.append(f"columns dropped: {', '.join(empty)} (no name, no values)")
    nameless = [name for name in layout.unnamed if name in frame.columns and name not in options.exclude]
    nameless = [name for name in nameless if not names_the_rows(frame[name])]  # which another note tells
    if nameless:
        leave = option_text("--exclude", nameless)
        notes.append(f"columns without a name are called {', '.join(nameless)}; leave them out with {leave}")
    doubts = [note for note in (*text.notes, footer, *layout.notes, *notes) if note]
    refuse_doubts(str(path), doubts, options)

    def find_line(row: int) -> int | None:
        with suppress(DataError, OSError):  # the file is read again, as its text takes memory; it may be gone
            return CsvFile(read_text(path, options, reading_of(schema)), layout).find_line(row)
        return None

    return Table.of(
        str(path),
        frame,
        notes=(*doubts, *harmless),
        find_line=find_line,
        reading=None if reading == Reading() else reading,
        markers=found.markers,
    )


def canonical(file: CsvFile) -> CsvFile:
    """Return a file with a separator that Polars knows, in memory if it has another one."""
    layout = file.layout
    if len(layout.separator.encode()) == 1 and layout.separator != " ":
        return file
    text = io.StringIO()
    writer, written = csv.writer(text, lineterminator="\n"), 0
    for record in file.records():
        text.write("\n" * (record.start - written))  # so that lines keep their numbers
        writer.writerow(record.cells)
        written = record.end
    content = text.getvalue().encode(errors="replace")
    return CsvFile(replace(file.text, content=content), replace(layout, separator=",", comment=None))


def read_frame(file: CsvFile, options: TableOptions, schema: TableSchema | None) -> Any:
    """Read all cells; a column has the type of its first values if all can be read so."""
    polars = import_polars()
    names, text = file.layout.names, polars.String
    # Comparing every cell with every marker would take most of the time. In columns of numbers only a second reading
    # looks for markers; in columns of text `read_values` does.
    sample = file.read(dict.fromkeys(names, text), n_rows=SAMPLE_ROWS)
    known = reading_of(schema)
    kept = {*options.categories, *known.formats, *known.texts}
    types = find_types(sample, options) | {name: text for name in names if name in kept}
    given = [marker for marker in options.na if marker != NO_MARKERS] or None  # they may be numbers
    try:
        frame = file.read(types, null_values=given)
    except polars.exceptions.ComputeError:
        # Columns with a value of another type than the first ones are read again, as text.
        frame = file.read(types, null_values=given, ignore_errors=True)
        doubtful = {name for name in names if frame[name].null_count() and types[name] != text}
    else:
        doubtful = set()
    doubtful |= find_leading_zeros(file, [name for name in names if types[name].is_integer()], options)
    again = {name: text for name in names if name in doubtful}
    return frame.with_columns(file.read(again)) if again else frame


def find_types(sample: Any, options: TableOptions) -> dict[str, Any]:
    """Return the type of each column by its first cells; all columns at once, as there may be thousands."""
    polars = import_polars()
    cells = polars.all()
    sample = sample.select(polars.when(cells.is_in(markers(options))).then(None).otherwise(cells).name.keep())
    fits = {
        polars.Boolean: cells.is_in(["true", "false", "True", "False"]).all(),
        **{
            kind: (cells.cast(kind, strict=False).null_count() == cells.null_count())
            & ~cells.str.contains(LEADING_ZERO).any()
            for kind in (polars.Float64, polars.Int64, polars.UInt8)
        },
    }
    types = dict.fromkeys(sample.columns, polars.String)
    for kind, condition in fits.items():
        found = sample.select(condition & cells.is_not_null().any()).row(0, named=True)
        types |= {name: kind for name, is_fit in found.items() if is_fit}  # the last one that fits is the narrowest
    return types


def find_leading_zeros(file: CsvFile, names: list[str], options: TableOptions) -> set[str]:
    """Return the columns in which a cell of digits begins with 0."""
    polars = import_polars()
    names = [name for name in names if name not in options.numbers]
    if not names or len(names) > MOST_CODES:
        return set()
    texts = file.scan(dict.fromkeys(names, polars.String))
    found = texts.select(polars.all().str.contains(LEADING_ZERO).any()).collect(engine="streaming")
    return {name for name, is_code in zip(names, found.row(0), strict=True) if is_code}


def without_blank_lines(file: CsvFile, frame: Any) -> Any:
    """Return the frame without blank lines; a line of separators alone is a row without values."""
    polars = import_polars()
    if frame.width == 1 or not frame.select(polars.all_horizontal(polars.all().is_null()).any()).item():
        return frame
    is_row = np.ones(frame.height, dtype=np.bool_)
    blank = [row for row, record in enumerate(file.records()) if not record.cells]
    is_row[[row for row in blank if row < len(is_row)]] = False
    return frame.filter(is_row)
