"""Tables: CSV, Parquet, Arrow and .npz files, and the ones that come with scikit-learn."""

from .loading import (
    Rows,
    held_out_rows,
    labelled_rows,
    load_table,
    open_tables,
    plain_form,
    rows_to_predict,
)
from .named import NAMED_TABLES
from .options import TASKS, Help, TableOptions
from .reading import read_table, read_tables, table_format
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
    "open_tables",
    "plain_form",
    "read_table",
    "read_tables",
    "rows_to_predict",
    "table_format",
]
