"""Whether data fit into memory, and a stream of those that do not."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xpmlp.errors import DataError

from ..dataset import Dataset
from ..memory import format_bytes
from ..tables.converted import READERS
from ..tables.files import array_files, parquet_files, table_format
from ..tables.options import TableOptions
from ..tables.table import Table
from .arrays import ArrayFiles, map_array, open_arrays
from .limit import Memory
from .parquet import ParquetFiles, open_files
from .rows import PIECE_FRACTION
from .table import load_table_stream, needed_memory

TEXT_COPIES = 3  # of a CSV file that reading it takes
MOST_COPIES = 5  # of .npy files: their bytes, and inputs in float32


class LargeTable(NamedTuple):
    """A table that takes more memory than it may."""

    files: ParquetFiles | ArrayFiles
    memory: Memory

    def read(self) -> Iterator[Table]:
        """Yield the table in pieces."""
        for piece in self.files.pieces(self.memory.limit // PIECE_FRACTION):
            yield self.files.read(piece, list(self.files.table.schema))


def find_large_table(
    data: str | Path, memory: str | int | None = None, targets: str | Path | None = None
) -> LargeTable | None:
    """Return a table that takes more than that memory, by default most of the free one; None for other data.

    Parameters
    ----------
    targets
        Of an array in a .npy file, the file with the targets.

    Raises
    ------
    SettingsError
        If the memory is not a size.
    DataError
        If it takes more and cannot be read in pieces.
    """
    limit = Memory.of(memory)
    path = Path(os.path.expanduser(data))
    if limit is None or not os.path.exists(path):
        return None
    kind = table_format(path)
    is_array = kind == "npy" or (kind == "npz" and os.path.isdir(path))
    found = array_files(path, targets).values() if is_array else parquet_files(path)
    size = sum(file.stat().st_size for file in found if file.is_file())
    if is_array and MOST_COPIES * size > limit.limit:
        needed = sum(array.size * (array.itemsize + 4) for array in map(map_array, found))
        return LargeTable(open_arrays(path, targets), limit) if needed > limit.limit else None
    if kind == "parquet" and size:
        files = open_files(path)
        is_large = needed_memory(files.table.rows, len(files.table.schema)) > limit.limit
        return LargeTable(files, limit) if is_large else None
    if kind is not None and not is_array and TEXT_COPIES * size > limit.limit:
        can_scan = kind == "csv" and path.suffix.lower() not in (*READERS, ".bz2", ".xz")
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


def load_stream(data: str | Path, options: TableOptions, memory: str | int | None = None) -> Dataset | None:
    """Return a table that takes more than that memory as a stream; None for other data. See `find_large_table`."""
    found = find_large_table(data, memory, options.target_file)
    return found and load_table_stream(Path(os.path.expanduser(data)), found.files, options, found.memory)
