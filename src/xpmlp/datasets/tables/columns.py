"""What the columns of a table are: the target and its task, the features and their kinds, or the pixels of images."""

import csv
import difflib
import io
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped

from xpmlp.errors import DataError
from xpmlp.model.model import is_image_shape
from xpmlp.model.table_schema import Kind

from ..dataset import counted, listing
from .options import TableOptions, Task
from .table import Table, as_text, column_type, import_polars

USUAL_TARGETS = ("label", "target", "class", "y")
LESS_USUAL_TARGETS = ("labels", "targets", "classes")
# If at least this fraction of a column's text is numbers, the rest are mistakes.
NUMERIC_FRACTION = 0.5
MISTAKES_RECUR, FEW_TEXTS = 5, 20
SMALLEST_SIDE = 8  # of images
BRIGHTEST = 255.0
MOST_NAMED = 10  # columns in a note
DARKEST_WHITE = 0.5  # of white: whole numbers that stay far below 255 are counts or percentages
# At most so many different whole numbers are classes, if the rarest has so many rows and all have so many on average:
# few are classes however unequal, such as the grades of wine; many are if all have many rows, such as letters.
CLASSES = ((10, 1, 10), (20, 5, 10), (100, 5, 100))
FEW_CLASSES, MOST_UNEQUAL = 20, 10


def find_target(table: Table, wanted: str | None) -> tuple[str, str | None]:
    """Return the target's name, and a note if it was guessed."""
    names = list(table.schema)
    if wanted is not None:
        several = [] if wanted in names else [name.strip() for name in wanted.split(",")]
        if len(several) > 1 and set(several) <= set(names):
            raise DataError(
                f"{table.name}: --target: {wanted!r} names {len(several)} columns, which are not one-hot; give one. In "
                "Python, xpmlp.MLPRegressor and xpmlp.MLPClassifier take several targets."
            )
        check_names(table, [wanted], option="--target")
        return wanted, None
    for usual in (*USUAL_TARGETS, *LESS_USUAL_TARGETS):
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
    wanted = set(options.features or table.schema)
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
                + (" Are cells separated by another character? Give --separator." if len(table.schema) == 1 else "")
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


def is_numeric(texts: Any) -> bool:
    """Return whether most texts are numbers and the others mistakes; a few that recur are categories: 2, 3, many."""
    texts = texts.drop_nulls()
    return are_mistakes(texts.filter(texts.cast(import_polars().Float64, strict=False).is_null()), texts)


def are_mistakes(wrong: Any, texts: Any) -> bool:
    """Return whether those of some texts that are no numbers are few, and not categories beside a few numbers."""
    if not len(texts) or len(wrong) > (1 - NUMERIC_FRACTION) * len(texts):
        return False
    recur = len(wrong) >= MISTAKES_RECUR * max(1, wrong.n_unique())
    return not recur or texts.n_unique() > FEW_TEXTS


@dataclass(frozen=True, eq=False)
class Target:
    """The column to predict."""

    name: str
    task: Task
    # Integers or text for classes, float64 for regression; arbitrary where missing.
    values: Shaped[np.ndarray, " rows"]
    missing: Shaped[np.ndarray, " rows"]  # which rows have no value
    note: str | None = None  # if the task was inferred, or values were no numbers


