"""Finding the kind of each column, and converting its values to that kind."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Kind, NumberFormat, Reading

from ..dataset import joined
from .columns import MOST_NAMED, NUMERIC_FRACTION, are_mistakes, is_numeric, option_text
from .dates import WHOLE_DATE, find_format, fraction_in_format, parse_dates, to_days
from .numbers import DECORATED, MARKERS_AMONG_NUMBERS, apply_format
from .numbers import find_format as find_number_format
from .options import TableOptions
from .suspicions import numbers_rows
from .table import Table, column_type, import_polars, without_nan
from .values import LEADING_ZERO, TRUTHS

MOST_CATEGORIES = 1000
# With more different values than this, text that differs in every other row is names or remarks, not categories.
MANY_CATEGORIES = 50
# Text of so many rows that is different in all of them names the rows.
FEWEST_IDS = 20
WORDS_OF_A_REMARK = 5
FEW_OTHERS = 0.1  # of a column of decorated numbers may have digits in another form
# Whole numbers in this range that are all dates are dates.
FIRST_DATE, LAST_DATE, FEWEST_DATES = 19000101, 21001231, 10
INFINITE = (math.inf, -math.inf)
EMPTY, CONSTANT, ID, REMARKS = "no values", "constant", "ids or names: different in all rows", "free text"
ROW_NUMBERS, EMPTY_IN_TRAINING = "numbers the rows", "no values in the training rows"
# What readers call columns without a name, as pandas and R write in front of the others.
NAMELESS = re.compile(r"|column_\d+|Unnamed: \d+|rownames|index|__index_level_0__")


@dataclass
class Found:
    """The kinds and formats of a table's features, and the features that cannot be inputs."""

    kinds: dict[str, Kind] = field(default_factory=dict)  # of the columns that can be inputs
    formats: dict[str, str] = field(default_factory=dict)  # of text that is dates
    number_formats: dict[str, NumberFormat] = field(default_factory=dict)  # of text that is numbers beside units
    ambiguous: dict[str, str] = field(default_factory=dict)  # a second format of dates that fit two
    unusable: dict[str, str] = field(default_factory=dict)  # the other columns, each with the reason

    def notes(self) -> list[str]:
        """Return notes on columns of dates, and of text that is read as numbers."""
        notes = []
        if read := [name for name in self.number_formats if name in self.kinds]:
            listed = ", ".join(f"{name!r} (in {self.number_formats[name].unit or 'thousands'})" for name in read)
            keep = option_text("--categories", read)
            notes.append(f"read as numbers: {listed}; keep the text with {keep}")
        if dates := [name for name, kind in self.kinds.items() if kind == "date"]:
            listed = ", ".join(
                f"{name!r} ({self.formats[name]})" if name in self.formats else repr(name) for name in dates
            )
            change = f"use them as categories with {option_text('--categories', dates)}"
            for name in self.ambiguous.keys() & set(dates):
                change += f", or read {name!r} in the other order with --date-format {self.ambiguous[name]}"
            notes.append(f"dates: {listed}; {change}")
        return notes

    def use_of(self, name: str) -> str:
        """Return what a column becomes: its kind and format, or why it is dropped."""
        if name in self.unusable:
            return f"dropped: {self.unusable[name]}"
        form = self.formats.get(name) or (self.number_formats[name].unit if name in self.number_formats else "")
        return f"{self.kinds[name]} ({form})" if form else self.kinds[name]


def find_kinds(table: Table, features: list[str], options: TableOptions) -> Found:
    """Find the kind of each feature."""
    polars = import_polars()
    found, whole_dates = Found(), find_whole_dates(table, features)
    for name in features:
        dtype = table.schema[name]
        kind = column_type(dtype)
        is_text = kind == "text" or name in options.categories
        if dtype == polars.Null or (is_text and table.column(name).null_count() == table.rows):
            found.unusable[name] = EMPTY
        elif kind == "other":
            found.unusable[name] = f"of type {dtype}"
        elif name in options.categories:
            found.kinds[name] = "category"
        elif kind == "text":
            find_kind_of_text(found, table, name, options)
        elif name not in options.features and NAMELESS.fullmatch(name) and names_the_rows(table.column(name)):
            found.unusable[name] = ROW_NUMBERS
        elif name in whole_dates:
            found.kinds[name], found.formats[name] = "date", WHOLE_DATE
        else:
            found.kinds[name] = kind
    if options.strict and found.ambiguous:
        name, other = next(iter(found.ambiguous.items()))
        raise DataError(
            f"{table.name}: column {name!r}: days and months could be exchanged. Give --date-format "
            f"{found.formats[name]} or --date-format {other}."
        )
    return found


