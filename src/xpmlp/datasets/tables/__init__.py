"""Tables: CSV, Parquet, Arrow and .npz files, and the ones that come with scikit-learn."""

from .files import read_table, read_tables, table_format
from .loading import (
    NAMED_TABLES,
    Rows,
    held_out_rows,
    labelled_rows,
    load_table,
    named_table,
    open_tables,
    plain_schema,
    rows_to_predict,
)
from .options import TASKS, Help, TableOptions
from .table import Table

__all__ = [
    "NAMED_TABLES",
    "TASKS",
    "Help",
    "Rows",
    "Table",
    "TableOptions",
    "held_out_rows",
    "labelled_rows",
    "load_table",
    "named_table",
    "open_tables",
    "plain_schema",
    "read_table",
    "read_tables",
    "rows_to_predict",
    "table_format",
]
