"""Which column is the target, which are features, and of what kind each of them is."""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Kind

from .options import TableOptions
from .table import Table, import_polars

USUAL_TARGETS = ("label", "target", "class", "y")
MOST_CATEGORIES = 1000
# Above this many, a text that is different in every other row is a name or a remark, not a category.
MANY_CATEGORIES = 50
# Where at least this part of a column's texts are numbers, the others are mistakes.
NUMERIC_PART = 0.5


def find_target(table: Table, wanted: str | None) -> tuple[str, str | None]:
    """Return the column to predict, and what to say where it was guessed.

    Raises
    ------
    DataError
        Where there is none of that name, or none of a usual name.
    """
    names = list(table.schema)
    if wanted is not None:
        require(table, [wanted], option="--target")
        return wanted, None
    for usual in USUAL_TARGETS:
        for name in names:
            if name.lower() == usual:
                return name, f"the target is the column {name!r}, by its name; --target COLUMN chooses another"
    # A single letter is near to nothing.
    close = [name for name in names for usual in USUAL_TARGETS if len(usual) > 1 and near(usual, [name])]
    hint = f" Perhaps {' or '.join(map(repr, dict.fromkeys(close)))}?" if close else ""
    raise DataError(
        f"{table.name}: no column is called {', '.join(USUAL_TARGETS[:-1])} or {USUAL_TARGETS[-1]}, so it cannot be "
        f"told which to predict. Name it with --target.{hint} The columns are {shown(names)}."
    )


def find_features(table: Table, target: str, options: TableOptions) -> list[str]:
    """Return the columns to predict the target from, in the table's order.

    Raises
    ------
    DataError
        Where one that was named is not there, or none is left.
    """
    require(table, options.features, option="--features")
    require(table, options.exclude, option="--exclude")
    require(table, options.categories, option="--categories")
    wanted = options.features or tuple(table.schema)
    features = [name for name in table.schema if name in wanted and name != target and name not in options.exclude]
    if not features:
        raise DataError(
            f"{table.name}: no column is left to predict {target!r} from. The columns are {shown(table.schema)}."
        )
    return features


def require(table: Table, names: Iterable[str], *, option: str) -> None:
    """Refuse names that no column has, offering near ones."""
    for name in names:
        if name not in table.schema:
            raise DataError(
                f"{table.name}: {option}: there is no column {name!r}.{near(name, table.schema)} "
                f"The columns are {shown(table.schema)}."
            )


def near(name: str, names: Iterable[str]) -> str:
    """Return the question whether a name near to a mistaken one was meant; nothing where none is near."""
    names = list(names)
    folded = {other.strip().lower(): other for other in names}
    if name.strip().lower() in folded:
        return f" Did you mean {folded[name.strip().lower()]!r}?"
    close = difflib.get_close_matches(name.strip().lower(), folded, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(folded[other]) for other in close)}?" if close else ""


def shown(names: Iterable[str], most: int = 20) -> str:
    """Return names for a message, not more than can be read."""
    names = list(names)
    text = ", ".join(map(repr, names[:most]))
    return text if len(names) <= most else f"{text}, … ({len(names):,} in all)"


def find_kinds(table: Table, features: list[str], categories: Iterable[str] = ()) -> dict[str, Kind]:
    """Tell of each feature whether it is a number, a boolean or a category.

    Raises
    ------
    DataError
        For a column of a type that a network cannot see, one with nothing in it, one of numbers with a text among
        them, and texts that are no categories; all of the last kind at once.
    """
    polars = import_polars()
    kinds: dict[str, Kind] = {}
    unlike: dict[str, int] = {}
    for name in features:
        dtype = table.schema[name]
        if name in categories and not dtype.is_nested():
            kinds[name] = "category"
        elif dtype.is_numeric():
            kinds[name] = "number"
        elif dtype == polars.Boolean:
            kinds[name] = "boolean"
        elif is_text(polars, dtype):
            values = table.column(name).cast(polars.String)
            if name not in categories:
                refuse_text_among_numbers(table, name, values)
            distinct = values.drop_nulls().n_unique()
            if distinct > MOST_CATEGORIES or (distinct > MANY_CATEGORIES and distinct > table.rows / 2):
                unlike[name] = distinct
            kinds[name] = "category"
        else:
            what = "has no values" if dtype == polars.Null else f"is of type {dtype}"
            raise DataError(
                f"{table.name}: column {name!r} {what}, which a network cannot learn from. Leave it out with "
                f"--exclude {name}, or make numbers of it."
            )
        if kinds[name] == "category" and table.column(name).null_count() == table.rows:
            raise DataError(f"{table.name}: column {name!r} has no values. Leave it out with --exclude {name}.")
    if unlike:
        found = ", ".join(f"{name!r} ({count:,})" for name, count in unlike.items())
        raise DataError(
            f"{table.name}: too many different texts in {table.rows:,} rows to be categories: {found}. Leave them out "
            f"with --exclude {','.join(unlike)}"
        )
    return kinds


def is_text(polars: Any, dtype: Any) -> bool:
    """Tell whether a Polars type holds texts."""
    return bool(dtype in (polars.String, polars.Categorical, polars.Enum))


def refuse_text_among_numbers(table: Table, name: str, values: Any, *, remedy: str | None = None) -> None:
    """Refuse texts most of which are numbers: the others are mistakes.

    Raises
    ------
    DataError
        Naming the first of them, its row and its column.
    """
    polars = import_polars()
    numbers = values.cast(polars.Float64, strict=False)
    wrong = values.is_not_null() & numbers.is_null()
    count, there = int(wrong.sum()), len(values) - values.null_count()
    if not count or there - count < NUMERIC_PART * there or table.find_line is None:
        return
    row = int(np.argmax(wrong.to_numpy()))
    others = f" (and {count - 1:,} more)" if count > 1 else ""
    remedy = remedy or (
        f"Correct the cell, leave the column out with --exclude {name}, or take all its values for categories with "
        f"--categories {name}."
    )
    raise DataError(
        f"{table.name}: {table.place(row)}, column {name!r}: {values[row]!r}{others} is no number, as the other "
        f"{there - count:,} values of this column are. {remedy}"
    )
