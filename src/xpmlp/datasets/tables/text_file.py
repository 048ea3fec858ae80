"""Text files: decompressed, and decoded from the encoding that is found."""

import bz2
import gzip
import io
import lzma
import os
import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xpmlp.errors import DataError, XpmlpError
from xpmlp.optional_imports import import_optional

from ..idx import CHUNK_BYTES, FOREIGN_FILES, GZIP_MAGIC, looks_like
from ..memory import available_memory, check_memory, format_bytes
from .converted import convert

COMPRESSIONS = {GZIP_MAGIC: "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
# The encodings other than Unicode that are looked for. Those of Central Europe look like Western ones, which are more
# frequent.
LIKELY_ENCODINGS = ["cp1252", "cp1251", "cp1253", "cp932", "gb18030", "big5", "euc_kr", "koi8_r"]
SAMPLE_BYTES = 2**16  # of which the encoding is guessed, and the layout found
LONGEST_LINE = 2**26
SINGLE_QUOTES = re.compile(rb"(?:(?<=[,;|\t])|^)'((?:[^'\r\n]|'')*)'(?=[,;|\t\r\n]|$)", re.MULTILINE)
SPACED_CELL = re.compile(rb'[,;|] +"[^"\r\n]*" *(?=[,;|\r\n]|$)')
SPACES_AROUND_QUOTES = re.compile(rb'(?:(?<=[,;|])|^) +(?=")|(?<=") +(?=[,;|\r\n]|$)', re.MULTILINE)
SPACE_FOR_TEXT = 4  # a text that is kept in memory may take this fraction of it


@dataclass(frozen=True)
class Text:
    """The text of a file."""

    path: Path
    content: bytes | None = None  # in UTF-8; None if the file itself is that, so that Polars can read it from the disk
    encoding: str | None = None  # None for UTF-8
    note: str = ""  # which part of a spreadsheet it is, if there are others

    @property
    def source(self) -> Path | io.BytesIO:
        """The argument for Polars."""
        return self.path if self.content is None else io.BytesIO(self.content)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.path.stat().st_size if self.content is None else len(self.content)

    def open(self) -> Any:
        """Open it for Python."""
        return io.TextIOWrapper(self.open_bytes(), encoding="utf-8-sig", errors="replace", newline="")

    def open_bytes(self) -> Any:
        """Open its bytes."""
        return self.path.open("rb") if self.content is None else io.BytesIO(self.content)

    def read(self, size: int = -1) -> bytes:
        """Return the first bytes, or all."""
        with self.open_bytes() as file:
            content: bytes = file.read(size)
        return content

    def tail(self, size: int) -> tuple[int, bytes]:
        """Return the last bytes, and how many are before them."""
        with self.open_bytes() as file:
            start: int = file.seek(max(0, self.size - size))
            return start, file.read()

    def head(self) -> list[str]:
        """Return the first whole lines."""
        size = SAMPLE_BYTES
        while len(start := self.read(size)) == size:
            if size >= LONGEST_LINE or start.count(b"\n") > 2 or (b"\n" not in start and start.count(b"\r") > 2):
                start = b"".join(start.splitlines(keepends=True)[:-1])
                break
            size *= 4
        try:
            text = start.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: is not UTF-8 text ({error}).") from error
        return io.StringIO(text, newline="").readlines()


def read_text(path: Path, encoding: str | None = None, errors: str = "strict", sheet: str | None = None) -> Text:
    """Read a file's text, decompressed, in an encoding; by default UTF-8 or another form of Unicode."""
    unpacked = decompress(path)
    content, note = convert(path, unpacked, sheet) or (unpacked, "")
    if content is None and not is_unicode(path):
        content = path.read_bytes()  # Polars takes no other names
    text = Text(path, content, note=note)
    encoding = encoding or unicode_encoding(path, text.read(SAMPLE_BYTES))
    if encoding is not None:
        check_memory(4 * path.stat().st_size, what=str(path), remedy="Save it as UTF-8.")
        try:
            decoded = text.read().decode(encoding, errors)
        except UnicodeError as error:
            raise DataError(
                f"{path}: is not {encoding} text ({error}). Give its encoding with --encoding NAME."
            ) from error
        content = decoded.removeprefix("\ufeff").encode(errors="replace")
        text = replace(text, content=content, encoding=encoding)
    start = text.read(SAMPLE_BYTES)
    if b"\r" in start and b"\n" not in start:  # as old Macs and some spreadsheets end lines
        text = replace(text, content=text.read().replace(b"\r", b"\n"))
    if is_quoted_unusually(start):
        text = replace(text, content=quote_as_usual(text.read()))
    return text


def is_quoted_unusually(start: bytes) -> bool:
    """Return whether a text has single quotes around all names in its first line, or spaces around quotes."""
    first = start.lstrip().split(b"\n", 1)[0].strip()
    is_single = b"'" in first and not SINGLE_QUOTES.sub(b"", first).strip(b",;|\t")
    return is_single or SPACED_CELL.search(start) is not None


def quote_as_usual(content: bytes) -> bytes:
    """Return a text with double quotes around its cells, and no spaces around these; lines keep their numbers."""
    if not SPACED_CELL.search(content[:SAMPLE_BYTES]):
        content = SINGLE_QUOTES.sub(lambda cell: b'"%b"' % cell[1].replace(b"''", b"'").replace(b'"', b'""'), content)
    return SPACES_AROUND_QUOTES.sub(b"", content)


def is_unicode(path: Path) -> bool:
    """Return whether a path can be written in UTF-8, as those of other encodings cannot."""
    with suppress(UnicodeError):
        return bool(os.fspath(path).encode())
    return False


def decompress(path: Path) -> bytes | None:
    """Return a compressed file's content if it is text that fits in memory; None if the file is not compressed."""
    most = (available_memory() or 2**40) // SPACE_FOR_TEXT
    content, has_lines = io.BytesIO(), False
    with path.open("rb") as file:
        if (name := find_compression(file.peek(6))) is None:
            return None
        try:
            stream = open_compressed(file, name)
            while chunk := stream.read(CHUNK_BYTES):
                content.write(chunk)
                has_lines = has_lines or b"\n" in chunk or b"\r" in chunk
                if content.tell() > most:
                    remedy = "Save it as Parquet, which is read in parts."
                    raise DataError(f"{path}: holds more than {format_bytes(most)}. {remedy}")
                if content.tell() > LONGEST_LINE and not has_lines:
                    line = f"a line of more than {LONGEST_LINE // 2**20} MB"
                    raise DataError(f"{path}: holds {line}, so it is no table.")
        except XpmlpError:
            raise
        except Exception as error:  # each of the libraries has its own
            raise DataError(f"{path}: a damaged or incomplete {name} file ({error}). Is the file whole?") from error
    return content.getvalue()  # without a copy


def find_compression(start: bytes) -> str | None:
    """Return the name of a compression by a file's first bytes; None without one."""
    return next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), None)


