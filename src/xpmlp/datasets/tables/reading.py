"""A path in, a table out, whatever its format."""

import os
from pathlib import Path

from xpmlp.errors import DataError

from .binary_files import read_arrow, read_parquet
from .csv_file import read_csv
from .npz_file import read_npz
from .table import Table

PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
TEXT = (".csv", ".tsv")
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd")
FORMATS = "CSV (plain, .gz or .zst), Parquet, Arrow or Feather, or .npz"


def table_format(path: Path) -> str | None:
    """Tell a table's format by its name: ``"csv"``, ``"parquet"``, ``"arrow"`` or ``"npz"``; None where it is none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
        return "csv" if suffixes and suffixes[-1] in TEXT else None
    if not suffixes:
        return None
    for name, known in (("parquet", PARQUET), ("arrow", ARROW), ("csv", TEXT), ("npz", (".npz",))):
        if suffixes[-1] in known:
            return name
    return None


def read_tables(path: Path) -> tuple[Table, Table | None]:
    """Read a table, and that of the test rows where the file has them apart.

    Raises
    ------
    DataError
        Where there is no such file, or it is of no known format or damaged.
    """
    if not os.path.exists(path):
        raise DataError(f"{path}: there is no such file. Give {FORMATS}.")
    if not os.path.isfile(path):
        raise DataError(f"{path}: is not a file. Give {FORMATS}.")
    kind = table_format(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty. Give a table with a line of names and at least two rows.")
        if kind == "npz":
            return read_npz(path)
        if kind == "parquet":
            return read_parquet(path), None
        if kind == "arrow":
            return read_arrow(path), None
    except PermissionError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check that you may read it.") from error
    if kind is None:
        raise DataError(f"{path}: is of no known format. Give {FORMATS}.")
    return read_csv(path), None


def read_table(path: Path) -> Table:
    """Read a table of one kind of rows; see `read_tables`.

    Raises
    ------
    DataError
        Likewise; of a file with training and test rows, the test rows are returned.
    """
    table, test = read_tables(path)
    return table if test is None else test
