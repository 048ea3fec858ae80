"""A look at data before anything is learned from it: what ``xpmlp inspect`` shows."""

from .inspection import Inspection, inspect_data, inspect_table
from .interest import by_interest
from .report import html_report
from .summary import ColumnSummary

__all__ = ["ColumnSummary", "Inspection", "by_interest", "html_report", "inspect_data", "inspect_table"]