def open_compressed(file: Any, name: str) -> Any:
    """Open a compressed file for reading its content."""
    if name == "zstd":
        module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        return import_optional(module, extra="cli", purpose="Reading .zst").open(file)
    return {"gzip": gzip, "bzip2": bz2, "xz": lzma}[name].open(file)


def unicode_encoding(path: Path, start: bytes) -> str | None:
    """Return the encoding of UTF-16 or UTF-32, found by a file's first bytes; None for UTF-8 and others."""
    if not start:
        raise DataError(f"{path}: is empty. Give a table with a header and at least two rows.")
    if any(start[:40].lstrip().lower().startswith(magic) for magic in FOREIGN_FILES):
        raise DataError(f"{path}: {looks_like(start)}. Give CSV, Parquet, Arrow or .npz.")
    if start[:4] in (BOM_UTF32_LE, BOM_UTF32_BE):
        return "utf-32"
    if start[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):
        return "utf-16"
    zeros = [byte == 0 for byte in start[:4]]
    if zeros in ([False, True] * 2, [True, False] * 2):  # letters of ASCII
        return "utf-16-be" if zeros[0] else "utf-16-le"
    if any(zeros):
        raise DataError(f"{path}: is not text. Give CSV, Parquet, Arrow or .npz.")
    return None


def guess_encoding(text: Text) -> str:
    """Return the likely encoding of text that is not UTF-8."""
    with suppress(ImportError):
        from charset_normalizer import from_bytes

        found = from_bytes(text.read(SAMPLE_BYTES), cp_isolation=LIKELY_ENCODINGS).best()
        if found is not None and found.encoding in LIKELY_ENCODINGS:
            return str(found.encoding)
    return "cp1252"
