"""Columns and rows that are there more than once."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from xpmlp.datasets.tables import Table
from xpmlp.datasets.tables.table import import_polars

from .summary import STATISTICS, ColumnSummary


def mark_duplicates(table: Table, summaries: list[ColumnSummary]) -> list[ColumnSummary]:
    """Say of each column whether an earlier one holds the same values; constant ones are not compared.

    Columns are compared value by value only where their summaries are the same.
    """
    alike: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for summary in summaries:
        if summary.kind != "other" and not summary.is_constant:
            key = (summary.kind, summary.missing, summary.distinct, summary.top, summary.top_count)
            alike[(*key, *(getattr(summary, name) for name in STATISTICS))].append(summary.name)
    originals: dict[str, str] = {}
    for names in alike.values():
        firsts: list[tuple[str, Any]] = []
        for name in names if len(names) > 1 else ():
            values = comparable(table.column(name))
            original = next((first for first, other in firsts if values.equals(other, null_equal=True)), None)
            if original is None:
                firsts.append((name, values))
            else:
                originals[name] = original
    return [replace(summary, duplicate_of=originals.get(summary.name)) for summary in summaries]


def comparable(series: Any) -> Any:
    """Return a column such that the same values are equal, whatever their types."""
    polars = import_polars()
    if series.dtype.is_numeric() and not series.dtype.is_integer():
        return series.cast(polars.Float64).fill_nan(None)
    if series.dtype.is_integer():
        return series.cast(polars.Float64)
    return series.cast(polars.String)


@dataclass(frozen=True)
class DuplicateRows:
    """Rows that are there more than once.

    Attributes
    ----------
    count
        Rows that are the same as an earlier one in all columns.
    contradictions
        Rows of which another has the same inputs, but another target; None without a target.
    """

    count: int
    contradictions: int | None


def find_duplicate_rows(table: Table, target: str | None) -> DuplicateRows | None:
    """Count duplicate rows, by a hash of 64 bits of each; None where some column's type has no hash."""
    polars = import_polars()
    features = [name for name in table.schema if name != target]
    blocks = []
    try:
        for _, block in table.row_blocks(list(table.schema)):
            # Categories are coded differently from block to block.
            texts = block.with_columns(polars.selectors.categorical().cast(polars.String))
            hashed = {"row": texts.hash_rows(seed=1)}
            if target is not None and features:
                hashed["inputs"] = texts.select(features).hash_rows(seed=1)
                hashed["target"] = texts.select(target).hash_rows(seed=1)
            blocks.append(polars.DataFrame(hashed))
    except polars.exceptions.PolarsError:
        return None
    hashes = polars.concat(blocks)
    count = hashes.height - hashes["row"].n_unique()
    if "inputs" not in hashes.columns:
        return DuplicateRows(count, None)
    differing = hashes.group_by("inputs").agg(polars.col("target").n_unique().alias("targets"), polars.len())
    contradictions = differing.filter(polars.col("targets") > 1)["len"].sum()
    return DuplicateRows(count, int(contradictions))
