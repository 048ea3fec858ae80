"""Whether data fit into memory, and a stream of those that do not."""

import os
from pathlib import Path

from ..dataset import Dataset
from ..tables.files import parquet_files, table_format
from ..tables.options import TableOptions
from .limit import Memory
from .parquet import open_files
from .table import load_table_stream, needed_memory


def load_stream(data: str | Path, options: TableOptions, memory: str | int | None = None) -> Dataset | None:
    """Return data that take more than that memory, by default most of the free one, as a stream; None if they fit.

    Raises
    ------
    SettingsError
        If the memory is not a size.
    DataError
        If they do not fit and cannot be streamed.
    """
    limit = Memory.of(memory)
    path = Path(os.path.expanduser(data))
    if limit is None or not os.path.exists(path) or table_format(path) != "parquet":
        return None
    if sum(file.stat().st_size for file in parquet_files(path)) == 0:
        return None
    table = open_files(path).table
    return (
        load_table_stream(path, options, limit) if needed_memory(table.rows, len(table.schema)) > limit.limit else None
    )
