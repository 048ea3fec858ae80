"""All that is found out about a table."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from xpmlp.datasets.tables import Table, TableOptions
from xpmlp.datasets.tables.choosing import find_kinds, find_target, require
from xpmlp.datasets.tables.options import Task
from xpmlp.datasets.tables.pixels import image_shape
from xpmlp.datasets.tables.table import import_polars, rows_with_missing
from xpmlp.datasets.tables.target import Target, read_target
from xpmlp.errors import DataError

from .duplicates import DuplicateRows, find_duplicate_rows, mark_duplicates
from .sources import open_data
from .summary import ColumnSummary, summarise_columns

FIRST_ROWS = 5
IMAGES_A_CLASS = 10
MOST_CLASSES_SHOWN = 50
ROW_NUMBER = "the number of the row"  # no table of pixels has a column of this name


@dataclass(frozen=True)
class ClassCount:
    """How many rows are of a class."""

    label: int | str
    rows: int
    share: float


@dataclass(frozen=True, eq=False)
class Inspection:
    """What there is to know of a table before anything is learned from it.

    Attributes
    ----------
    name, rows
        Of the table.
    columns
        A summary of each, in the table's order.
    first_rows
        As dictionaries.
    target
        The name of the column to predict; None where none is known.
    task
        What would be learned; None without a target.
    classes
        How many rows are of each class, where there are classes.
    duplicates
        None where rows cannot be compared.
    rows_with_missing
        How many rows lack at least one value.
    notes
        What the user should know.
    image_shape
        Where the rows are images: height and width.
    images
        For each class some images, values as in the table.
    """

    name: str
    rows: int
    columns: tuple[ColumnSummary, ...]
    first_rows: tuple[dict[str, Any], ...]
    target: str | None
    task: str | None
    classes: tuple[ClassCount, ...]
    duplicates: DuplicateRows | None
    rows_with_missing: int
    notes: tuple[str, ...]
    image_shape: tuple[int, int] | None = None
    images: dict[int | str, Num[np.ndarray, "shown height width"]] = field(default_factory=dict)

    @property
    def constant(self) -> tuple[str, ...]:
        """The columns that hold one value only, or none."""
        return tuple(column.name for column in self.columns if column.is_constant)

    @property
    def duplicated(self) -> tuple[tuple[str, str], ...]:
        """The columns that hold the same as an earlier one, and which that is."""
        return tuple((column.name, column.duplicate_of) for column in self.columns if column.duplicate_of is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the inspection as JSON holds it, without the images."""
        return {
            "name": self.name,
            "rows": self.rows,
            "columns": [column.to_json() for column in self.columns],
            "first_rows": [{name: plain(value) for name, value in row.items()} for row in self.first_rows],
            "target": self.target,
            "task": self.task,
            "classes": [{"label": found.label, "rows": found.rows, "share": found.share} for found in self.classes],
            "constant_columns": list(self.constant),
            "duplicated_columns": dict(self.duplicated),
            "duplicate_rows": None if self.duplicates is None else self.duplicates.count,
            "contradicting_rows": None if self.duplicates is None else self.duplicates.contradictions,
            "rows_with_missing": self.rows_with_missing,
            "image_shape": None if self.image_shape is None else list(self.image_shape),
            "notes": list(self.notes),
        }


