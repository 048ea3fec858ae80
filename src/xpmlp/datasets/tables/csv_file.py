"""CSV files, plain or compressed with gzip or Zstandard: read by Polars, and by Python's csv module to find lines."""

import csv
import gzip
import io
import warnings
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xpmlp.errors import DataError

from ..idx import GZIP_MAGIC
from ..memory import check_memory
from .options import TableOptions
from .table import Table, import_polars, polars_errors

# The markers of missing values that pandas knows.
MISSING_MARKERS = [
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
]
# Also missing, in lower case, where all other values are numbers.
MARKERS_AMONG_NUMBERS = [
    *("?", "-", "--", "---", "–", "—", ".", "..", "...", "*", "na", "n/a", "n.a.", "nan", "none", "null", "nil"),
    *("missing", "unknown", "not available", "#value!", "#div/0!", "#ref!", "#null!"),
]
NO_MARKERS = "none"  # the choice of --na
SEPARATORS = (",", ";", "\t", "|")
SAMPLE_ROWS = 100
MOST_CHARACTERS = 2**24  # in a cell; the csv module's own limit is too low
# The encodings other than Unicode that are looked for. Those of Central Europe look like Western ones, which are more
# frequent.
LIKELY_ENCODINGS = ["cp1252", "cp1251", "cp1253", "cp932", "gb18030", "big5", "euc_kr", "koi8_r"]
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
FOREIGN = {
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or save it as CSV",
    b"<!DO": "an HTML page: the download went wrong",
    b"<htm": "an HTML page: the download went wrong",
    b"%PDF": "a PDF document",
}
SAMPLE_BYTES = 2**16  # of which the encoding is guessed


@dataclass(frozen=True)
class CsvFile:
    """A CSV file and its layout.

    Attributes
    ----------
    content
        The file's content in UTF-8, decompressed, if it is in another encoding.
    """

    path: Path
    content: bytes | None = None
    separator: str = ","
    has_header: bool = True
    width: int = 0

    @property
    def source(self) -> Path | io.BytesIO:
        """The argument for Polars."""
        return self.path if self.content is None else io.BytesIO(self.content)

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open the text for Python, decompressed."""
        if self.content is not None:
            yield io.TextIOWrapper(io.BytesIO(self.content), encoding="utf-8", newline="")
            return
        with self.path.open("rb") as raw:
            magic = raw.read(4)
        if magic == ZSTD_MAGIC:  # Python has no Zstandard before 3.14
            yield io.StringIO("\n".join(line or "" for line in self.lines()))
            return
        opened = gzip.open if magic[:2] == GZIP_MAGIC else open
        with opened(self.path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            yield file

    def lines(self, count: int | None = None) -> list[str | None]:
        """Return the first lines, or all, decompressed by Polars."""
        # With a separator that no file contains, each line is one value.
        frame = import_polars().read_csv(
            self.source,
            n_rows=count,
            has_header=False,
            separator="\x01",
            quote_char=None,
            infer_schema=False,
            new_columns=["line"],
            glob=False,
        )
        return list(frame["line"])

    def read(self, **arguments: Any) -> Any:
        """Read the file with Polars."""
        if not self.has_header:
            arguments["new_columns"] = [f"column_{index + 1}" for index in range(self.width)]
        polars = import_polars()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = polars.read_csv(
                self.source, separator=self.separator, has_header=self.has_header, glob=False, **arguments
            )
        if any("malformed" in str(warning.message) for warning in caught):  # rows of it are lost
            raise polars.exceptions.ComputeError("a quote without its partner")
        return frame

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each record's first line, counted from 1, and its cells; a blank line has none.

        This second reading is slow and exact. It ends where a file is damaged.
        """
        before = csv.field_size_limit(MOST_CHARACTERS)
        try:
            with self.open() as file:
                reader = csv.reader(file, delimiter=self.separator)
                line = 1
                for cells in reader:
                    yield line, cells
                    line = reader.line_num + 1
        except (csv.Error, OSError, EOFError, zlib.error):
            return
        finally:
            csv.field_size_limit(before)

    def find_line(self, row: int) -> int | None:
        """Return the line, counted from 1, in which a row, counted from 0, starts."""
        lines = (line for line, cells in self.records() if cells)
        return next((line for record, line in enumerate(lines) if record == row + self.has_header), None)

    def check_rectangular(self) -> None:
        """Refuse a file whose rows have different numbers of cells, naming the first one."""
        filled = ((line, cells) for line, cells in self.records() if cells)
        width = None
        for record, (line, cells) in enumerate(filled):
            width = width or len(cells)
            if len(cells) != width:
                raise DataError(
                    f"{self.path}: row {record:,} (line {line:,}) has {len(cells)} values, but the first line has "
                    f"{width}. Correct this line; put quotes around a value that contains the separator."
                )


