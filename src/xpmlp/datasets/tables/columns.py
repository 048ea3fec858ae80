"""What the columns of a table are: the target and its task, the features and their kinds, or the pixels of images."""

import csv
import difflib
import io
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Kind

from ..dataset import listing
from .options import TableOptions, Task
from .table import Table, as_text, column_type, import_polars
from .task import decide_task

USUAL_TARGETS = ("label", "target", "class", "y")
# If at least this fraction of a column's text is numbers, the rest are mistakes.
NUMERIC_FRACTION = 0.5
SMALLEST_SIDE = 8  # of images
BRIGHTEST = 255
# Whole numbers that stay far below 255 are counts or percentages.
DARKEST_WHITE = 128


def find_target(table: Table, wanted: str | None) -> tuple[str, str | None]:
    """Return the target's name, and a note if it was guessed."""
    names = list(table.schema)
    if wanted is not None:
        check_names(table, [wanted], option="--target")
        return wanted, None
    for usual in USUAL_TARGETS:
        for name in names:
            if name.lower() == usual:
                return name, f"the target is the column {name!r}, by its name; choose another with --target COLUMN"
    # A single letter is similar to nothing.
    close = [name for name in names for usual in USUAL_TARGETS if len(usual) > 1 and did_you_mean(usual, [name])]
    hint = f" Perhaps {' or '.join(map(repr, dict.fromkeys(close)))}?" if close else ""
    raise DataError(
        f"{table.name}: no column is called {', '.join(USUAL_TARGETS[:-1])} or {USUAL_TARGETS[-1]}, so the target is "
        f"unknown. Name it with --target.{hint} The columns are {listing(names)}."
    )


def find_features(table: Table, target: str, options: TableOptions) -> list[str]:
    """Return the columns to predict the target from, in the table's order."""
    for option in ("features", "exclude", "categories"):
        check_names(table, getattr(options, option), option=f"--{option}")
    wanted = options.features or tuple(table.schema)
    features = [name for name in table.schema if name in wanted and name != target and name not in options.exclude]
    if not features:
        raise DataError(
            f"{table.name}: no column is left to predict {target!r} from. The columns are {listing(table.schema)}."
        )
    return features


def check_names(table: Table, names: Iterable[str], *, option: str) -> None:
    """Refuse names that no column has, suggesting similar ones."""
    for name in names:
        if name not in table.schema:
            raise DataError(
                f"{table.name}: {option}: there is no column {name!r}.{did_you_mean(name, table.schema)} "
                f"The columns are {listing(table.schema)}."
            )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question that suggests similar names, with a space before it; nothing if there are none."""
    folded = {other.strip().lower(): other for other in names}
    wanted = name.strip().lower()
    close = [wanted] if wanted in folded else difflib.get_close_matches(wanted, folded, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(folded[other]) for other in close)}?" if close else ""


def option_text(option: str, names: Iterable[str]) -> str:
    """Return an option with column names as it can be pasted into a shell."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return f"{option} {shlex.quote(line.getvalue())}"


def refuse_text_among_numbers(table: Table, name: str, values: Any, *, remedy: str | None = None) -> None:
    """Refuse a column of text in which most values are numbers, naming the first value that is not."""
    count, row = text_among_numbers(values)
    present = len(values) - values.null_count()
    if not count or present - count < NUMERIC_FRACTION * present or table.find_line is None:
        return
    others = f" (and {count - 1:,} more)" if count > 1 else ""
    remedy = remedy or (
        f"Correct the cell, leave the column out with {option_text('--exclude', [name])}, or use all its values as "
        f"categories with {option_text('--categories', [name])}."
    )
    raise DataError(
        f"{table.name}: {table.place(row)}, column {name!r}: {values[row]!r}{others} is not a number, but the other "
        f"{present - count:,} values of this column are. {remedy}"
    )


def text_among_numbers(values: Any) -> tuple[int, int]:
    """Return how many texts of a series are no numbers, and the row of the first."""
    wrong = values.is_not_null() & values.cast(import_polars().Float64, strict=False).is_null()
    return int(wrong.sum()), int(np.argmax(wrong.to_numpy())) if len(values) else 0


