"""A table's schema, measured on its training rows: in one pass over the table, or over the pieces of a large one."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, DatePart, Kind, Missing, Scaling, TableSchema

from ..dataset import counted, listing
from .columns import Target, option_text
from .dates import PARTS, date_part, varying_parts
from .kinds import CONSTANT, EMPTY, EMPTY_IN_TRAINING, MOST_CATEGORIES, WrongCells, refuse_wrong_cells, wrong_cells_note
from .options import TableOptions
from .schema import INFREQUENT, MISSING_CATEGORY, dropped_note, refuse_missing
from .table import Table, as_text, column_type, import_polars, without_nan

USE_MISSING = "Use them with --missing auto, mean or median, or drop such rows with --missing drop."
MOST_TEXTS = 200_000  # different ones in a column of categories, of which the most frequent thousand become inputs
# Missing values and categories are rare up to so many training rows, and at most one in a hundred of all.
RARE = 4


@dataclass
class Moments:
    """Number, mean, sum of squared deviations, and extremes of numbers, merged piece by piece.

    The merging is that of Chan, Golub and LeVeque (1979), which does not lose digits.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both sets of numbers."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if other.count == 0 else other
        shift = other.mean - self.mean
        return Moments(
            count,
            self.mean + shift * other.count / count,
            self.squares + other.squares + shift * shift * self.count * other.count / count,
            min(self.low, other.low),
            max(self.high, other.high),
        )

    def with_fill(self, fill: float | None, missing: int) -> "Moments":
        """Return the moments with a number in place of the missing ones."""
        return self if fill is None or not missing else self.merge(Moments(missing, fill, 0.0, fill, fill))

    @property
    def deviation(self) -> float:
        """Standard deviation; 1 if it is no more than rounding."""
        square, rounding = self.squares / self.count, self.count * float(np.finfo(np.float64).eps)
        with np.errstate(over="ignore", invalid="ignore"):
            is_rounding = square <= rounding * square + np.float64(rounding * self.mean) ** 2
        return 1.0 if is_rounding else math.sqrt(square)

    def scaling(self, scaling: Scaling) -> tuple[float, float]:
        """Return the offset and the scale of the numbers."""
        if scaling == "unit":
            return self.low, (self.high - self.low) or 1.0
        return (self.mean, self.deviation) if scaling == "standard" else (0.0, 1.0)


def moments(values: Float64[np.ndarray, " rows"]) -> Moments:
    """Return the moments of numbers."""
    if not len(values):
        return Moments()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        return Moments(
            len(values), mean, float(np.square(values - mean).sum()), float(values.min()), float(values.max())
        )


@dataclass
class ColumnStatistics:
    """What a pass over a table finds out about a column."""

    extremes: tuple[Any, Any] | None = None  # of all rows; None if they have no values
    missing: int = 0  # values in all rows
    absent: int = 0  # values that are missing in the training rows
    numbers: dict[DatePart, Moments] = field(default_factory=dict)  # of the training rows; of dates, those of each part
    texts: Counter[str] = field(default_factory=Counter)  # how many of the training rows have each

    def add(self, values: Any, chosen: Any, kind: Kind) -> None:
        """Add all values of a piece, and those of its training rows."""
        self.missing += values.null_count()
        if values.null_count() < len(values):
            low, high = values.min(), values.max()
            before = self.extremes or (low, high)
            self.extremes = min(low, before[0]), max(high, before[1])
        self.absent += chosen.null_count()
        if kind in ("category", "boolean"):
            self.texts.update(dict(as_text(chosen).drop_nulls().value_counts().rows()))
            return
        numbers = chosen.cast(import_polars().Float64).drop_nulls().to_numpy()
        # A number is what dates call the days elapsed.
        for part in PARTS if kind == "date" else ("elapsed",):
            found = moments(date_part(numbers, part))
            self.numbers[part] = self.numbers.get(part, Moments()).merge(found)


