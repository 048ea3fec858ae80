"""Arrays in .npy files as a table, of which a piece at a time is read by mapping the files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError

from ..tables.files import TARGETS, array_files, split_name, table_of_arrays
from ..tables.table import Table, import_polars
from .rows import Piece, SourceFile


def map_array(path: Path) -> Shaped[np.ndarray, "..."]:
    """Map a .npy file, of which those values are read that are used."""
    try:
        array: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged headers raise errors of several types
        raise DataError(f"{path}: cannot be read as .npy ({error}). Is the file whole?") from error
    return array


@dataclass(frozen=True)
class ArrayFiles:
    """One or several files with arrays of as many rows, as one table.

    Attributes
    ----------
    table
        All rows; they are read when the table is collected.
    paths
        Of the arrays, by their names.
    bytes
        Of all values.
    """

    table: Table
    paths: Mapping[str, Path]
    files: tuple[SourceFile, ...]
    bytes: int

    def pieces(self, most_bytes: int) -> tuple[Piece, ...]:
        """Return pieces of at most so many bytes."""
        rows = self.table.rows
        step = max(1, most_bytes * rows // self.bytes)
        return tuple(Piece(start, min(step, rows - start), 0, start) for start in range(0, rows, step))

    def check(self, piece: Piece) -> None:
        """Refuse files that are gone or have changed."""
        for file in self.files:
            file.check()

    def read(self, piece: Piece, columns: list[str]) -> Table:
        """Return the rows of a piece. They are mapped only meanwhile: mapped memory counts as that of the process."""
        self.check(piece)
        rows = slice(piece.start, piece.start + piece.rows)
        read = table_of_arrays(self.table.name, {name: map_array(path)[rows] for name, path in self.paths.items()})
        return Table.of(read.name, read.collect(read.frame.select(columns)), first=piece.first)


def open_arrays(path: Path, targets: str | Path | None) -> ArrayFiles:
    """Open a .npy file, with the targets in another, or a folder of such files, as if they fitted into memory.

    Raises
    ------
    DataError
        If one cannot be read, or the arrays do not make one table without test rows.
    """
    paths = array_files(path, targets)
    files = tuple(map(SourceFile.of, paths.values()))
    arrays = {name: map_array(file) for name, file in paths.items()}
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    for name, array in arrays.items():
        if split_name(name) is not None:
            raise DataError(
                f"{path}: is streamed, so that rows cannot be in a part of their own, {name}. Give x and y."
            )
        if name in TARGETS and math.prod(array.shape[1:]) > 1:
            raise DataError(f"{paths[name]}: has the shape {array.shape}. To stream it, save one label for each row.")
    sizes = {array.shape[:1] for array in arrays.values()}
    if len(sizes) > 1 or sizes & {(), (0,)}:
        raise DataError(f"{path}: its arrays have different numbers of rows, or none: {shapes}. Give x and y.")
    head = table_of_arrays(str(path), {name: array[:1] for name, array in arrays.items()})
    ((rows,),) = sizes
    # Of a deferred table, all columns are read when one is used.
    frame = import_polars().defer(
        lambda: table_of_arrays(str(path), {name: map_array(file) for name, file in paths.items()}).frame,
        schema=head.schema,
    )
    table = Table(str(path), frame, head.schema, rows, row_shape=head.row_shape)
    return ArrayFiles(table, paths, files, sum(array.nbytes for array in arrays.values()))
