"""A table's schema, measured in one pass over its pieces."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from xpmlp.model.table_schema import Column, DatePart, Kind, Scaling, TableSchema

from ..tables.dates import PARTS, date_part, varying_parts
from ..tables.kinds import CONSTANT, EMPTY, EMPTY_IN_TRAINING, WrongCells
from ..tables.options import TableOptions
from ..tables.schema import category_column, deviation_or_one, fill_or_none, needs_mark, refuse_overflow
from ..tables.table import Table, as_text, import_polars, without_nan

MOST_TEXTS = 200_000  # different ones in a column of categories, of which the most frequent thousand become inputs


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
            self.squares + other.squares + shift**2 * self.count * other.count / count,
            min(self.low, other.low),
            max(self.high, other.high),
        )

    def with_fill(self, fill: float | None, missing: int) -> "Moments":
        """Return the moments with a number in place of the missing ones."""
        return self if fill is None or not missing else self.merge(Moments(missing, fill, 0.0, fill, fill))

    @property
    def deviation(self) -> float:
        """Standard deviation; 1 if it is no more than rounding."""
        return deviation_or_one(self.mean, math.sqrt(self.squares / self.count), self.count)

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
    """What a pass over a table finds out about a column.

    Attributes
    ----------
    extremes
        Lowest and highest value of all rows; None if they have none.
    missing
        Number of missing values in all rows.
    absent
        Number of missing values in the training rows.
    numbers
        The moments of the training rows' values; of dates, those of each part.
    texts
        How many of the training rows have each text.
    """

    extremes: tuple[Any, Any] | None = None
    missing: int = 0
    absent: int = 0
    numbers: dict[DatePart, Moments] = field(default_factory=dict)
    texts: Counter[str] = field(default_factory=Counter)


class TableStatistics:
    """What a pass over a table finds out about its columns of these kinds."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds
        self.columns = {name: ColumnStatistics() for name in kinds}
        self.rows = 0
        self.train_rows = 0
        self.wrong: dict[str, WrongCells] = {}

    def add(self, table: Table, train: Bool[np.ndarray, " rows"], wrong: Mapping[str, WrongCells]) -> None:
        """Add a piece of the table, of which some rows are for training."""
        polars = import_polars()
        frame = without_nan(table.collect())
        chosen = frame.filter(train)
        self.rows += frame.height
        self.train_rows += chosen.height
        for name, kind in self.kinds.items():
            column, values = self.columns[name], frame[name]
            column.missing += values.null_count()
            if values.null_count() < len(values):
                found = [column.extremes] if column.extremes else []
                found.append((values.min(), values.max()))
                column.extremes = min(low for low, _ in found), max(high for _, high in found)
            values = chosen[name]
            column.absent += values.null_count()
            if kind in ("category", "boolean"):
                texts = as_text(values).drop_nulls()
                column.texts.update(dict(texts.value_counts().rows()))
                continue
            numbers = values.cast(polars.Float64).drop_nulls().to_numpy()
            parts: dict[DatePart, Any] = {"elapsed": numbers}  # which is the number itself
            if kind == "date":
                parts = {part: date_part(numbers, part) for part in PARTS}
            for part, part_values in parts.items():
                column.numbers[part] = column.numbers.get(part, Moments()).merge(moments(part_values))
        for name, cells in wrong.items():
            if (before := self.wrong.get(name)) is None:
                self.wrong[name] = replace(cells, row=table.first + cells.row)
            else:
                count, present = before.count + cells.count, before.present + cells.present
                self.wrong[name] = replace(before, count=count, present=present)

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
        self, table: Table, medians: Mapping[str, float], target: str, options: TableOptions, *, white: float | None
    ) -> TableSchema:
        """Return the schema; `table` and `medians` are those of a sample."""
        scaling: Scaling = "unit" if white else options.scale or "standard"
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
        """Return a column with its fill value, scale and encoding, as `xpmlp.datasets.tables.schema` measures them."""
        column, kind, missing = self.columns[name], self.kinds[name], options.missing
        mark = needs_mark(column.absent, self.train_rows, missing)
        if kind == "category":
            keep = options.strict or name in options.categories
            return category_column(name, dict(sorted(column.texts.items())), column.absent, options, keep_rare=keep)
        if kind == "boolean":
            share = column.texts["true"] / max(column.texts.total(), 1)
            return Column(name, kind, fill=fill_or_none(float(share > 0.5), missing), indicator=mark)
        measured = column.numbers["elapsed"]
        fill = fill_or_none(measured.mean if missing == "mean" or median is None else median, missing)
        if white:
            fill = None if missing == "auto" and not column.absent else fill
            return Column(name, kind, fill=fill, scale=white)
        if kind == "number":
            offset, scale = measured.with_fill(fill, column.absent).scaling(scaling)
            refuse_overflow(table, name, offset, scale, fill or 0.0)
            return Column(name, kind, fill=fill, offset=offset, scale=scale, indicator=mark)
        parts = {
            part: found.with_fill(None if fill is None else date_part(np.asarray([fill]), part)[0], column.absent)
            for part, found in column.numbers.items()
        }
        varying = varying_parts({part: (found.low, found.high) for part, found in parts.items()})
        scaled = tuple((part, *parts[part].scaling(scaling)) for part in varying)
        latest = None if column.extremes is None else float(column.extremes[1])
        form = table.formats.get(name)
        return Column(name, kind, fill=fill, parts=scaled, latest=latest, format=form, indicator=mark)
