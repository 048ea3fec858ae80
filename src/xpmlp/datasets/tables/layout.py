"""How the lines of a text file form a table: separator, lines before the table, comments, header and names."""

import csv
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from xpmlp.errors import DataError
from xpmlp.model.table_schema import TableSchema, reading_of

from .numbers import MARKERS_AMONG_NUMBERS, MISSING_MARKERS, is_number
from .options import TableOptions

SEPARATORS = "\t;|,"  # of equally good ones, the first: commas also stand in texts and numbers
SPACE = " "  # any number of spaces and tabs
SEPARATOR_NAMES = {
    "tab": "\t",
    "\\t": "\t",
    "space": SPACE,
    "spaces": SPACE,
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
}
COMMENTS = ("#", "%", "//")
NO_COMMENTS = "none"  # the choice of --comment
MOST_LINES = 100  # that are looked at
WELL_FORMED = 0.5  # share of the first lines that must have equally many cells
MOST_CHARACTERS = 2**24  # in a cell; the csv module's own limit is too low, and one for the whole process
EARLIEST, LATEST = 1800, 2100  # years
RULE = re.compile("[-=:+]{2,}|")  # below a header, as in Markdown
TOLD_SEPARATOR = re.compile('"?sep=(.)"?')  # Excel's first line
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?")

csv.field_size_limit(max(MOST_CHARACTERS, csv.field_size_limit()))


@dataclass(frozen=True)
class Layout:
    """How a text file is laid out."""

    separator: str  # one character, or several; a space stands for any number of spaces and tabs
    first_line: int  # number of lines before the first row: those skipped, the header, comments and blank lines
    comment: str | None  # the beginning of lines that are no rows
    has_header: bool
    names: tuple[str, ...]  # of the columns, each different
    unnamed: tuple[str, ...] = ()  # columns whose names are made up in a table with a header
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """The cells of a line, or of several if a quoted cell has line ends; lines are counted from 0."""

    start: int
    end: int
    cells: list[str]


def find_layout(path: str, lines: list[str], options: TableOptions, schema: TableSchema | None = None) -> Layout:
    """Return the layout of a file by its first lines.

    What the options say is not looked for. A line with the names of the columns of `schema`, that of the model for
    which the table is read, is the header.
    """
    lines = lines[:MOST_LINES]
    reading = reading_of(schema)
    expected = set() if schema is None else {column.name for column in schema.columns}
    start = options.skip_rows or 0
    if options.skip_rows is None and lines and (told := TOLD_SEPARATOR.fullmatch(lines[0].rstrip("\r\n"))):
        start, options = 1, replace(options, separator=options.separator or told[1])
    comment = options.comment or reading.comment or (find_comment(lines) if options.skip_rows is None else None)
    comment = None if comment == NO_COMMENTS else comment
    separator = options.separator and SEPARATOR_NAMES.get(options.separator.lower(), options.separator)
    if not separator:
        separator = find_separator(lines[start:], comment, reading.separator)
    records = filled_records(lines, separator, comment, start)
    if not records:
        raise DataError(f"{path}: has no rows. Give a table with a header and at least two rows.")
    index = find_first(records, expected) if options.skip_rows is None else 0
    first, rows = records[index].cells, [record.cells for record in records[index + 1 :]]
    has_header = options.header
    if has_header is None:
        is_known = has_names(first, expected)
        has_header = is_known or (reading.header and is_header(first, rows))
        if is_known:  # names that were given for the training data are not needed
            options = replace(options, names=())
    rest, notes = records[index + has_header :], []
    if has_header and len(rest) > 1 and options.skip_rows is None:
        if any(rest[0].cells) and all(RULE.fullmatch(cell.strip()) for cell in rest[0].cells):
            del rest[0]
        elif is_second_header(rest[0].cells, [record.cells for record in rest[1:]]):
            out = rest[0]
            if sum(map(bool, first)) < sum(map(bool, out.cells)):  # it names groups of columns
                out, first = records[index], out.cells
            left_out = f"line {out.start + 1:,} left out, for units or more names: {', '.join(out.cells)[:60]!r}"
            notes.append(f"{left_out}; keep it with --skip-rows {records[index].start}")
            del rest[0]
    if not rest:
        raise DataError(f"{path}: has a header and no rows. Give a table with at least two rows.")
    if index and records[index].start > start:
        notes.append(f"the table begins in line {records[index].start + 1:,}; read all lines with --skip-rows 0")
    if comment and not options.comment:
        notes.append(f"lines that begin with {comment} are comments; keep them with --comment none")
    if separator not in SEPARATORS and not options.separator:
        notes.append("the cells are separated by spaces; change it with --separator ','")
    names, unnamed = name_columns(path, first, [record.cells for record in rest], has_header, options, notes)
    return Layout(
        separator,
        first_line=rest[0].start,
        comment=comment,
        has_header=has_header,
        names=names,
        unnamed=unnamed,
        notes=tuple(notes),
    )


