"""Parquet and Arrow files, of which Polars reads no more than what is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xpmlp.errors import DataError

from .table import Table, import_polars


def read_parquet(path: Path) -> Table:
    """Open a Parquet file; its values are read when they are used, some row groups at a time.

    Raises
    ------
    DataError
        Where it is damaged or empty.
    """
    polars = import_polars()
    return open_frame(path, polars.scan_parquet, "Parquet")


def read_arrow(path: Path) -> Table:
    """Open an Arrow file, also called Feather or IPC, or a stream of the same format.

    Raises
    ------
    DataError
        Where it is damaged or empty.
    """
    polars = import_polars()
    with path.open("rb") as file:
        magic = file.read(6)
    if magic == b"ARROW1":
        return open_frame(path, polars.scan_ipc, "Arrow")
    if magic[:4] == b"FEA1":
        raise DataError(f"{path}: is a Feather file of version 1. Save it as version 2, which is Arrow, or as Parquet.")
    return open_frame(path, lambda file: polars.read_ipc_stream(file).lazy(), "Arrow")


def open_frame(path: Path, scan: Callable[[Path], Any], kind: str) -> Table:
    """Open a file with one of Polars' functions."""
    polars = import_polars()
    try:
        frame = scan(path)
        schema = dict(frame.collect_schema())
        rows = int(frame.select(polars.len()).collect().item()) if schema else 0
    except (polars.exceptions.PolarsError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as {kind} ({reason}). Is the file whole?") from error
    if not schema or not rows:
        raise DataError(
            f"{path}: holds {len(schema):,} columns and {rows:,} rows. Give a table with at least two rows."
        )
    return Table(name=str(path), frame=frame, schema=schema, rows=rows)
