"""What the columns of a table were, and how a row of it becomes the numbers that a network sees.

`TableSchema` is measured on the training rows alone, is kept in the model file, and is applied alike to later rows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

KINDS = ("number", "boolean", "category")
MISSING = ("refuse", "mean", "median", "drop")
SCALINGS = ("none", "unit", "standard")

Kind = Literal["number", "boolean", "category"]
Missing = Literal["refuse", "mean", "median", "drop"]
Scaling = Literal["none", "unit", "standard"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    A number x becomes ``(x − offset) / scale``; a boolean 0 or 1; a category as many values as there are categories,
    one of them 1, all of them 0 where it is none that was seen in training.

    Attributes
    ----------
    name
        As in the table.
    kind
        What its values are.
    categories
        The categories in the order of their inputs, as text; none for other kinds.
    fill
        What stands for a missing value: a number (0 or 1 for a boolean), or a category. None where none may be missing.
    offset, scale
        Of a number; 0 and 1 leave it as it is.

    Raises
    ------
    ValueError
        Where these contradict each other.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    fill: float | int | str | None = None
    offset: float | int = 0.0
    scale: float | int = 1.0

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        if (self.kind == "category") != (len(self.categories) > 0):
            raise ValueError(f"table form: column {self.name!r} is a {self.kind} of {len(self.categories)} categories")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"table form: column {self.name!r} has a category twice")
        if not math.isfinite(self.offset) or not 0.0 < self.scale < math.inf:
            raise ValueError(f"table form: column {self.name!r} cannot be scaled by {self.offset} and {self.scale}")
        if self.kind != "number" and (self.offset, self.scale) != (0, 1):
            raise ValueError(f"table form: column {self.name!r} is a {self.kind} and cannot be scaled")
        if self.fill is None:
            return
        if self.kind == "category":
            is_valid = self.fill in self.categories
        else:
            is_valid = not isinstance(self.fill, str) and math.isfinite(self.fill)
        if not is_valid:
            raise ValueError(f"table form: column {self.name!r}, a {self.kind}, cannot be filled with {self.fill!r}")

    @property
    def inputs(self) -> int:
        """How many values the network gets from it."""
        return max(1, len(self.categories))

    def to_json(self) -> dict[str, Any]:
        """Return the column as JSON holds it, without what is as usual: a table may have thousands of columns."""
        values: dict[str, Any] = {"name": self.name, "kind": self.kind}
        if self.categories:
            values["categories"] = list(self.categories)
        if self.fill is not None:
            values["fill"] = self.fill
        if (self.offset, self.scale) != (0, 1):
            values |= {"offset": self.offset, "scale": self.scale}
        return values


@dataclass(frozen=True)
class TableSchema:
    """The columns of the tables that a model takes.

    Attributes
    ----------
    columns
        In the order of the network's inputs.
    target
        The name of the column that the model predicts; None where it has none.
    missing
        What became of missing values in training: refused, filled with the column's ``"mean"`` or ``"median"``
        (categories and booleans with the commonest), or their rows dropped.
    scaling
        How the numbers were scaled: not at all, each column to 0 … 1 (``"unit"``), or to mean 0 and standard deviation
        1 (``"standard"``). Each column's own `Column.offset` and `Column.scale` are what is applied.

    Raises
    ------
    ValueError
        Where there are no columns, or two of one name, or the target is among them.
    """

    columns: tuple[Column, ...]
    target: str | None = None
    missing: Missing = "refuse"
    scaling: Scaling = "none"

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        if not self.columns:
            raise ValueError("table form: there are no columns")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("table form: two columns have the same name")
        if self.target in names:
            raise ValueError(f"table form: the target {self.target!r} is also an input")

    @property
    def inputs(self) -> int:
        """How many values the network gets from a row."""
        return sum(column.inputs for column in self.columns)

    def to_json(self) -> dict[str, Any]:
        """Return the form as JSON holds it."""
        return {
            "columns": [column.to_json() for column in self.columns],
            "target": self.target,
            "missing": self.missing,
            "scaling": self.scaling,
        }

    @staticmethod
    def from_json(values: Any) -> "TableSchema":
        """Return the form that `to_json` wrote, from values that anything may have happened to.

        Raises
        ------
        ValueError
            Where a value is missing, unknown, of another type or out of range.
        """
        check_names(values, {"columns", "target", "missing", "scaling"}, set())
        if not isinstance(values["columns"], list):
            raise ValueError(f"table form: columns is {values['columns']!r:.60}, expected a list")
        if values["target"] is not None and not isinstance(values["target"], str):
            raise ValueError(f"table form: target is {values['target']!r:.60}, expected a text")
        for name, choices in (("missing", MISSING), ("scaling", SCALINGS)):
            if values[name] not in choices:
                raise ValueError(f"table form: {name} is {values[name]!r:.60}, expected {', '.join(choices)}")
        return TableSchema(
            columns=tuple(column_from_json(column) for column in values["columns"]),
            target=values["target"],
            missing=values["missing"],
            scaling=values["scaling"],
        )


def column_from_json(values: Any) -> Column:
    """Return the column that `Column.to_json` wrote."""
    check_names(values, {"name", "kind"}, {"categories", "fill", "offset", "scale"})
    categories = values.get("categories", [])
    fill = values.get("fill")
    valid = {
        "name": isinstance(values["name"], str),
        "kind": values["kind"] in KINDS,
        "categories": isinstance(categories, list) and all(isinstance(value, str) for value in categories),
        "fill": fill is None or isinstance(fill, str) or is_number(fill),
        "offset": is_number(values.get("offset", 0.0)),
        "scale": is_number(values.get("scale", 1.0)),
    }
    for name, is_valid in valid.items():
        if not is_valid:
            raise ValueError(f"table form: a column's {name} is {values[name]!r:.60}")
    try:
        return Column(
            values["name"],
            values["kind"],
            tuple(categories),
            fill if fill is None or isinstance(fill, str) else float(fill),
            float(values.get("offset", 0.0)),
            float(values.get("scale", 1.0)),
        )
    except OverflowError as error:
        raise ValueError(f"table form: a number of column {values['name']!r} is too large") from error


def check_names(values: Any, required: set[str], optional: set[str]) -> None:
    """Refuse what is no JSON object of these names."""
    if not isinstance(values, Mapping):
        raise ValueError(f"table form: {values!r:.60} is not an object of {', '.join(sorted(required))}")
    if missing := sorted(required - values.keys()):
        raise ValueError(f"table form: {', '.join(missing)} missing")
    if unknown := sorted(map(str, values.keys() - required - optional)):
        raise ValueError(f"table form: unknown {', '.join(unknown)}")


def is_number(value: Any) -> bool:
    """Tell whether JSON's value is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
