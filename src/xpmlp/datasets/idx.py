"""IDX, the file format of MNIST; plain or gzipped.

A file is two zero bytes, a byte for the element type and one for the number of dimensions; then each size as a
big-endian uint32; then the values, big-endian, the last dimension varying fastest.
"""

import gzip
import math
import os
import stat
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
    path = Path(path)
    with opened(path) as stream:
        dtype, shape = read_header(path, stream)
        expected = math.prod(shape) * dtype.itemsize
        needed = min(expected, MOST_INFLATED * os.path.getsize(path))
        check_memory(needed, what=str(path), remedy="Use fewer of its values.")
        content = read_up_to(stream, expected + 1)
    if len(content) != expected:
        raise DataError(wrong_length(path, dtype, shape, len(content)))
    try:
        array = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:
        raise DataError(
            f"{path}: its header gives {list(shape)}, a shape that no array can have. Download or copy it again."
        ) from error
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array


@contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """Open an IDX file, plain or gzipped; errors of reading are raised as `DataError`."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: is a folder. Give an IDX file, perhaps one in this folder.")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: not a regular file. Save its content as an IDX file first.")
        with open(path, "rb") as file:
            if file.peek(2)[:2] == GZIP_MAGIC:
                with gzip.GzipFile(fileobj=file) as stream:
                    yield stream
            else:
                yield file
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Expected an IDX file, plain or gzipped.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: a damaged or incomplete gzip file ({error}). Download or copy it again.") from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}). Check its permissions, or copy it again."
        ) from error
    except MemoryError as error:
        raise DataError(f"{path}: its values do not fit into memory. Use fewer of them or a larger machine.") from error


class MappedIdx:
    """The values of an IDX file, of which those that are used are read by mapping a part of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # `dtype` is that of the values as they are returned, in native byte order; gzipped files cannot be mapped.
        with opened(path) as stream:
            self.stored, self.shape = read_header(path, stream)
            self.offset = stream.tell()
            self.is_plain = not isinstance(stream, gzip.GzipFile)
        self.dtype = self.stored.newbyteorder("=")
        expected, found = math.prod(self.shape) * self.dtype.itemsize, os.path.getsize(path) - self.offset
        if self.is_plain and found != expected:
            raise DataError(wrong_length(path, self.dtype, self.shape, min(found, expected + 1)))

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


def read_header(path: Path, stream: BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Read the dtype and the shape of the values that follow."""
    magic = bytes(read_up_to(stream, 4))
    if magic[:2] != b"\0\0" or len(magic) < 4:
        raise DataError(
            f"{path}: not an IDX file: {looks_like(magic + bytes(read_up_to(stream, 60)))}. "
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

    sizes = read_up_to(stream, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(
            f"{path}: ends within its header, after {4 + len(sizes)} bytes of {4 + 4 * dimensions}. "
            "Download or copy it again."
        )
    return dtype, struct.unpack(f">{dimensions}I", sizes)


def wrong_length(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], found: int) -> str:
    """Return the message for a file with another number of bytes after its header than that says."""
    expected = math.prod(shape) * dtype.itemsize
    problem = "cut short" if found < expected else "too long"
    count = f"{found}" if found < expected else f"more than {expected}"
    return (
        f"{path}: {problem}. Its header says {dtype.name} of shape {list(shape)}, which takes {expected} bytes, "
        f"but {count} follow the header. Download or copy it again."
    )


def read_up_to(stream: BufferedIOBase, limit: int) -> bytearray:
    """Return at most `limit` bytes; memory grows with the content, not with `limit`."""
    content = bytearray()
    while len(content) < limit:
        chunk = stream.read(min(CHUNK_BYTES, limit - len(content)))
        if not chunk:
            break
        content += chunk
    return content


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
