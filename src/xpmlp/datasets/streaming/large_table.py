"""Tables larger than memory, in Parquet or .npy files: whether they are, and how a piece at a time is read."""

import itertools
import math
import os
import shlex
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xpmlp.errors import DataError

from ..memory import Memory, format_bytes
from ..tables.converted import READERS
from ..tables.files import (
    TARGETS,
    array_files,
    joined_files,
    map_array,
    open_parquet,
    parquet_files,
    split_name,
    table_format,
)
from ..tables.files import table_of_arrays as table_of
from ..tables.table import Table, import_polars, polars_errors
from ..tables.text_file import TEXT_COPIES
from .rows import PIECE_FRACTION, Piece, SourceFiles

MOST_COPIES = 5  # of .npy files: their bytes, and inputs in float32
COLUMN_COPIES = 40  # bytes of a row that loading a table takes beside its inputs: copies of a column at a time
MOST_BYTES = 2**24  # of a piece: from many small ones, more different rows come together in a block
MEASURED_ROWS = 1000  # of which the bytes of a row are estimated


@dataclass(frozen=True)
class LargeTable:
    """A table that takes more memory than it may."""

    table: Table  # all rows; they are read when the table is collected
    files: SourceFiles
    bytes: int  # of all values
    read_rows: Callable[[slice], Any]  # returns a LazyFrame of some rows
    memory: Memory
    lock: threading.Lock = field(default_factory=threading.Lock)  # of several threads, one decodes at a time

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Pieces of equal size, a small part of the memory."""
        rows = self.table.rows
        step = max(1, min(MOST_BYTES, self.memory.limit // PIECE_FRACTION) * rows // self.bytes)
        return tuple(Piece(start, min(step, rows - start)) for start in range(0, rows, step))

    def read(self, piece: Piece, columns: list[str] | None = None) -> Table:
        """Return the rows of a piece, of all columns by default."""
        self.files.check()
        with self.lock, polars_errors(f"{self.name}: cannot be read"):
            chosen = self.read_rows(slice(piece.first, piece.first + piece.rows)).select(
                columns or [*self.table.schema]
            )
            # The streaming engine decodes the pages that it needs, not whole row groups.
            frame = chosen.collect(engine="streaming")
        return replace(self.table, frame=frame.lazy(), schema=dict(frame.schema), rows=frame.height, first=piece.first)

    def read_all(self) -> Iterator[Table]:
        """Yield the table in pieces."""
        return map(self.read, self.pieces)


def needed_memory(table: Table) -> int:
    """Estimate the bytes that a table takes in memory."""
    return table.rows * (4 * len(table.schema) + COLUMN_COPIES)


def find_large_table(
    data: str | Path, memory: str | int | None = None, targets: str | Path | None = None
) -> LargeTable | None:
    """Return a table that takes more than that memory, by default most of the free one; None for other data.

    `targets` is the file with the targets of an array in a .npy file.
    """
    limit = Memory.of(memory)
    path = Path(os.path.expanduser(data))
    if limit is None or not os.path.exists(path):
        return None
    kind = table_format(path)
    is_array = kind == "npy" or (kind == "npz" and os.path.isdir(path))
    found = [*array_files(path, targets).values()] if is_array else parquet_files(path)
    size = sum(file.stat().st_size for file in found if file.is_file())
    if is_array and MOST_COPIES * size > limit.limit:
        needed = sum(array.size * (array.itemsize + 4) for array in map(map_array, found))
        return open_arrays(path, targets, limit) if needed > limit.limit else None
    if kind == "parquet" and size:
        tables = open_parquet(path, trusted=True)
        table = joined_files(path, tables)
        return open_pieces(table, tables, limit) if needed_memory(table) > limit.limit else None
    if kind is not None and not is_array and TEXT_COPIES * size > limit.limit:
        can_scan = kind == "csv" and path.suffix.lower() not in (*READERS, ".zip", ".bz2", ".xz")
        other, convert = path.with_suffix("" if kind == "npz" else ".parquet"), "Save it as Parquet"
        if can_scan:
            code = f"import polars; polars.scan_csv({str(path)!r}).sink_parquet({str(other)!r})"
            convert = f"Convert it once: python -c {shlex.quote(code)}"
        elif kind == "npz":
            convert = f"Unpack it once: python -m zipfile -e {shlex.quote(str(path))} {shlex.quote(str(other))}"
        given = other if can_scan or kind == "npz" else "the Parquet file"
        raise DataError(
            f"{path}: takes about {format_bytes(TEXT_COPIES * size)} in memory, more than {limit.reason}, and only "
            f"Parquet and .npy can be streamed. {convert}. Then give {given}, or a larger --memory."
        )
    return None


def open_pieces(table: Table, parts: list[Table], memory: Memory) -> LargeTable:
    """Open a table in Parquet files; the bytes of its values are estimated from the first rows and the files' sizes."""
    files = SourceFiles(parquet_files(Path(table.name)))
    head = table.head(MEASURED_ROWS)
    stored = sum(size for size, _ in files.stamps.values())
    size = max(head.estimated_size() * table.rows // max(head.height, 1), stored)
    ends = list(itertools.accumulate(part.rows for part in parts))

    def read_rows(rows: slice) -> Any:
        # Of the files that hold them alone: to find a row by its number, Polars opens all files before it.
        chosen = []
        for part, end in zip(parts, ends, strict=True):
            start = end - part.rows
            low, high = max(rows.start, start), min(rows.stop, end)
            if low < high:
                chosen.append(part.frame.slice(low - start, high - low))
        return import_polars().concat(chosen)

    return LargeTable(table, files, size, read_rows, memory)


def open_arrays(path: Path, targets: str | Path | None, memory: Memory) -> LargeTable:
    """Open a .npy file, with the targets in another, or a folder of such files, as if they fitted into memory."""
    paths = array_files(path, targets)
    files = SourceFiles(paths.values())
    arrays = {name: map_array(file) for name, file in paths.items()}
    for name, array in arrays.items():
        if split_name(name) is not None:
            raise DataError(
                f"{path}: is streamed, so that rows cannot be in a part of their own, {name}. Give x and y."
            )
        if name in TARGETS and math.prod(array.shape[1:]) > 1:
            raise DataError(f"{paths[name]}: has the shape {array.shape}. To stream it, save one label for each row.")
    sizes = {array.shape[:1] for array in arrays.values()}
    if len(sizes) > 1 or sizes & {(), (0,)}:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(f"{path}: its arrays have different numbers of rows, or none: {shapes}. Give x and y.")
    ((rows,),) = sizes

    def read_rows(chosen: slice) -> Any:
        # Mapped only meanwhile: mapped memory counts as that of the process.
        return table_of(str(path), {name: map_array(file)[chosen] for name, file in paths.items()}).frame

    head = table_of(str(path), {name: array[:1] for name, array in arrays.items()})
    # Of a deferred table, all columns are read when one is used.
    frame = import_polars().defer(lambda: read_rows(slice(None)), schema=head.schema)
    return LargeTable(
        replace(head, frame=frame, rows=rows), files, sum(array.nbytes for array in arrays.values()), read_rows, memory
    )