def read_csv(path: Path, options: TableOptions | None = None) -> Table:
    """Read a CSV file. Columns whose first values are 0 to 255 take a byte for each value if all are."""
    options = options or TableOptions()
    encoding = options.encoding or detect_unicode(path)
    if encoding is not None:
        given = "" if options.encoding else f"{path}: is encoded in {encoding.upper()}"
        return read_text(decode(path, encoding), options, given)
    try:
        return read_text(CsvFile(path), options)
    except DataError as error:
        if "utf-8" not in str(error).lower():
            raise
    encoding = guess_encoding(path)
    return read_text(
        decode(path, encoding, errors="replace"),
        options,
        f"{path}: is not UTF-8; read as {encoding}. Change it with --encoding NAME",
    )


def read_text(file: CsvFile, options: TableOptions, note: str = "") -> Table:
    """Read a CSV file in a known encoding, and add a note."""
    path = file.path
    try:
        with polars_errors(f"{path}: cannot be read as CSV", "Is it a table with a separator, and whole?"):
            file = find_layout(file)
            frame = read_frame(file, options)
    except DataError as error:
        if file.width and "utf-8" not in str(error).lower():
            file.check_rectangular()
        raise
    if frame.width and frame[frame.columns[-1]].null_count():
        # Polars fills up rows that are too short, and takes a blank line for a row.
        file.check_rectangular()
        frame = without_blank_lines(file, frame)
    if frame.height == 0:
        raise DataError(f"{path}: has a header and no rows. Give a table with at least two rows.")
    frame, counts = infer_types(frame, options, decimal_comma=file.separator == ";")
    notes = [note] if note else []
    repeated = ", ".join(name for name in sorted(frame.columns) if f"{name}_duplicated_0" in frame.columns)
    if not file.has_header:
        notes.append(f"{path} has no header: its first line is numbers. The columns are called column_1, column_2, …")
    elif repeated:
        notes.append(f"{path}: several columns are called {repeated}; the later ones have _duplicated_0, … appended.")
    if counts:
        listed = ", ".join(f"{name!r} ({count:,})" for name, count in counts.items())
        notes.append(f"{path}: read markers such as ? and - as missing values in {listed}; keep them with --na none")
    names = [name.strip() for name in frame.columns]
    if len(set(names)) == len(names):
        frame.columns = names
    return Table.of(str(path), frame, notes=tuple(notes), find_line=file.find_line)


def find_layout(file: CsvFile) -> CsvFile:
    """Find the separator, and whether the first line is a header: it is unless all its cells are numbers."""
    polars = import_polars()
    first = next(iter(file.lines(2)), None) or ""
    separator = max(SEPARATORS, key=first.count)
    cells = polars.Series(first.split(separator)).str.strip_chars().str.strip_chars('"')
    is_numeric = cells.cast(polars.Float64, strict=False).null_count() == 0
    return replace(file, separator=separator, has_header=not is_numeric, width=len(cells))


def markers(options: TableOptions) -> list[str]:
    """Return the cells that are missing values in any column."""
    usual = [""] if NO_MARKERS in options.na else MISSING_MARKERS
    return [*usual, *(marker for marker in options.na if marker != NO_MARKERS)]


def read_frame(file: CsvFile, options: TableOptions) -> Any:
    """Read all cells; a column has the type of its first values if all can be read so."""
    polars = import_polars()
    # Comparing every cell with every marker would take most of the time. In columns of numbers only a second reading
    # looks for markers; in columns of text `infer_types` does.
    sample = file.read(
        n_rows=SAMPLE_ROWS,
        infer_schema_length=SAMPLE_ROWS,
        null_values=markers(options),
        ignore_errors=True,  # of later rows, some of which are parsed too
    )
    schema = dict(sample.schema)
    for name in schema:
        if schema[name] == polars.Int64 and sample[name].is_between(0, 255).all():
            schema[name] = polars.UInt8
    check_size(file.path, sample, schema)
    given = [marker for marker in options.na if marker != NO_MARKERS] or None  # they may be numbers
    try:
        return file.read(schema_overrides=schema, null_values=given)
    except polars.exceptions.ComputeError:
        # Columns with a value of another type than the first ones are read again, as text.
        frame = file.read(schema_overrides=schema, null_values=given, ignore_errors=True)
        doubtful = [name for name in frame.columns if frame[name].null_count() and frame[name].dtype != polars.String]
        return frame.with_columns(file.read(columns=doubtful, infer_schema=False))


