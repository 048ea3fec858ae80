"""IDX, the file format of MNIST; plain or gzipped.

A file is two zero bytes, a byte for the element type and one for the number of dimensions; then each size as a
big-endian uint32; then the values, big-endian, the last dimension varying fastest.
"""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError
from xpmlp.whole_files import open_data

from .memory import check_memory

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 2**20
MOST_INFLATED = 1032  # bytes that DEFLATE makes of one

# Files that are often downloaded in place of IDX files, by their first bytes in lower case.
FOREIGN_FILES = {
    b"<!doctype": "an HTML page: the download went wrong",
    b"<html": "an HTML page: the download went wrong",
    b"<?xml": "an XML document, perhaps a server's error message",
    b"pk\x03\x04": "a zip archive or a spreadsheet: unpack it, or save it as CSV",
    b"\x89png": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x93numpy": "a NumPy .npy file",
    b"\x89hdf": "an HDF5 file",
    b"par1": "a Parquet file",
    b"%pdf": "a PDF document",
    b"bzh": "a bzip2 file: decompress it",
    b"\xfd7zxz": "an xz file: decompress it",
    b"\x28\xb5\x2f\xfd": "a Zstandard file: decompress it",
    b"7z\xbc\xaf": "a 7-Zip archive: unpack it",
    b"rar!": "a RAR archive: unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file: save it as .xlsx or CSV",
    b"version https://git-lfs": "a Git LFS pointer: run git lfs pull",
    GZIP_MAGIC: "a gzip file within a gzip file: decompress it once",
}


def read_idx(path: str | Path) -> Shaped[np.ndarray, "..."]:
    """Read one IDX file, plain or gzipped, whatever its name.

    Returns
    -------
    array
        In the shape that the file's header gives, in native byte order.

    Raises
    ------
    DataError
        If the file is missing, unreadable, damaged, no IDX file, or not as long as its header says.
    """
    return IdxFile(Path(path)).read()


@contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """Open an IDX file, plain or gzipped; errors of reading are raised as `DataError`."""
    try:
        with open_data(path, "an IDX file") as file:
            yield gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == GZIP_MAGIC else file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: a damaged or incomplete gzip file ({error}). Download or copy it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Copy it again.") from error


class IdxFile:
    """An IDX file, of which the header has been read: its values are read all at once, or some rows at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened(path) as stream:
            self.stored, self.shape = read_header(path, stream)
            self.offset = stream.tell()
            self.is_plain = not isinstance(stream, gzip.GzipFile)  # others cannot be mapped
        self.dtype = self.stored.newbyteorder("=")  # of the values as they are returned
        self.bytes = math.prod(self.shape) * self.dtype.itemsize
        if self.is_plain:
            self.check_length(os.path.getsize(path) - self.offset)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Shaped[np.ndarray, "..."]:
        """Return a copy of some rows. They are mapped only meanwhile: mapped memory counts as that of the process."""
        start, stop, _ = rows.indices(len(self))
        shape = (max(stop - start, 0), *self.shape[1:])
        if not math.prod(shape):
            return np.empty(shape, self.dtype)
        first = self.offset + start * math.prod(shape[1:]) * self.dtype.itemsize
        return np.array(np.memmap(self.path, self.stored, "r", first, shape), self.dtype)

    def read(self) -> Shaped[np.ndarray, "..."]:
        """Return all values."""
        most = min(self.bytes, MOST_INFLATED * os.path.getsize(self.path))
        check_memory(most, what=str(self.path), remedy="Use fewer of its values.")
        # In memory that NumPy allocates, which Linux backs with huge pages; the last byte tells of too long a file.
        content, found = np.empty(most + 1, np.uint8), 0
        with opened(self.path) as stream:
            stream.seek(self.offset)
            while count := stream.readinto(content.data[found : found + CHUNK_BYTES]):
                found += count
        self.check_length(found)
        try:
            array = content[: self.bytes].view(self.stored).reshape(self.shape)
        except ValueError as error:
            raise DataError(
                f"{self.path}: its header gives {list(self.shape)}, a shape that no array can have. Copy it again."
            ) from error
        return array if array.dtype.isnative else array.byteswap(inplace=True).view(self.dtype)

    def check_length(self, found: int) -> None:
        """Refuse another number of bytes after the header than that says."""
        if found != self.bytes:
            problem, count = ("cut short", found) if found < self.bytes else ("too long", f"more than {self.bytes}")
            raise DataError(
                f"{self.path}: {problem}. Its header says {self.dtype.name} of shape {list(self.shape)}, which takes "
                f"{self.bytes} bytes, but {count} follow the header. Download or copy it again."
            )


def read_header(path: Path, stream: BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Read the dtype and the shape of the values that follow."""
    magic = stream.read(4)
    if magic[:2] != b"\0\0" or len(magic) < 4:
        raise DataError(
            f"{path}: not an IDX file: {looks_like(magic + stream.read(60))}. "
            "An IDX file starts with two zero bytes, then a byte for its type and one for its dimensions."
        )

    code, dimensions = magic[2], magic[3]
    if code not in ELEMENT_TYPES:
        known = ", ".join(f"0x{known:02x} ({dtype.name})" for known, dtype in ELEMENT_TYPES.items())
        raise DataError(
            f"{path}: unknown IDX element type 0x{code:02x}. Known are {known}. Download or copy the file again."
        )
    dtype = ELEMENT_TYPES[code]
    if dimensions == 0:
        raise DataError(f"{path}: its header says 0 dimensions, expected at least 1. Download or copy the file again.")

    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(
            f"{path}: ends within its header, after {4 + len(sizes)} bytes of {4 + 4 * dimensions}. "
            "Download or copy it again."
        )
    return dtype, struct.unpack(f">{dimensions}I", sizes)


def looks_like(start: bytes) -> str:
    """Describe a file by its first bytes."""
    if not start:
        return "it is empty"
    lowered = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, description in FOREIGN_FILES.items():
        if lowered.startswith(signature):
            return f"it looks like {description}"
    if start.isascii() and start.decode("ascii").replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        return f"it looks like text, {start[:30].decode('ascii')!r}"
    return f"it starts with the bytes {start[:4].hex(' ')}"
