"""Each column in numbers: how many values, what is missing, mean, spread and quartiles, or the commonest text."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from xpmlp.datasets.tables import Table
from xpmlp.datasets.tables.choosing import is_text
from xpmlp.datasets.tables.table import import_polars

Kind = Literal["number", "boolean", "text", "other"]
STATISTICS = ("mean", "std", "min", "q25", "median", "q75", "max")


@dataclass(frozen=True)
class ColumnSummary:
    """A column of a table.

    Attributes
    ----------
    name, type
        As the table has them; the type in Polars' words.
    kind
        What the values are.
    count, missing
        Rows with a value, and without; NaN is none.
    distinct
        Different values; None where they cannot be compared.
    mean, std, min, q25, median, q75, max
        Of numbers, as pandas' ``describe`` computes them: the standard deviation with n − 1, quartiles interpolated.
        None for other kinds, or where there are too few values.
    infinite
        How many numbers are infinite.
    top, top_count
        The commonest value of a text or boolean, and in how many rows it is.
    duplicate_of
        The first column with the same values, where there is one.
    """

    name: str
    type: str
    kind: Kind
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

    @property
    def is_constant(self) -> bool:
        """Whether all values are the same; a column without any is."""
        return self.distinct is not None and self.distinct <= 1

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON holds it: an infinity is null, and its count says that there is one."""
        values = asdict(self) | {"constant": self.is_constant}
        return {name: None if value in (float("inf"), float("-inf")) else value for name, value in values.items()}


def kind_of(dtype: Any) -> Kind:
    """Tell what a Polars type holds."""
    polars = import_polars()
    if dtype == polars.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "number"
    return "text" if is_text(polars, dtype) else "other"


def summarise_columns(table: Table) -> list[ColumnSummary]:
    """Summarise every column of a table, in its order."""
    summaries: dict[str, ColumnSummary] = {}
    names = {kind: [name for name, dtype in table.schema.items() if kind_of(dtype) == kind] for kind in KINDS}
    for group in table.column_groups(names["number"]):
        summaries |= summarise_numbers(group)
    for kind in ("boolean", "text", "other"):
        for name in names[kind]:
            summaries[name] = summarise_others(table.column(name), kind)
    return [summaries[name] for name in table.schema]


KINDS: tuple[Kind, ...] = ("number", "boolean", "text", "other")


def summarise_numbers(frame: Any) -> dict[str, ColumnSummary]:
    """Summarise columns of numbers, all at once."""
    polars = import_polars()
    values = polars.all()
    clean = frame.with_columns(polars.selectors.float().fill_nan(None))
    wanted = {
        "count": values.count(),
        "distinct": values.drop_nulls().n_unique(),
        "mean": values.mean(),
        "std": values.std(),
        "min": values.min(),
        "q25": values.quantile(0.25, interpolation="linear"),
        "median": values.median(),
        "q75": values.quantile(0.75, interpolation="linear"),
        "max": values.max(),
    }
    found = {name: clean.select(expression).row(0, named=True) for name, expression in wanted.items()}
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    infinite = clean.select(polars.col(floats).is_infinite().sum()).row(0, named=True) if floats else {}
    return {
        name: ColumnSummary(
            name=name,
            type=str(dtype),
            kind="number",
            count=found["count"][name],
            missing=frame.height - found["count"][name],
            distinct=found["distinct"][name],
            infinite=infinite.get(name, 0),
            mean=as_number(found["mean"][name]),
            std=as_number(found["std"][name]),
            min=as_number(found["min"][name]),
            q25=as_number(found["q25"][name]),
            median=as_number(found["median"][name]),
            q75=as_number(found["q75"][name]),
            max=as_number(found["max"][name]),
        )
        for name, dtype in frame.schema.items()
    }


def as_number(value: Any) -> float | None:
    """Return a statistic as a float; None where it is none, as the mean of infinities of both signs."""
    number = None if value is None else float(value)
    return None if number is None or math.isnan(number) else number


def summarise_others(series: Any, kind: Kind) -> ColumnSummary:
    """Summarise a column that holds no numbers."""
    missing = series.null_count()
    present = series.drop_nulls()
    if kind == "other":
        return ColumnSummary(series.name, str(series.dtype), kind, len(present), missing)
    polars = import_polars()
    counts = present.cast(polars.String).value_counts().sort("count", series.name, descending=[True, False])
    return ColumnSummary(
        name=series.name,
        type=str(series.dtype),
        kind=kind,
        count=len(present),
        missing=missing,
        distinct=counts.height,
        top=counts[series.name][0] if counts.height else None,
        top_count=int(counts["count"][0]) if counts.height else None,
    )
