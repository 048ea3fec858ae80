"""Where in a CSV file something stands: a slow, exact second reading, for messages."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpmlp.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MOST_CHARACTERS = 2**24  # in a cell; Python's own limit is lower than what tables hold


@contextmanager
def open_text(path: Path, polars: Any) -> Iterator[Any]:
    """Open a CSV file as text, whatever it is compressed with."""
    with path.open("rb") as raw:
        magic = raw.read(4)
    if magic[:2] == GZIP_MAGIC:
        with gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            yield file
    elif magic == ZSTD_MAGIC:
        # Python has no Zstandard before 3.14; Polars gives its lines.
        lines = polars.read_csv(
            path, has_header=False, separator="\x01", quote_char=None, infer_schema=False, new_columns=["line"]
        )
        yield io.StringIO("\n".join(line or "" for line in lines["line"]))
    else:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            yield file


def csv_records(path: Path, separator: str, polars: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each record's first line, counted from 1, and its cells; blank lines are no records."""
    return ((line, cells) for line, cells in all_records(path, separator, polars) if cells)


def blank_rows(path: Path, separator: str, polars: Any, *, has_header: bool) -> list[int]:
    """Return which rows are blank lines, counted from 0 as Polars counts them."""
    return [row - has_header for row, (_, cells) in enumerate(all_records(path, separator, polars)) if not cells]


def all_records(path: Path, separator: str, polars: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each record's first line, counted from 1, and its cells, of which a blank line has none."""
    before = csv.field_size_limit(MOST_CHARACTERS)
    try:
        with open_text(path, polars) as file:
            reader = csv.reader(file, delimiter=separator)
            line = 1
            for cells in reader:
                yield line, cells
                line = reader.line_num + 1
    except (csv.Error, OSError, EOFError, zlib.error):
        return  # a damaged file: what is found up to there is found
    finally:
        csv.field_size_limit(before)


def refuse_ragged(path: Path, separator: str, polars: Any) -> None:
    """Refuse a file whose rows have different numbers of cells.

    Raises
    ------
    DataError
        Naming the first row that differs from the first line.
    """
    width = None
    for record, (line, cells) in enumerate(csv_records(path, separator, polars)):
        width = width or len(cells)
        if len(cells) != width:
            raise DataError(
                f"{path}: row {record:,} (line {line:,}) has {len(cells)} values, but the first line has {width}. "
                "Correct this line; a value with a separator in it belongs in quotation marks."
            )


def line_of_row(path: Path, separator: str, polars: Any, *, has_header: bool, row: int) -> int | None:
    """Return the line in which a row starts, both as people count them; the row is counted from 0."""
    for record, (line, _) in enumerate(csv_records(path, separator, polars)):
        if record == row + has_header:
            return line
    return None
