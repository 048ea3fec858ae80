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
from ..tables.files import parquet_files, table_format
from ..tables.options import TableOptions
from ..tables.table import Table
from .limit import Memory
from .parquet import ParquetFiles, open_files
from .rows import PIECE_FRACTION
from .table import load_table_stream, needed_memory

TEXT_COPIES = 3  # of a CSV file that reading it takes


class LargeTable(NamedTuple):
    """A table that takes more memory than it may."""

    files: ParquetFiles
    memory: Memory

    def read(self) -> Iterator[Table]:
        """Yield the table in pieces."""
        for piece in self.files.pieces(self.memory.limit // PIECE_FRACTION):
            yield self.files.read(piece, list(self.files.table.schema))


def find_large_table(data: str | Path, memory: str | int | None = None) -> LargeTable | None:
    """Return a table that takes more than that memory, by default most of the free one; None for other data.

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
    size = sum(file.stat().st_size for file in parquet_files(path)) if kind == "parquet" or path.is_file() else 0
    if kind == "parquet" and size:
        files = open_files(path)
        is_large = needed_memory(files.table.rows, len(files.table.schema)) > limit.limit
        return LargeTable(files, limit) if is_large else None
    if kind is not None and TEXT_COPIES * size > limit.limit:
        needed = format_bytes(TEXT_COPIES * size)
        other = path.with_suffix(".parquet")
        code = f"import polars; polars.scan_csv({str(path)!r}).sink_parquet({str(other)!r})"
        can_scan = kind == "csv" and path.suffix.lower() not in (*READERS, ".bz2", ".xz")
        convert = f"Convert it once: python -c {shlex.quote(code)}" if can_scan else "Save it as Parquet"
        raise DataError(
            f"{path}: takes about {needed} in memory, more than {limit.reason}, and only Parquet can be streamed. "
            f"{convert}. Then give the Parquet file, or a larger --memory."
        )
    return None


def load_stream(data: str | Path, options: TableOptions, memory: str | int | None = None) -> Dataset | None:
    """Return a table that takes more than that memory as a stream; None for other data. See `find_large_table`."""
    found = find_large_table(data, memory)
    return found and load_table_stream(Path(os.path.expanduser(data)), found.files, options, found.memory)
