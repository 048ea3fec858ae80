"""Parquet files, read one row group, or a part of one, at a time."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from xpmlp.errors import DataError

from ..tables.files import open_parquet, parquet_files
from ..tables.table import Table, import_polars, polars_errors
from .rows import Piece, SourceFile


class RowGroup(NamedTuple):
    """Rows stored together in a file, and the bytes of their decoded values."""

    rows: int
    size: int


@dataclass(frozen=True)
class ParquetFile(SourceFile):
    """A file, with its row groups."""

    groups: tuple[RowGroup, ...]


@dataclass(frozen=True)
class ParquetFiles:
    """One or several files with the same columns, as one table.

    Attributes
    ----------
    table
        All rows, as a lazy table.
    """

    table: Table
    files: tuple[ParquetFile, ...]
    lock: threading.Lock = field(default_factory=threading.Lock)  # of several threads, one decodes at a time

    @property
    def bytes(self) -> int:
        """Size of all decoded values."""
        return sum(group.size for file in self.files for group in file.groups)

    def pieces(self, most_bytes: int) -> tuple[Piece, ...]:
        """Return pieces of at most so many decoded bytes: row groups, or equal parts of larger ones."""
        pieces: list[Piece] = []
        first = 0
        for number, file in enumerate(self.files):
            start = 0
            for group in file.groups:
                parts = min(max(1, -(-group.size // most_bytes)), max(group.rows, 1))
                step = -(-group.rows // parts)
                for offset in range(0, group.rows, max(step, 1)):
                    rows = min(step, group.rows - offset)
                    pieces.append(Piece(first + offset, rows, number, start + offset))
                first, start = first + group.rows, start + group.rows
        return tuple(pieces)

    def check(self, piece: Piece) -> None:
        """Refuse a piece whose file is gone or has changed."""
        self.files[piece.file].check()

    def read(self, piece: Piece, columns: list[str]) -> Table:
        """Return the rows of a piece."""
        polars = import_polars()
        file = self.files[piece.file]
        self.check(piece)
        with self.lock, polars_errors(f"{file.path}: cannot be read as Parquet"):
            wanted = polars.scan_parquet(file.path, glob=False).select(columns).slice(piece.start, piece.rows)
            # The streaming engine decodes the pages that it needs, not the whole group.
            frame = wanted.collect(engine="streaming")
        return Table.of(self.table.name, frame, first=piece.first)


def open_files(path: Path) -> ParquetFiles:
    """Open a Parquet file, or a folder of such files with the same columns.

    Raises
    ------
    DataError
        If one cannot be read, or the columns of two differ.
    """
    return ParquetFiles(open_parquet(path, trusted=True), tuple(map(open_file, parquet_files(path))))


def open_file(path: Path) -> ParquetFile:
    """Note a file's size, its date and its row groups."""
    try:
        found = SourceFile.of(path)
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(4), "little")
            file.seek(-8 - length, os.SEEK_END)
            footer = Footer(file.read(length)).struct()
        groups = tuple(RowGroup(group[3], group[2]) for group in footer[4])
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}). Is the file whole?") from error
    return ParquetFile(found.path, found.size, found.modified, groups)


class Footer:
    """A reader of Thrift's compact protocol, in which Parquet says where its row groups are.

    Polars knows them, but does not tell.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0

    def byte(self) -> int:
        """Return the next byte."""
        self.position += 1
        return self.content[self.position - 1]

    def integer(self) -> int:
        """Return the next integer without a sign: seven bits a byte, the lowest first."""
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return result

    def struct(self) -> dict[int, Any]:
        """Return the fields of a struct, by their numbers."""
        fields: dict[int, Any] = {}
        number = 0
        while header := self.byte():
            if header >> 4:
                number += header >> 4
            else:
                number = self.value(5)
            fields[number] = (header & 15) == 1 if (header & 15) < 3 else self.value(header & 15)
        return fields

    def value(self, kind: int) -> Any:
        """Return the next value of a kind."""
        if kind in (4, 5, 6):
            integer = self.integer()
            return (integer >> 1) ^ -(integer & 1)
        if kind == 12:
            return self.struct()
        if kind in (9, 10):
            header = self.byte()
            size = header >> 4 if header >> 4 < 15 else self.integer()
            return [self.value(header & 15) for _ in range(size)]
        if kind == 11:
            size = self.integer()
            kinds = self.byte() if size else 0
            return [(self.value(kinds >> 4), self.value(kinds & 15)) for _ in range(size)]
        # A truth, a byte, a floating-point number or a text, which nobody asks for.
        length = self.integer() if kind == 8 else {1: 1, 2: 1, 3: 1, 7: 8}[kind]
        self.position += length
        return None