@dataclass(frozen=True, eq=False)
class Target:
    """The column to predict.

    Attributes
    ----------
    values
        One for each row: integers or text for classes, float64 for regression. Arbitrary where missing.
    missing
        Which rows have no value.
    note
        A note if the task was inferred.
    """

    name: str
    task: Task
    values: Shaped[np.ndarray, " rows"]
    missing: Shaped[np.ndarray, " rows"]
    note: str | None = None


def read_target(table: Table, name: str, task: Task | None) -> Target:
    """Read a table's target, and infer the task if it is not given."""
    polars = import_polars()
    series, dtype = table.column(name), table.schema[name]
    if column_type(dtype) in ("text", "boolean"):
        series = as_text(series)
        if task == "regression":
            remedy = "Correct the cell, or learn classes with --task classification."
            refuse_text_among_numbers(table, name, series, remedy=remedy)
            raise DataError(f"{table.name}: the target {name!r} is text, which no regression can predict. {remedy}")
        if task is None:
            remedy = "Correct the cell, or give --task classification if these are classes."
            refuse_text_among_numbers(table, name, series, remedy=remedy)
        values = np.asarray(series.fill_null("").to_list(), dtype=np.str_)
        return Target(name, "classification", values, series.is_null().to_numpy())
    if not dtype.is_numeric():
        raise DataError(f"{table.name}: the target {name!r} is of type {dtype}; expected numbers or classes.")
    if dtype.is_integer() and dtype not in (polars.Int128, polars.UInt64):
        return integer_target(
            name, series.fill_null(0).cast(polars.Int64).to_numpy(), series.is_null().to_numpy(), task
        )
    numbers = series.cast(polars.Float64).fill_null(np.nan).to_numpy()
    missing = np.isnan(numbers)
    if np.isinf(numbers).any():
        row = int(np.argmax(np.isinf(numbers)))
        raise DataError(f"{table.name}: {table.place(row)}, column {name!r}: the target is infinite. Correct it.")
    present = np.where(missing, 0.0, numbers)
    is_whole = (np.abs(present) <= 2**53) & (np.trunc(present) == present)
    if is_whole.all():
        return integer_target(name, present.astype(np.int64), missing, task)
    if task == "classification":
        raise DataError(
            f"{table.name}: the target {name!r} has fractions, such as {float(present[~is_whole][0])!r}, so its values "
            "cannot be classes. Give --task regression, or name the classes with whole numbers or text."
        )
    return Target(name, "regression", numbers, missing)


def integer_target(name: str, values: Any, missing: Any, task: Task | None) -> Target:
    """Return a target of whole numbers, which may be classes or amounts."""
    note = None
    if task is None:
        task, note = decide_task(name, values[~missing])
    return Target(name, task, values if task == "classification" else values.astype(np.float64), missing, note)


def image_shape(table: Table, kinds: dict[str, Kind], options: TableOptions) -> tuple[int, int] | None:
    """Return height and width if the features are images: as many whole numbers from 0 to 255 as a square has.

    Arrays of images need not be square. None for other tables, and if a scaling for other numbers was chosen.
    """
    if options.scale not in (None, "unit") or set(kinds.values()) != {"number"}:
        return None
    side = math.isqrt(len(kinds))
    shape = table.row_shape if table.row_shape is not None else (side, side)
    if len(shape) != 2 or math.prod(shape) != len(kinds) or min(shape) < SMALLEST_SIDE:
        return None
    if not all(table.schema[name].is_integer() for name in kinds):
        return None
    polars = import_polars()
    lowest, highest = 0, 0
    for group in table.column_groups(list(kinds)):
        extremes = group.select(
            lowest=polars.min_horizontal(polars.all().min()), highest=polars.max_horizontal(polars.all().max())
        )
        lowest, highest = min(lowest, extremes["lowest"][0] or 0), max(highest, extremes["highest"][0] or 0)
    return (shape[0], shape[1]) if lowest >= 0 and DARKEST_WHITE <= highest <= BRIGHTEST else None