def find_kind_of_text(found: Found, table: Table, name: str, options: TableOptions) -> None:
    """Add what a column of text is to `found`: dates, numbers, numbers beside units, or categories, in this order."""
    values = table.column(name)
    values = trimmed(values.filter(~is_missing(values)))
    distinct = values.unique()
    dates = None if is_numeric(distinct) else find_format(distinct, options.date_format)
    if dates is not None:
        found.kinds[name], (found.formats[name], other) = "date", dates
        found.ambiguous |= {} if other is None else {name: other}
    elif is_numeric(values):
        found.kinds[name] = "category" if distinct.str.contains(LEADING_ZERO).any() else "number"
    elif form := decorated_format(values, distinct):
        found.kinds[name], found.number_formats[name] = "number", form
    elif reason := why_no_categories(table, values, distinct, options):
        found.unusable[name] = reason
    else:
        found.kinds[name] = "category"


def decorated_format(values: Any, distinct: Any) -> NumberFormat | None:
    """Return the format of texts if most are numbers beside a unit or with separators; else None."""
    fits = distinct.str.contains(DECORATED)
    decorated = distinct.filter(fits).cast(import_polars().Float64, strict=False)
    if not are_mistakes(values.filter(values.is_in(distinct.filter(~fits).implode())), values):
        return None
    if fits.mean() < NUMERIC_FRACTION or not decorated.null_count():
        return None
    others = distinct.filter(~fits).str.contains(r"\d").sum()
    if others > FEW_OTHERS * len(distinct) or distinct.str.contains(LEADING_ZERO).any():
        return None  # as in "1. Industrial", "2. Information", or in "136A", "007"
    return find_number_format(distinct.filter(fits), decimal_comma=False)


def why_no_categories(table: Table, values: Any, distinct: Any, options: TableOptions) -> str | None:
    """Return the reason why text cannot be categories; None if it can."""
    count = len(distinct)
    is_varied = count > MANY_CATEGORIES and count > table.rows / 2
    if (is_varied or count >= FEWEST_IDS) and distinct.str.count_matches(r"\S+").mean() > WORDS_OF_A_REMARK:
        return REMARKS
    if count == len(values) >= FEWEST_IDS and not options.strict and count > table.rows / 2:
        return ID
    return f"{count:,} different texts" if is_varied or (options.strict and count > MOST_CATEGORIES) else None


def names_the_rows(series: Any) -> bool:
    """Return whether a column without a name numbers the rows, of which some may be gone, or has a text for each."""
    if len(series) < FEWEST_IDS or series.null_count() or series.n_unique() < len(series):
        return False
    if column_type(series.dtype) == "text":
        return True
    return series.dtype.is_integer() and bool(series.is_sorted() or numbers_rows(series))


def find_whole_dates(table: Table, features: list[str]) -> list[str]:
    """Return the columns of whole numbers that are dates such as 20261128."""
    large = [name for name in features if str(table.schema[name]) in ("Int32", "Int64", "UInt32", "UInt64")]
    in_range = []
    for group in table.column_groups(large):
        extremes = zip(group.columns, group.min().row(0), group.max().row(0), strict=True)
        in_range += [name for name, low, high in extremes if low and low >= FIRST_DATE and high <= LAST_DATE]
    texts = {name: trimmed(table.column(name).drop_nulls().unique()) for name in in_range}
    return [
        name
        for name, text in texts.items()
        if len(text) >= FEWEST_DATES and fraction_in_format(text, WHOLE_DATE) == 1.0
    ]


def drop_unusable(table: Table, kinds: dict[str, Kind], unusable: dict[str, str], options: TableOptions) -> list[str]:
    """Drop columns that cannot help from `kinds`, and return notes; refuse them if they were asked for."""
    for name in unusable:
        kinds.pop(name, None)
    refused = [name for name in unusable if options.strict or name in options.features or not kinds]
    named = refused or list(unusable)
    reasons = joined((f"{name!r} ({unusable[name]})" for name in named), most=MOST_NAMED)
    texts = [name for name in named if column_type(table.schema[name]) == "text"]
    texts = [name for name in texts if unusable[name] not in (EMPTY, CONSTANT)]
    use = f"; use text as categories with {option_text('--categories', texts)}" if texts else ""
    if refused:
        remedy = f"Leave them out with {option_text('--exclude', refused)}" if kinds else "No others are left"
        remedy += use
        if not kinds and REMARKS in unusable.values():
            remedy += "; or, in Python, learn from words: make_pipeline(TfidfVectorizer(), xpmlp.MLPClassifier())"
        if numbers := [name for name in refused if unusable[name] == ROW_NUMBERS]:
            remedy += f"; use the rows' numbers with {option_text('--features', numbers)}"
        raise DataError(f"{table.name}: columns that cannot be inputs: {reasons}. {remedy}.")
    return [f"columns dropped: {reasons}{use}"] if unusable else []


@dataclass(frozen=True)
class WrongCells:
    """Cells of a column that are not of its kind: their number, the row of the first, and its value."""

    kind: Kind
    count: int
    row: int
    value: Any
    present: int  # cells with a value, right or wrong


