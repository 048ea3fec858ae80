"""The text of a CSV file, whatever its encoding and compression."""

import gzip
import io
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpmlp.errors import DataError

from ..idx import GZIP_MAGIC
from .table import import_polars

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
class CsvText:
    """The text of a CSV file.

    Attributes
    ----------
    content
        The file's content in UTF-8, decompressed, if it is in another encoding.
    """

    path: Path
    content: bytes | None = None

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


def decode(path: Path, encoding: str, errors: str = "strict") -> CsvText:
    """Read a whole file as text in an encoding; `errors` is as in `bytes.decode`."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == GZIP_MAGIC else content
        text = content.decode(encoding, errors)
    except UnicodeError as error:
        raise DataError(f"{path}: is not {encoding} text ({error}). Give its encoding with --encoding NAME.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Is the file whole?") from error
    return CsvText(path, text.removeprefix("\ufeff").encode())