class TableStatistics:
    """What a pass over a table finds out about its rows, and about its columns of these kinds."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds
        self.columns = {name: ColumnStatistics() for name in kinds}
        self.train_rows = 0
        self.wrong: dict[str, WrongCells] = {}
        self.without_target = 0  # rows
        self.incomplete = 0  # rows that are dropped, as they have no value in these columns
        self.incomplete_in: Counter[str] = Counter()

    def usable_rows(
        self, table: Table, target: Target, missing: Missing, wrong: Mapping[str, WrongCells] = MappingProxyType({})
    ) -> Bool[np.ndarray, " rows"]:
        """Return which rows of a table, or a piece of it, can be used; refuse others if missing values are refused.

        `wrong` are the cells that are not of their column's kind, and missing values now.
        """
        counts: dict[str, int] = {}
        if missing in ("refuse", "drop"):
            counts = table.missing_counts(list(self.kinds))
        if missing == "refuse":
            refuse_wrong_cells(table, wrong)
            in_target = {target.name: int(target.missing.sum())} if target.missing.any() else {}
            refuse_missing(table, in_target | counts, USE_MISSING, target.missing if in_target else None)
        for name, cells in wrong.items():
            before = self.wrong.get(name, replace(cells, count=0, present=0, row=table.first + cells.row))
            count, present = before.count + cells.count, before.present + cells.present
            self.wrong[name] = replace(before, count=count, present=present)
        incomplete = table.rows_with_missing(counts)
        self.without_target += int(target.missing.sum())
        self.incomplete += int((incomplete & ~target.missing).sum())
        self.incomplete_in.update(counts)
        return np.asarray(~target.missing & ~incomplete)

    def row_notes(self, table: Table, target: str) -> list[str]:
        """Return notes on wrong cells, and on rows that are dropped."""
        notes = wrong_cells_note(table, self.wrong, is_training=True)
        if self.without_target:
            markers = table.markers.get(target) if column_type(table.schema[target]) == "text" else None
            written = f"; {listing(markers)} is missing: make it a class with --na none" if markers else ""
            dropped = counted(self.without_target, "row")
            notes.append(f"{dropped} dropped: no value in {target!r}, the target{written}")
        if self.incomplete_in:
            notes.append(dropped_note(table, self.incomplete, self.incomplete_in))
        return notes

    def add(self, table: Table, train: Bool[np.ndarray, " rows"]) -> None:
        """Add a table, or a piece of it, of which some rows are for training."""
        self.train_rows += int(np.count_nonzero(train))
        for group in map(without_nan, table.column_groups(list(self.kinds))):
            for values, chosen in zip(group, group.filter(train), strict=True):
                self.columns[values.name].add(values, chosen, self.kinds[values.name])

    @property
    def missing(self) -> dict[str, int]:
        """Number of missing values in all rows of each column that has any."""
        return {name: self.columns[name].missing for name in self.kinds if self.columns[name].missing}

    def unusable(self, *, are_pixels: bool, strict: bool) -> dict[str, str]:
        """Return the columns that cannot help, each with the reason."""
        found = {}
        for name, column in self.columns.items():
            if len(column.texts) > MOST_TEXTS:
                found[name] = f"more than {MOST_TEXTS:,} different texts"
            elif are_pixels or strict:
                continue
            elif column.extremes is None:
                found[name] = EMPTY
            elif column.extremes[0] == column.extremes[1] and not column.missing:
                found[name] = CONSTANT
            elif column.absent == self.train_rows:
                found[name] = EMPTY_IN_TRAINING
        return found

    def schema(
        self, table: Table, rows: Bool[np.ndarray, " rows"], target: str, options: TableOptions, *, white: float | None
    ) -> TableSchema:
        """Return how the columns are filled, scaled and encoded; medians are those of some rows of a table or sample.

        Numbers are filled and scaled as by scikit-learn's ``SimpleImputer`` followed by ``StandardScaler`` or
        ``MinMaxScaler``; booleans are filled with the most frequent value, the first in order among equals. Categories
        are as by scikit-learn's ``OneHotEncoder`` with infrequent categories. Pixels are divided by their `white`.
        """
        polars, scaling = import_polars(), "unit" if white else options.scale or "standard"
        medians: dict[str, float | None] = {}
        if options.missing in ("auto", "median"):
            names = [name for name, kind in self.kinds.items() if kind in ("number", "date")]
            for group in table.column_groups([name for name in names if self.columns[name].absent or not white]):
                numbers = without_nan(group.filter(rows).cast(polars.Float64))
                medians |= numbers.median().row(0, named=True)
        fitted = [self.fit(table, name, medians.get(name), options, scaling, white=white) for name in self.kinds]
        return TableSchema(tuple(fitted), target, options.missing, scaling, table.reading)

    def fit(
        self,
        table: Table,
        name: str,
        median: float | None,
        options: TableOptions,
        scaling: Scaling,
        *,
        white: float | None,
    ) -> Column:
        """Return a column with its fill value, scale and encoding."""
        column, kind, missing = self.columns[name], self.kinds[name], options.missing
        if column.absent == self.train_rows:
            raise DataError(
                f"{table.name}: column {name!r} has no values in the training rows. Leave it out with "
                f"{option_text('--exclude', [name])}."
            )
        mark = missing == "auto" and not is_rare(column.absent, self.train_rows)
        may_fill = missing not in ("refuse", "drop")  # else such rows are
        if kind == "category":
            keep = options.strict or name in options.categories
            return category_column(name, dict(sorted(column.texts.items())), column.absent, options, keep_rare=keep)
        if kind == "boolean":
            share = column.texts["true"] / max(column.texts.total(), 1)
            return Column(name, kind, fill=float(share > 0.5) if may_fill else None, indicator=mark)
        measured = column.numbers["elapsed"]
        fill = (measured.mean if missing == "mean" or median is None else median) if may_fill else None
        if white:
            fill = None if missing == "auto" and not column.absent else fill
            return Column(name, kind, fill=fill, scale=white)
        if kind == "number":
            offset, scale = measured.with_fill(fill, column.absent).scaling(scaling)
            if not np.isfinite((offset, scale, fill or 0.0)).all():
                raise DataError(
                    f"{table.name}: column {name!r} has values too far apart to compute with. Correct them, or leave "
                    f"the column out with {option_text('--exclude', [name])}."
                )
            return Column(name, kind, fill=fill, offset=offset, scale=scale, indicator=mark)
        parts = {
            part: found.with_fill(None if fill is None else date_part(np.asarray([fill]), part).item(), column.absent)
            for part, found in column.numbers.items()
        }
        varying = varying_parts({part: (found.low, found.high) for part, found in parts.items()})
        scaled = tuple((part, *parts[part].scaling(scaling)) for part in varying)
        latest = None if column.extremes is None else float(column.extremes[1])
        form = table.formats.get(name)
        return Column(name, kind, fill=fill, parts=scaled, latest=latest, format=form, indicator=mark)


def is_rare(count: int, rows: int) -> bool:
    """Return whether so many of the training rows are too few to learn from."""
    return count <= min(RARE, rows // 100)


def category_column(
    name: str, found: Mapping[str, int], missing: int, options: TableOptions, *, keep_rare: bool
) -> Column:
    """Return a column of categories, by how many rows each has, in order, and how many have none."""
    rows = sum(found.values()) + missing
    by_frequency = sorted(found, key=lambda text: -found[text])
    rare = set() if keep_rare else {text for text, count in found.items() if is_rare(count, rows)}
    if len(found) - len(rare) > MOST_CATEGORIES:
        rare = set(by_frequency[MOST_CATEGORIES - 1 :])
    infrequent = INFREQUENT if len(rare) > 1 else None
    categories = dict.fromkeys(text for text in found if infrequent is None or text not in rare)
    fill = by_frequency[0] if options.missing in ("mean", "median") else None
    if options.missing == "auto":
        fill = infrequent or by_frequency[0]
        fill = fill if is_rare(missing, rows) else MISSING_CATEGORY
    categories |= dict.fromkeys(text for text in (infrequent, fill) if text is not None)
    return Column(name, "category", tuple(categories), fill, infrequent=infrequent)