def as_kinds(table: Table, found: Found) -> tuple[Table, dict[str, WrongCells]]:
    """Return the table with values of the kinds that were found, and the cells that are none: now missing."""
    if found.number_formats:
        reading = table.reading or Reading()
        formats = reading.formats | found.number_formats
        table = replace(table, reading=msgspec.structs.replace(reading, formats=formats))
    return convert(replace(table, formats=found.formats), found.kinds)


def convert(table: Table, kinds: Mapping[str, Kind]) -> tuple[Table, dict[str, WrongCells]]:
    """Return the table with each column as values of its kind, and the cells that are none or infinite: now missing.

    Numbers become numbers, dates days since 1970; categories stay as they are.
    """
    polars = import_polars()
    expressions, wrong = {}, {}
    number_formats = {} if table.reading is None else table.reading.formats
    floats = [name for name, kind in kinds.items() if kind == "number" and table.schema[name].is_float()]
    infinite: set[str] = set()
    for group in table.column_groups(floats):
        found = group.select(polars.all().is_infinite().any()).row(0, named=True)
        infinite |= {name for name, is_infinite in found.items() if is_infinite}
    for name, kind in kinds.items():
        dtype, found, form = table.schema[name], column_type(table.schema[name]), number_formats.get(name)
        column = polars.col(name)
        if kind == "category" or dtype == polars.Null:
            continue
        if kind == "boolean" and found != "boolean":
            expression = trimmed(column).str.to_lowercase()
            expression = expression.replace_strict(TRUTHS, default=None, return_dtype=polars.Boolean)
        elif kind == "date" and found == "date":
            expression = to_days(column, dtype)
        elif kind == "date":
            form_of_dates = table.formats.get(name) or WHOLE_DATE
            expression = to_days(parse_dates(trimmed(column), form_of_dates), polars.Datetime("us"))
        elif kind == "number" and (found == "text" or name in infinite):
            if found == "text":
                values = None if form is None else apply_format(trimmed(table.column(name)), form)
                column = trimmed(column) if values is None else polars.lit(values)
            numbers = column.cast(polars.Float64, strict=False)
            expression = polars.when(numbers.is_finite()).then(numbers)
        else:
            continue
        expressions[name] = expression
        if found in ("text", "number"):
            values = without_nan(table.column(name).to_frame())[name]
            present = ~is_missing(values)
            is_wrong = (values.to_frame().select(found=expressions[name])["found"].is_null() & present).to_numpy()
            if is_wrong.any():
                row = int(np.argmax(is_wrong))
                wrong[name] = WrongCells(kind, int(is_wrong.sum()), row, values[row], int(present.sum()))
    if not expressions:
        return table, wrong
    frame = table.frame.with_columns(**expressions)
    return replace(table, frame=frame, schema=dict(frame.collect_schema())), wrong


def is_missing(values: Any) -> Any:
    """Return which values of a series are missing, or text that says so."""
    if column_type(values.dtype) != "text":
        return values.is_null()
    return values.is_null() | trimmed(values).str.to_lowercase().is_in(MARKERS_AMONG_NUMBERS)


def trimmed(values: Any) -> Any:
    """Return a series or an expression as text without spaces around it."""
    return values.cast(import_polars().String).str.strip_chars()


def wrong_cell(table: Table, name: str, cells: WrongCells) -> str:
    """Return what is wrong with the first wrong cell of a column."""
    others = f" (and {cells.count - 1:,} more)" if cells.count > 1 else ""
    what = "is infinite" if cells.value in INFINITE else f"is not a {cells.kind}"
    return f"{table.place(cells.row)}, column {name!r}: {cells.value!r}{others} {what}"


def refuse_wrong_cells(table: Table, wrong: Mapping[str, WrongCells], remedy: str | None = None) -> None:
    """Refuse the first cell that is not of its column's kind."""
    for name, cells in wrong.items():
        others = f", but the other {cells.present - cells.count:,} values of this column are"
        others = others if cells.count < cells.present and cells.value not in INFINITE else ""
        remedy = remedy or (
            f"Correct the cell, leave the column out with {option_text('--exclude', [name])}, or use all its values as "
            f"categories with {option_text('--categories', [name])}."
        )
        raise DataError(f"{table.name}: {wrong_cell(table, name, cells)}{others}. {remedy}")


def wrong_cells_note(table: Table, wrong: Mapping[str, WrongCells], *, is_training: bool = False) -> list[str]:
    """Return the note on cells that are not of their column's kind."""
    cells = joined((wrong_cell(table, *item) for item in wrong.items()), most=MOST_NAMED, between="; ")
    texts = [name for name, found in wrong.items() if is_training and isinstance(found.value, str)]
    use = f"; use all values as categories with {option_text('--categories', texts)}" if texts else ""
    return [f"used as missing values: {cells}{use}"] if wrong else []