def without_blank_lines(file: CsvFile, frame: Any) -> Any:
    """Return the frame without blank lines; a line of separators alone is a row without values."""
    polars = import_polars()
    if frame.width == 1 or not frame.select(polars.all_horizontal(polars.all().is_null()).any()).item():
        return frame
    is_row = np.ones(frame.height, dtype=np.bool_)
    blank = [row - file.has_header for row, (_, cells) in enumerate(file.records()) if not cells]
    is_row[[row for row in blank if row < len(is_row)]] = False
    return frame.filter(is_row)


def infer_types(frame: Any, options: TableOptions, *, decimal_comma: bool) -> tuple[Any, dict[str, int]]:
    """Return the frame with its text stripped or as numbers, and the number of markers in columns of numbers."""
    polars = import_polars()
    columns, counts = [], {}
    for name, dtype in frame.schema.items():
        if dtype != polars.String:
            continue
        text = frame[name].str.strip_chars()
        text = text.set(text.is_in(markers(options)), None)
        plain = text.str.replace(",", ".", literal=True) if decimal_comma else text
        values = as_numbers(plain)
        if values is None and NO_MARKERS not in options.na:
            is_marker = text.str.to_lowercase().is_in(MARKERS_AMONG_NUMBERS).fill_null(value=False)
            values = as_numbers(plain.set(is_marker, None))
            if values is not None:
                counts[name] = int(is_marker.sum())
        columns.append(text if values is None else values)
    return frame.with_columns(columns), counts


def as_numbers(text: Any) -> Any:
    """Return text as whole numbers or as floats if all of it is, else None."""
    polars = import_polars()
    for kind in (polars.Int64, polars.Float64):
        values = text.cast(kind, strict=False)
        if values.null_count() == text.null_count() < len(text):
            return values
    return None


def check_size(path: Path, sample: Any, schema: dict[str, Any]) -> None:
    """Refuse a file that does not fit into memory, before Polars tries."""
    polars = import_polars()
    if sample.height == 0:
        return
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
        if magic[:2] == GZIP_MAGIC:
            file.seek(-4, 2)  # the content's size, modulo 4 GiB
            size = max(size, int.from_bytes(file.read(4), "little"))
        elif magic == ZSTD_MAGIC:
            size *= 4
    rows = size * sample.height / len(sample.write_csv(include_header=False))
    width = sum(1 if dtype == polars.UInt8 else 16 if dtype == polars.String else 8 for dtype in schema.values())
    check_memory(
        int(rows * (width + 4 * len(schema))),
        what=str(path),
        remedy="Save it as Parquet, which is read in parts, take fewer columns with --features, or fewer rows.",
    )


def detect_unicode(path: Path) -> str | None:
    """Return the encoding of UTF-16 or UTF-32, found by its first bytes; None for other files."""
    start = read_start(path, 4)
    if not start:
        raise DataError(f"{path}: is empty. Give a table with a header and at least two rows.")
    if start in FOREIGN:
        raise DataError(f"{path}: is {FOREIGN[start]}. Give CSV, Parquet, Arrow or .npz.")
    if start in (BOM_UTF32_LE, BOM_UTF32_BE):
        return "utf-32"
    if start[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):
        return "utf-16"
    zeros = [byte == 0 for byte in start]
    if not any(zeros) or start[:2] == GZIP_MAGIC or start == ZSTD_MAGIC:
        return None
    if zeros in ([False, True] * 2, [True, False] * 2):  # letters of ASCII
        return "utf-16-be" if zeros[0] else "utf-16-le"
    raise DataError(f"{path}: is not text. Give CSV, Parquet, Arrow or .npz.")


def read_start(path: Path, count: int) -> bytes:
    """Return the first bytes of a file, decompressed if it is gzipped."""
    with path.open("rb") as file:
        start = file.read(count)
    if start[:2] != GZIP_MAGIC:
        return start
    with suppress(OSError, EOFError, zlib.error), gzip.open(path) as file:
        return file.read(count)
    return start  # Polars says what is wrong with it


def guess_encoding(path: Path) -> str:
    """Return the likely encoding of text that is not UTF-8."""
    with suppress(ImportError):
        from charset_normalizer import from_bytes

        found = from_bytes(read_start(path, SAMPLE_BYTES), cp_isolation=LIKELY_ENCODINGS).best()
        if found is not None and found.encoding in LIKELY_ENCODINGS:
            return str(found.encoding)
    return "cp1252"


def decode(path: Path, encoding: str, errors: str = "strict") -> CsvFile:
    """Read a whole file as text in an encoding; `errors` is as in `bytes.decode`."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == GZIP_MAGIC else content
        text = content.decode(encoding, errors)
    except UnicodeError as error:
        raise DataError(f"{path}: is not {encoding} text ({error}). Give its encoding with --encoding NAME.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Is the file whole?") from error
    return CsvFile(path, text.removeprefix("\ufeff").encode())