def split_records(lines: Iterable[str], separator: str, comment: str | None, start: int = 0) -> Iterator[Record]:
    """Yield the records of some lines, the first of them line `start`; a blank line has no cells.

    It ends at a cell of many megabytes.
    """
    taken = start

    def without_comments() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            if not (comment and line.startswith(comment)):
                yield line

    reader, before = read_cells(without_comments(), separator), 0
    with suppress(csv.Error):
        for cells in reader:
            is_blank = len(cells) == 1 and not cells[0].strip()
            yield Record(taken - (reader.line_num - before), taken, [] if is_blank else cells)
            before = reader.line_num


def filled_records(lines: Sequence[str], separator: str, comment: str | None, start: int = 0) -> list[Record]:
    """Return the records of some lines from one on, without blank lines."""
    return [record for record in split_records(lines[start:], separator, comment, start) if record.cells]


def read_cells(lines: Iterable[str], separator: str) -> Any:
    """Return a reader of the csv module for any separator."""
    if separator == SPACE:
        return csv.reader((line.strip().replace("\t", " ") for line in lines), delimiter=" ", skipinitialspace=True)
    if len(separator) > 1:
        return csv.reader((line.replace(separator, "\x1f") for line in lines), delimiter="\x1f")
    return csv.reader(lines, delimiter=separator)


def find_comment(lines: list[str]) -> str | None:
    """Return the beginning of comments if the first line is one, and not a header that looks like one."""
    filled = [line for line in lines if line.strip()]
    mark = next((mark for mark in COMMENTS if filled and filled[0].startswith(mark)), None)
    if mark is None:
        return None
    leading = list(itertools.takewhile(lambda line: line.startswith(mark), filled))
    others = filled[len(leading) :]
    separator = find_separator(others, mark)
    header, *rows = [record.cells for record in filled_records([leading[-1], *others], separator, None)]
    is_table = len(rows) > 0 and len(header) == len(rows[0]) > 1
    return None if is_table and not is_header(rows[0], rows[1:]) else mark


def find_separator(lines: list[str], comment: str | None, preferred: str = ",") -> str:
    """Return the separator that gives most lines equally many cells."""
    shares: dict[str, float] = {}
    for separator in dict.fromkeys([*SEPARATORS, SPACE, preferred]):
        widths = Counter(len(record.cells) for record in filled_records(lines, separator, comment))
        usual = max((width for width in widths if width > 1), key=widths.__getitem__, default=0)
        shares[separator] = widths[usual] / max(1, widths.total())
    spaces = shares.pop(SPACE)
    is_aligned = spaces >= shares["\t"] > 0 and any("  " in line.strip() for line in lines)
    if is_aligned or max(shares.values()) < WELL_FORMED < spaces:
        return SPACE
    if not any(shares.values()) or shares.get(preferred, spaces) == 1.0:
        return preferred
    return max(shares, key=shares.__getitem__)


def find_first(records: list[Record], expected: set[str]) -> int:
    """Return the index of a table's first record, a header or a row; what is before it is a title or remarks."""
    for index, record in enumerate(records):
        if has_names(record.cells, expected):
            return index
    widths = Counter(len(record.cells) for record in records)
    usual = max(widths, key=lambda width: (widths[width], width))
    if usual == 1 or widths[usual] < WELL_FORMED * len(records):
        return 0
    index = next(index for index, record in enumerate(records) if len(record.cells) == usual)
    while usual > 2 and index < len(records) - 2 and is_padded_text(records[index].cells):
        index += 1
    before, rows = records[:index], [record.cells for record in records[index:]]
    if before and fits_rows(before[-1].cells, rows):
        return index - 1
    # A line with several cells may be a header with a mistake, which must not be skipped in silence.
    is_title = all(len(record.cells) == 1 or is_padded_text(record.cells) for record in before) or is_header(
        rows[0], rows[1:]
    )
    return index if is_title else 0


def is_padded_text(cells: list[str]) -> bool:
    """Return whether a line holds no more than text in its first cell, as spreadsheets write titles and empty rows."""
    first, *others = [cell.strip() for cell in cells] or [""]
    return not any(others) and (first == "" or not is_value(first))


def has_names(cells: list[str], expected: set[str]) -> bool:
    """Return whether a line has at least half of the names that are expected."""
    return bool(expected) and 2 * len(expected.intersection(map(str.strip, cells))) >= len(expected)


