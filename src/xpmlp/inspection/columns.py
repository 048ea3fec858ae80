"""Each column in numbers: missing and different values, mean, spread and quartiles, or the most frequent text."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xpmlp.datasets.tables.table import ColumnType, Table, column_type, import_polars, without_nan

LARGE = 10**12  # numbers from there on are written with a power of ten
ROUNDED = 10**4  # numbers from there on are written without a fraction
COUNTS = ("count", "missing", "distinct", "infinite")
STATISTICS = {"mean": "mean", "std": "std", "min": "min", "q25": "25 %", "median": "50 %", "q75": "75 %", "max": "max"}


@dataclass(frozen=True)
class ColumnSummary:
    """A column of a table.

    Attributes
    ----------
    type
        As Polars calls it.
    count, missing
        Number of rows with and without a value; NaN is missing.
    distinct
        Number of different values; None if they cannot be compared.
    mean, std, min, q25, median, q75, max
        Of numbers, as pandas' ``describe`` computes them: the standard deviation with n − 1, quartiles interpolated.
        None for other kinds, or if there are too few values.
    top, top_count
        The most frequent value of text or booleans, and its number of rows.
    duplicate_of
        The first column with the same values, if there is one.
    used_as
        What training would make of it: its kind, with the format of dates, or why it is dropped. None for the target.
    missing_markers
        How often each marker of a missing value stands in it, such as ``?``; empty cells are not among them.
    """

    name: str
    type: str
    kind: ColumnType
    count: int
    missing: int
    distinct: int | None = None
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    q25: float | None = None
    median: float | None = None
    q75: float | None = None
    max: float | None = None
    infinite: int = 0
    top: str | None = None
    top_count: int | None = None
    duplicate_of: str | None = None
    used_as: str | None = None
    missing_markers: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_constant(self) -> bool:
        """Whether there is at most one value."""
        return self.distinct is not None and self.distinct <= 1

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON object, with null for infinities."""
        values = {name: plain(value) for name, value in vars(self).items()}
        return values | {"missing_markers": dict(self.missing_markers), "constant": self.is_constant}


def shown(value: Any) -> str:
    """Return a value as a person reads it: years and codes without separators, fractions rounded."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | float):
        return str(value)
    is_whole = math.isfinite(value) and value == round(value)
    return f"{value:.0f}" if abs(value) < LARGE and (is_whole or abs(value) >= ROUNDED) else f"{value:.4g}"


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def summarise_columns(table: Table) -> list[ColumnSummary]:
    """Summarise every column of a table, in its order."""
    numbers = [name for name, dtype in table.schema.items() if column_type(dtype) == "number"]
    summaries: dict[str, ColumnSummary] = {}
    for group in table.column_groups(numbers):
        summaries |= summarise_numbers(group)
    return [summaries.get(name) or summarise_other(table.column(name)) for name in table.schema]


def summarise_numbers(frame: Any) -> dict[str, ColumnSummary]:
    """Summarise columns of numbers, all at once."""
    polars = import_polars()
    clean, values = without_nan(frame), polars.all()
    # One query for each: DataFrame.describe takes half a minute for 784 columns.
    wanted = [values.count(), values.null_count(), values.drop_nulls().n_unique(), values.is_infinite().sum()]
    wanted += [values.mean(), values.std(), values.min(), values.quantile(0.25, interpolation="linear")]
    wanted += [values.median(), values.quantile(0.75, interpolation="linear"), values.max()]
    found = [clean.select(expression).row(0) for expression in wanted]
    summaries = {}
    for name, dtype, counts, statistics in zip(
        frame.columns, frame.dtypes, zip(*found[:4], strict=True), zip(*found[4:], strict=True), strict=True
    ):
        numbers = [None if value is None or math.isnan(value) else float(value) for value in statistics]
        known: dict[str, Any] = dict(zip((*COUNTS, *STATISTICS), (*counts, *numbers), strict=True))
        summaries[name] = ColumnSummary(name, str(dtype), "number", **known)
    return summaries


def summarise_other(series: Any) -> ColumnSummary:
    """Summarise a column of other values than numbers."""
    kind, missing = column_type(series.dtype), series.null_count()
    summary = ColumnSummary(series.name, str(series.dtype), kind, len(series) - missing, missing)
    if kind == "other":
        return summary
    counts = series.drop_nulls().cast(import_polars().String).value_counts()
    counts = counts.sort("count", series.name, descending=[True, False])
    top, top_count = counts.row(0) if counts.height else (None, None)
    return replace(summary, distinct=counts.height, top=top, top_count=top_count)


def mark_duplicates(table: Table, summaries: list[ColumnSummary]) -> list[ColumnSummary]:
    """Return the summaries with the first column of the same values in each; constant ones are not compared."""
    kinds = {summary.name: summary.kind for summary in summaries if summary.kind != "other" and not summary.is_constant}
    firsts: dict[tuple[str, bytes], str] = {}
    originals: dict[str, str] = {}
    for group in table.column_groups(list(kinds)):
        for series in group:
            hashes = comparable(series).hash(seed=1).to_numpy()
            name = series.name
            originals[name] = firsts.setdefault((kinds[name], hashlib.sha256(hashes).digest()), name)
    originals = {name: original for name, original in originals.items() if name != original}
    return [replace(summary, duplicate_of=originals.get(summary.name)) for summary in summaries]


def comparable(series: Any) -> Any:
    """Return a column so that equal values are equal whatever their types."""
    polars = import_polars()
    return series.cast(polars.Float64).fill_nan(None) if series.dtype.is_numeric() else series.cast(polars.String)


def by_interest(summaries: list[ColumnSummary], target: str | None = None) -> list[ColumnSummary]:
    """Return the columns in the order in which a person should see them: the target and problems first."""

    def rank(summary: ColumnSummary) -> tuple[int, int]:
        if summary.name == target:
            return 0, 0
        if summary.infinite or summary.kind == "other":
            return 1, 0
        if summary.is_constant:
            return 5, 0
        if summary.missing:
            return 2, -summary.missing
        if summary.duplicate_of is not None:
            return 3, 0
        return 4, -(summary.distinct or 0)

    return sorted(summaries, key=rank)


def concerns(summary: ColumnSummary) -> list[str]:
    """Return what is noteworthy about a column, in words."""
    markers = ", ".join(f"{count:,} {marker}" for marker, count in summary.missing_markers.items())
    used_as = summary.used_as or ""
    found = {
        f"{summary.missing:,} missing" + (f" ({markers})" if markers else ""): summary.missing,
        f"{summary.infinite:,} infinite": summary.infinite,
        "constant" if summary.count else "empty": summary.is_constant,
        f"same as {summary.duplicate_of}": summary.duplicate_of is not None,
        "neither numbers nor categories": summary.kind == "other",
        used_as: used_as.startswith(("date (", "number (")) or (used_as.startswith("dropped") and summary.count > 0),
    }
    return [words for words, applies in found.items() if applies]