def read_target(table: Table, name: str, task: Task | None) -> Target:
    """Read a table's target, and infer the task if it is not given."""
    polars = import_polars()
    series, dtype, note = table.column(name), table.schema[name], None
    if column_type(dtype) in ("text", "boolean"):
        text = as_text(series)
        numbers = text.cast(polars.Float64, strict=False)
        if task == "classification" or not is_numeric(text):
            if task == "regression":
                raise DataError(
                    f"{table.name}: the target {name!r} is text, which no regression can predict. Correct the cells, "
                    "or learn classes with --task classification."
                )
            values = np.asarray(text.fill_null("").to_list(), dtype=np.str_)
            return Target(name, "classification", values, text.is_null().to_numpy())
        wrong = (numbers.is_null() & text.is_not_null()).to_numpy()
        row, count = int(np.argmax(wrong)), int(wrong.sum())
        if count:
            others = f" (and {count - 1:,} more)" if count > 1 else ""
            note = (
                f"without a target: {table.place(row)}, column {name!r}: {text[row]!r}{others} is not a "
                "number; use all values as classes with --task classification"
            )
        series, dtype = numbers, polars.Float64
    if not dtype.is_numeric():
        raise DataError(f"{table.name}: the target {name!r} is of type {dtype}; expected numbers or classes.")
    if dtype.is_integer() and dtype not in (polars.Int128, polars.UInt64):
        values = series.fill_null(0).cast(polars.Int64).to_numpy()
        return integer_target(name, values, series.is_null().to_numpy(), task, note)
    numbers = series.cast(polars.Float64).fill_null(np.nan).to_numpy()
    missing = ~np.isfinite(numbers)
    if np.isinf(numbers).any():
        row = int(np.argmax(np.isinf(numbers)))
        more = f"{table.place(row)}, column {name!r}: the value is infinite"
        note = f"{note}; {more}" if note else f"without a target: {more}"
    present = np.where(missing, 0.0, numbers)
    is_whole = are_whole(present)
    if is_whole.all():
        return integer_target(name, present.astype(np.int64), missing, task, note)
    if task == "classification":
        raise DataError(
            f"{table.name}: the target {name!r} has fractions, such as {float(present[~is_whole][0])!r}, so its values "
            "cannot be classes. Give --task regression, or name the classes with whole numbers or text."
        )
    return Target(name, "regression", present, missing, note)


def are_whole(numbers: Shaped[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    """Return which numbers are whole, and small enough for every digit to be known."""
    return np.asarray((np.abs(numbers) <= 2**53) & (np.trunc(numbers) == numbers))


def integer_target(name: str, values: Any, missing: Any, task: Task | None, note: str | None) -> Target:
    """Return a target of whole numbers, which may be classes or amounts."""
    if task is None:
        task, why = decide_task(name, np.unique(values[~missing], return_counts=True)[1].tolist())
        note = why if note is None else f"{note}; {why}"
    return Target(name, task, values if task == "classification" else values.astype(np.float64), missing, note)


def decide_task(name: str, counts: list[int]) -> tuple[Task, str]:
    """Return the task for a target by how many rows each of its whole numbers has, and a note with the reason.

    Many numbers, some of them rare, are amounts: counts, ages, prices. Two are always classes.
    """
    distinct, rarest, mean = len(counts), min(counts, default=0), sum(counts) / max(len(counts), 1)
    is_class = distinct == 2 or any(
        distinct <= most and rarest >= rarest_needed and mean >= mean_needed
        for most, rarest_needed, mean_needed in CLASSES
    )
    is_class &= distinct <= FEW_CLASSES or rarest * MOST_UNEQUAL >= mean  # the scores of tests are not
    task: Task = "classification" if is_class else "regression"
    other = "regression" if is_class else "classification"
    return task, (
        f"{name!r} has {distinct:,} different whole numbers, the rarest in {counted(rarest, 'row')}: {task}; change it "
        f"with --task {other}"
    )


class Pixels(NamedTuple):
    """The shape of the images that a table's rows are, and the value of white."""

    shape: tuple[int, ...]
    white: float


def find_pixels(table: Table, kinds: dict[str, Kind], options: TableOptions) -> Pixels | None:
    """Return what images the features are: as many whole numbers from 0 to 255 as a square has.

    Arrays of images need not be square, have a third axis if they are in color, and may hold fractions, also from 0 to
    1. None for other tables, and if a scaling for other numbers was chosen.
    """
    if options.scale not in (None, "unit") or set(kinds.values()) != {"number"}:
        return None
    side = math.isqrt(len(kinds))
    shape = table.row_shape if table.row_shape is not None else (side, side)
    if not is_image_shape(shape) or math.prod(shape) != len(kinds) or min(shape[:2]) < SMALLEST_SIDE:
        return None
    are_whole = all(table.schema[name].is_integer() for name in kinds)
    if not are_whole and table.row_shape is None:
        return None
    polars = import_polars()
    lowest, highest = 0.0, 0.0
    for group in table.column_groups(list(kinds)):
        extremes = group.select(
            lowest=polars.min_horizontal(polars.all().min()), highest=polars.max_horizontal(polars.all().max())
        )
        lowest, highest = min(lowest, extremes["lowest"][0] or 0), max(highest, extremes["highest"][0] or 0)
    if lowest < 0 or not math.isfinite(highest):
        return None
    whites = (BRIGHTEST,) if are_whole else (1.0, BRIGHTEST)
    return next((Pixels(shape, white) for white in whites if DARKEST_WHITE * white <= highest <= white), None)