def is_second_header(cells: list[str], rows: list[list[str]]) -> bool:
    """Return whether a line below the header has text above most columns of numbers, and no numbers."""
    above = [cell.strip() for cell in cells]
    columns = [[row[index].strip() for row in rows if index < len(row)] for index in range(len(above))]
    numbers = [bool(column) and all(cell == "" or is_value(cell) for cell in column) for column in columns]
    is_text = [cell not in MISSING_MARKERS and not is_value(cell) for cell in above]
    both = sum(number and text for number, text in zip(numbers, is_text, strict=True))
    return not any(map(is_number, above)) and both > 1 and 2 * both > sum(numbers)


def fits_rows(header: list[str], rows: list[list[str]]) -> bool:
    """Return whether a header has a cell more or less than the rows: for a separator at the end, or row names."""
    if len(header) == len(rows[0]) + 1 > 2:
        return not header[-1].strip()
    if len(header) != len(rows[0]) - 1 or not is_header(header, [row[1:] for row in rows]):
        return False
    if not any(row[-1].strip() for row in rows):
        return True
    return len({row[0] for row in rows}) == len(rows) > 1 and not is_header(rows[0], rows[1:])


def is_header(first: list[str], rows: list[list[str]]) -> bool:
    """Return whether a line holds names, by its cells and those of the rows below.

    Names stand above numbers, or count steadily, as years do. Without such evidence, a line is a row if it has numbers,
    markers of missing values, or at least half of its texts again below them.
    """
    cells = [cell.strip() for cell in first]
    numbers = [cell for cell in cells if is_number(cell)]
    is_text = [bool(cell) and not is_value(cell) for cell in cells]
    recurring = 0
    for index, cell in enumerate(cells):
        if is_text[index]:
            below = [row[index].strip() for row in rows if index < len(row)]
            values = [value for value in below if value and value.lower() not in MARKERS_AMONG_NUMBERS]
            if values and all(map(is_value, values)):
                return True
            recurring += cell in below
    if count_steadily(numbers):
        return True
    if numbers or any(cell and not text for cell, text in zip(cells, is_text, strict=True)):
        return False
    return 2 * recurring < sum(is_text) or not any(is_text)


def is_value(cell: str) -> bool:
    """Return whether a cell is a number, a date or a marker of a missing value, rather than a name."""
    return is_number(cell) or cell.lower() in MARKERS_AMONG_NUMBERS or DATE.fullmatch(cell) is not None


def count_steadily(cells: list[str]) -> bool:
    """Return whether cells are 0, 1, 2, …, or years or other numbers that grow by the same step."""
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return False
    steps = [after - before for before, after in itertools.pairwise(values)]
    is_regular = len(steps) > 1 and steps[0] > 0 and all(abs(step - steps[0]) < 1e-6 * steps[0] for step in steps)
    return is_regular and (len(steps) > 2 or values[:2] == [0, 1] or EARLIEST <= values[0] <= values[-1] <= LATEST)


def name_columns(
    path: str, first: list[str], rows: list[list[str]], has_header: bool, options: TableOptions, notes: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the columns, and those that are made up in a table with a header; add to the notes."""
    cells = [cell.strip() for cell in first] if has_header else [""] * len(first)
    if has_header and fits_rows(first, rows):
        if len(first) > len(rows[0]):
            cells.pop()
        elif any(row[-1].strip() for row in rows):
            cells.insert(0, "")
        else:
            cells.append("")
    if options.names and len(options.names) != len(cells):
        raise DataError(f"{path}: --names: {len(options.names)} names for {len(cells)} columns. Name every column.")
    names: dict[str, None] = {}  # in order; there may be thousands
    unnamed, repeated = [], []
    for index, cell in enumerate(options.names or cells):
        name, count = cell or f"column_{index + 1}", 0
        while name in names or (count and name in cells):
            name, count = f"{cell}_duplicated_{count}", count + 1
        names[name] = None
        repeated += [cell] * bool(count)
        unnamed += [name] * (not cell)
    if not has_header and not options.names and options.header is None:
        notes.append(
            "has no header: its first line is like the others. The columns are called column_1, column_2, …; name them "
            "with --names A,B,… or use the line as names with --header"
        )
    if repeated:
        listed = ", ".join(sorted(set(repeated)))
        notes.append(
            f"several columns are called {listed}; the later ones have _duplicated_0, … appended. Rename them with "
            f"--names {shlex.quote(','.join(names))}"
        )
    return tuple(names), tuple(unnamed) if has_header else ()
