"""Text files: decompressed, and decoded from the encoding that is found."""

import bz2
import codecs
import gzip
import io
import itertools
import lzma
import re
import sys
import zipfile
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from xpmlp.errors import DataError, XpmlpError
from xpmlp.model.table_schema import Reading
from xpmlp.optional_imports import import_optional

from ..dataset import listing
from ..idx import CHUNK_BYTES, FOREIGN_FILES, GZIP_MAGIC, looks_like
from ..memory import available_memory, check_memory, format_bytes
from .converted import convert
from .options import TableOptions

COMPRESSIONS = {GZIP_MAGIC: "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
# The encodings other than Unicode that are looked for. Those of Central Europe look like Western ones, which are more
# frequent.
LIKELY_ENCODINGS = ["cp1252", "cp1251", "cp1253", "cp932", "gb18030", "big5", "euc_kr", "koi8_r"]
SAMPLE_BYTES = 2**16  # of which the encoding is guessed, and the layout found
FEWEST_LINES = 3  # of which the layout is found, however long they are
LONGEST_LINE = 2**26
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".zip")
SINGLE_QUOTES = re.compile(rb"(?:(?<=[,;|\t])|^)'((?:[^'\r\n]|'')*)'(?=[,;|\t\r\n]|$)", re.MULTILINE)
SPACED_CELL = re.compile(rb'[,;|] +"[^"\r\n]*" *(?=[,;|\r\n]|$)')
SPACES_AROUND_QUOTES = re.compile(rb'(?:(?<=[,;|])|^) +(?=")|(?<=") +(?=[,;|\r\n]|$)', re.MULTILINE)
TEXT_COPIES = 3  # times a text's size that reading it takes
SPACE_FOR_TEXT = 4  # a text that is decompressed may take this fraction of memory


@dataclass(frozen=True)
class Text:
    """The text of a file."""

    path: Path
    content: bytes  # in UTF-8
    encoding: str | None = None  # of the file; None for UTF-8
    notes: tuple[str, ...] = ()  # which sheet of a spreadsheet it is, if there are others, and its encoding

    def open(self) -> Any:
        """Open it for reading lines."""
        return io.TextIOWrapper(io.BytesIO(self.content), encoding="utf-8", errors="replace", newline="")

    def head(self) -> list[str]:
        """Return the first lines."""
        with self.open() as file:
            return [*itertools.islice(file, FEWEST_LINES), *file.readlines(SAMPLE_BYTES)]


def read_text(path: Path, options: TableOptions, known: Reading) -> Text:
    """Read a file's text, decompressed: in the encoding that is given, in Unicode, or in the likeliest other encoding.

    `known` is how the file was read for which a model was trained.
    """
    check_memory(
        TEXT_COPIES * path.stat().st_size, what=str(path), remedy="Save it as Parquet, which is read in parts."
    )
    content, note = convert(path, *unpack(path), options.sheet)
    encoding, notes = options.encoding or unicode_encoding(path, content), [note] if note else []
    if encoding != "utf-8":
        check_memory(4 * len(content), what=str(path), remedy="Save it as UTF-8.")
    try:
        text = "" if encoding == "utf-8" and is_utf8(content) else content.decode(encoding)
        if encoding != (options.encoding or "utf-8"):
            notes.append(f"is encoded in {encoding.upper()}")
    except UnicodeError as error:
        if not isinstance(error, UnicodeDecodeError) or encoding != "utf-8" or options.encoding is not None:
            remedy = "Give its encoding with --encoding NAME."
            raise DataError(f"{path}: is not {encoding} text ({error}). {remedy}") from error
        encoding = known.encoding or guess_encoding(content, error.start)
        text = content.decode(encoding, "replace")
        notes.append(f"is not UTF-8; read as {encoding}. Change it with --encoding NAME")
    if encoding != "utf-8":
        content = text.removeprefix("\ufeff").encode(errors="replace")
    return Text(path, usual(content.removeprefix(BOM_UTF8)), None if encoding == "utf-8" else encoding, tuple(notes))


def usual(content: bytes) -> bytes:
    """Return a text with line feeds, double quotes around cells, and no spaces around these; lines keep their numbers.

    Unusual are carriage returns alone, as old Macs and some spreadsheets end lines; single quotes around all names in
    the first line; and spaces around quotes.
    """
    start = content[:SAMPLE_BYTES]
    if b"\r" in start and b"\n" not in start:
        content = content.replace(b"\r", b"\n")
    if SPACED_CELL.search(start):
        return SPACES_AROUND_QUOTES.sub(b"", content)
    first = start.lstrip().splitlines()[0] if start.strip() else b""
    if b"'" in first and not SINGLE_QUOTES.sub(b"", first.strip()).strip(b",;|\t"):
        content = SINGLE_QUOTES.sub(lambda cell: b'"%b"' % cell[1].replace(b"''", b"'").replace(b'"', b'""'), content)
    return content


