"""A look at data before training on it: what ``xpmlp inspect`` shows."""

from .columns import ColumnSummary, by_interest, concerns
from .inspection import Inspection, inspect_data, inspect_table, open_data
from .report import html_report

__all__ = [
    "ColumnSummary",
    "Inspection",
    "by_interest",
    "concerns",
    "html_report",
    "inspect_data",
    "inspect_table",
    "open_data",
]