def plain(value: Any) -> Any:
    """Return a cell as JSON holds it."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def inspect_data(
    data: str | Path, data_dir: str | Path | None = None, *, target: str | None = None, task: Task | None = None
) -> Inspection:
    """Look at any data that can be trained on.

    Parameters
    ----------
    data, data_dir
        As `xpmlp.load_dataset` takes them.
    target
        The column to predict; by default one with a usual name, if there is one.
    task
        Whether its values are classes or numbers; by default told by them.

    Raises
    ------
    DataError
        Where there is no such data, or it is damaged, or has no such column.
    """
    return inspect_table(open_data(data, data_dir), target=target, task=task)


def inspect_table(table: Table, *, target: str | None = None, task: Task | None = None) -> Inspection:
    """Look at a table; see `inspect_data`."""
    if target is not None:
        require(table, [target], option="--target")
    notes = list(table.notes)
    found = find_known_target(table, target, task, notes)
    columns = tuple(mark_duplicates(table, summarise_columns(table)))
    lacking = [column.name for column in columns if column.missing]
    shape = find_image_shape(table, None if found is None else found.name)
    is_class = found is not None and found.task == "classification"
    return Inspection(
        name=table.name,
        rows=table.rows,
        columns=columns,
        first_rows=tuple(table.frame.head(FIRST_ROWS).collect().to_dicts()),
        target=None if found is None else found.name,
        task=None if found is None else found.task,
        classes=count_classes(found) if found is not None and is_class else (),
        duplicates=find_duplicate_rows(table, None if found is None else found.name),
        rows_with_missing=count_lacking(table, lacking),
        notes=tuple(notes),
        image_shape=shape,
        images=pick_images(table, found, shape) if shape is not None else {},
    )


def find_known_target(table: Table, wanted: str | None, task: Task | None, notes: list[str]) -> Target | None:
    """Return the target where there is one; what is wrong with it becomes a note, for all else can still be shown."""
    try:
        name, guess = find_target(table, wanted)
    except DataError:
        notes.append("no column is called label, target, class or y; --target COLUMN names what is to be predicted")
        return None
    try:
        found = read_target(table, name, TableOptions(target=name, task=task))
    except DataError as error:
        notes.append(str(error))
        return None
    notes.extend(note for note in (guess, found.note) if note is not None)
    return found


def count_classes(target: Target) -> tuple[ClassCount, ...]:
    """Return how many rows are of each class, in the order of the classes."""
    labels, counts = np.unique(target.values[~target.missing], return_counts=True)
    total = int(counts.sum())
    return tuple(
        ClassCount(label, count, count / total) for label, count in zip(labels.tolist(), counts.tolist(), strict=True)
    )


def count_lacking(table: Table, names: list[str]) -> int:
    """Return how many rows lack a value in one of the columns."""
    return int(np.count_nonzero(rows_with_missing(table, names))) if names else 0


def find_image_shape(table: Table, target: str | None) -> tuple[int, int] | None:
    """Return height and width where the rows are images."""
    features = [name for name in table.schema if name != target]
    if table.row_shape is not None and len(table.row_shape) == 2:
        return table.row_shape[0], table.row_shape[1]
    try:
        return image_shape(table, find_kinds(table, features), TableOptions())
    except DataError:
        return None


def pick_images(
    table: Table, target: Target | None, shape: tuple[int, int]
) -> dict[int | str, Num[np.ndarray, "shown height width"]]:
    """Return the first images of each class; without classes, the first images of all under one name."""
    polars = import_polars()
    features = [name for name in table.schema if target is None or name != target.name]
    groups: dict[int | str, list[int]] = {"": list(range(min(table.rows, 5 * IMAGES_A_CLASS)))}
    if target is not None and target.task == "classification":
        labels = np.unique(target.values[~target.missing])[:MOST_CLASSES_SHOWN]
        wanted = {label: np.flatnonzero((target.values == label) & ~target.missing) for label in labels.tolist()}
        groups = {label: rows[:IMAGES_A_CLASS].tolist() for label, rows in wanted.items()}
    wanted_rows = sorted(row for rows in groups.values() for row in rows)
    numbered = table.frame.select(features).with_row_index(ROW_NUMBER)
    picked = numbered.filter(polars.col(ROW_NUMBER).is_in(wanted_rows)).collect().drop(ROW_NUMBER).to_numpy()
    place = {row: position for position, row in enumerate(wanted_rows)}
    return {label: picked[[place[row] for row in rows]].reshape(-1, *shape) for label, rows in groups.items() if rows}