def unpack(path: Path) -> tuple[str, bytes]:
    """Return the name and the content of a file, or of the one that is in it, if that is text that fits in memory."""
    most = (available_memory() or 2**40) // SPACE_FOR_TEXT
    name, content = path.name, io.BytesIO()
    with path.open("rb") as file:
        packed = "zip" if path.suffix.lower() == ".zip" else find_compression(file.peek(6))
        if packed is None:
            return name, path.read_bytes()  # after `peek`, `file.read` copies all of it
        try:
            if packed == "zip":
                name, stream = open_zip(path, file)
            else:
                name, stream = path.stem, open_compressed(file, packed)
            while chunk := stream.read(CHUNK_BYTES):
                content.write(chunk)
                if content.tell() > most:
                    remedy = "Save it as Parquet, which is read in parts."
                    raise DataError(f"{path}: holds more than {format_bytes(most)}. {remedy}")
        except XpmlpError:
            raise
        except Exception as error:  # each of the libraries has its own
            raise DataError(f"{path}: a damaged or incomplete {packed} file ({error}). Is the file whole?") from error
    return name, content.getvalue()  # without a copy


def open_zip(path: Path, file: Any) -> tuple[str, Any]:
    """Return the name of the only file of an archive, and open it."""
    archive = zipfile.ZipFile(file)
    names = [
        member.filename
        for member in archive.infolist()
        if not member.is_dir()
        and not PurePosixPath(member.filename).name.startswith(".")
        and not member.filename.startswith("__MACOSX/")
    ]
    if len(names) != 1:
        held = listing(names) if names else "none"
        raise DataError(f"{path}: one file is expected in an archive; it holds {held}. Unpack it.")
    return names[0], archive.open(names[0])


def find_compression(start: bytes) -> str | None:
    """Return the name of a compression by a file's first bytes; None without one."""
    return next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), None)


def open_compressed(file: Any, name: str) -> Any:
    """Open a compressed file for reading its content."""
    if name == "zstd":
        module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        return import_optional(module, extra="cli", purpose="Reading .zst").open(file)
    return {"gzip": gzip, "bzip2": bz2, "xz": lzma}[name].open(file)


def unicode_encoding(path: Path, content: bytes) -> str:
    """Return the encoding of UTF-16 or UTF-32, by a file's first bytes, else UTF-8; refuse binary files."""
    if not content:
        raise DataError(f"{path}: is empty. Give a table with a header and at least two rows.")
    if any(content[:40].lstrip().lower().startswith(magic) for magic in FOREIGN_FILES):
        raise DataError(f"{path}: {looks_like(content[:40])}. Give CSV, Parquet, Arrow or .npz.")
    if len(content) > LONGEST_LINE and all(content.find(end, 0, LONGEST_LINE) < 0 for end in (b"\n", b"\r")):
        raise DataError(f"{path}: holds a line of more than {LONGEST_LINE // 2**20} MB, so it is no table.")
    if content[:4] in (BOM_UTF32_LE, BOM_UTF32_BE):
        return "utf-32"
    if content[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):
        return "utf-16"
    zeros = [byte == 0 for byte in content[:4]]
    if zeros in ([False, True] * 2, [True, False] * 2):  # letters of ASCII
        return "utf-16-be" if zeros[0] else "utf-16-le"
    if any(zeros):
        raise DataError(f"{path}: is not text. Give CSV, Parquet, Arrow or .npz.")
    return "utf-8"


def is_utf8(content: bytes) -> bool:
    """Return whether text is UTF-8, a piece at a time: all at once may take four times its size."""
    pieces = (content[start : start + SAMPLE_BYTES] for start in range(0, len(content), SAMPLE_BYTES))
    with suppress(UnicodeError):
        for _ in codecs.iterdecode(pieces, "utf-8"):
            pass
        return True
    return False


def guess_encoding(content: bytes, position: int) -> str:
    """Return the likely encoding of text that is not UTF-8, by its lines from that of the byte at a position on."""
    with suppress(ImportError):
        from charset_normalizer import from_bytes

        start = content.rfind(b"\n", 0, position) + 1
        found = from_bytes(content[start : start + SAMPLE_BYTES], cp_isolation=LIKELY_ENCODINGS).best()
        if found is not None and found.encoding in LIKELY_ENCODINGS:
            return str(found.encoding)
    return "cp1252"
