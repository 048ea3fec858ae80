"""The columns of a table, and how a row of it becomes the network's input.

A `TableSchema` is fitted to the training rows alone, kept in the model file, and applied alike to later rows.
"""

import itertools
import math
from typing import Annotated, Literal, get_args

import msgspec

Kind = Literal["number", "boolean", "category", "date"]
Missing = Literal["auto", "refuse", "mean", "median", "drop"]
Scaling = Literal["none", "unit", "standard"]
DatePart = Literal["year", "month", "day", "weekday", "hour", "elapsed"]

MISSING: tuple[Missing, ...] = get_args(Missing)
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A column of a table.

    A number x becomes ``(x − offset) / scale``; a boolean 0 or 1; a category is encoded one-hot; each part of a date is
    scaled as a number.

    Attributes
    ----------
    categories
        In the order of their inputs, as text; empty for other kinds.
    fill
        Replacement for missing values: a number (0 or 1 for a boolean, days since 1970 for a date), or a category. None
        if none may be missing.
    offset, scale
        Of a number; 0 and 1 leave it unchanged.
    indicator
        Whether one more input, the column's last, is 1 where the value is missing.
    infrequent
        The category for all text that is not in `categories`; None if such text becomes all zeros.
    parts
        Name, offset and scale of each input of a date: its year, month (1 to 12), day (1 to 31), weekday (1 for Monday
        to 7), hour (with a fraction), or the days elapsed since 1970. All in UTC if the time zone is known.
    latest
        The latest date in training, in days since 1970.
    format
        How text is read as numbers or dates; None for the usual way, or if it was no text in training.

    Raises
    ------
    ValueError
        If these contradict each other.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    fill: float | str | None = None
    offset: float = 0.0
    scale: float = 1.0
    indicator: bool = False
    infrequent: str | None = None
    parts: tuple[tuple[DatePart, float, float], ...] = ()
    latest: float | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        """Check that the fields fit together."""
        for kind, size, what in (("category", len(self.categories), "categories"), ("date", len(self.parts), "parts")):
            if (self.kind == kind) != (size > 0):
                raise ValueError(f"column {self.name!r} is a {self.kind} with {size} {what}")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"column {self.name!r} has a category twice")
        if self.infrequent not in (None, *self.categories):
            raise ValueError(f"column {self.name!r} has no category {self.infrequent!r} for the infrequent ones")
        for offset, scale in ((self.offset, self.scale), *(part[1:] for part in self.parts)):
            if not math.isfinite(offset) or not 0.0 < scale < math.inf:
                raise ValueError(f"column {self.name!r} cannot be scaled by {offset} and {scale}")
        if self.kind != "number" and (self.offset, self.scale) != (0, 1):
            raise ValueError(f"column {self.name!r} is a {self.kind} and cannot be scaled")
        is_number = isinstance(self.fill, float | int) and self.kind != "category" and math.isfinite(self.fill)
        if not is_number and self.fill not in (None, *self.categories):
            raise ValueError(f"column {self.name!r}, a {self.kind}, cannot be filled with {self.fill!r}")
        if self.indicator and (self.fill is None or self.kind == "category"):
            raise ValueError(f"column {self.name!r}, a {self.kind}, cannot mark missing values")

    @property
    def inputs(self) -> int:
        """Number of inputs of the network that the column becomes."""
        return max(1, len(self.categories), len(self.parts)) + self.indicator


class NumberFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the text of a column is read as numbers.

    Attributes
    ----------
    decimal
        The decimal separator. The other one, spaces and apostrophes may stand between thousands.
    unit
        The currency, percent sign or unit beside each number; empty if there is none. It does not change the number.
    magnitudes
        Whether ``k``, ``M``, ``bn`` and the like multiply the number.
    """

    decimal: Literal[".", ","] = "."
    unit: str = ""
    magnitudes: bool = False


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a text file was read, as far as it matters for later files.

    Attributes
    ----------
    encoding
        None for UTF-8.
    separator
        Between cells; a space for any number of spaces.
    header
        Whether the first line holds the columns' names.
    comment
        The beginning of lines that are comments; None if there are none.
    formats
        Columns of decorated numbers, such as ``$1,234`` or ``45 %``.
    texts
        Columns of digits that are text, as some begin with 0.
    """

    encoding: str | None = None
    separator: str = ","
    header: bool = True
    comment: str | None = None
    formats: dict[str, NumberFormat] = {}
    texts: tuple[str, ...] = ()


class TableSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of the tables that a model takes; the object ``table_form`` in a model file.

    Attributes
    ----------
    columns
        In the order of the network's inputs.
    target
        Name of the column that the model predicts; None if it has none.
    missing
        How missing values were handled in training: refused, filled with the column's ``"mean"`` or ``"median"``
        (categories and booleans with the most frequent value), or their rows dropped. ``"auto"``: filled with the
        median, or given a category of their own; `Column.indicator` marks them where they are more than a few.
    scaling
        How numbers were scaled: not at all, each column to 0 … 1 (``"unit"``), or to mean 0 and standard deviation 1
        (``"standard"``). What is applied is each column's own `Column.offset` and `Column.scale`.
    reading
        How the file was read; None if in the usual way, or if it was no text.

    Raises
    ------
    ValueError
        If two columns have the same name, or the target is among them.
    """

    columns: Annotated[tuple[Column, ...], msgspec.Meta(min_length=1)]
    target: str | None = None
    missing: Missing = "refuse"
    scaling: Scaling = "none"
    reading: Reading | None = None

    def __post_init__(self) -> None:
        """Check that the columns fit together."""
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("two columns have the same name")
        if self.target in names:
            raise ValueError(f"the target {self.target!r} is also an input")

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The columns of numbers, booleans and dates."""
        return tuple(column for column in self.columns if column.kind != "category")

    @property
    def categories(self) -> tuple[Column, ...]:
        """The columns of categories."""
        return tuple(column for column in self.columns if column.kind == "category")

    @property
    def dates(self) -> tuple[Column, ...]:
        """The columns of dates, which are among the `numbers`, too."""
        return tuple(column for column in self.columns if column.kind == "date")

    @property
    def inputs(self) -> int:
        """Number of inputs of the network that a row becomes."""
        return sum(column.inputs for column in self.columns)

    @property
    def places(self) -> dict[str, slice]:
        """The inputs of the network that each column becomes."""
        ends = itertools.accumulate(column.inputs for column in self.columns)
        return {column.name: slice(end - column.inputs, end) for column, end in zip(self.columns, ends, strict=True)}

    @property
    def is_of_version_2(self) -> bool:
        """Whether a model file of version 2, which knew fewer fields, can hold it."""
        new = ("indicator", "infrequent", "parts", "format")
        is_plain = self.missing != "auto" and self.reading is None
        return is_plain and not any(getattr(column, name) for column in self.columns for name in new)


def reading_of(schema: TableSchema | None) -> Reading:
    """Return how the file of a schema's training table was read, which is the usual way without one."""
    return Reading() if schema is None or schema.reading is None else schema.reading
