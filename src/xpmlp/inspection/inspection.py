"""A table's summary: columns, classes, missing values, duplicates, images."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from xpmlp.datasets import ByteSplit, Dataset, Split
from xpmlp.datasets.dataset import counted, joined
from xpmlp.datasets.load import NAMES, is_table, load_by_options
from xpmlp.datasets.picture_table import find_labelled_pictures
from xpmlp.datasets.pictures import load_pictures
from xpmlp.datasets.tables.columns import Target, check_names, find_pixels, find_target, read_target
from xpmlp.datasets.tables.kinds import find_kinds
from xpmlp.datasets.tables.loading import NAMED_TABLES, open_tables
from xpmlp.datasets.tables.options import DEFAULTS, TableOptions, Task
from xpmlp.datasets.tables.suspicions import note_suspicions
from xpmlp.datasets.tables.table import Table, import_polars, reports_polars_errors
from xpmlp.errors import DataError
from xpmlp.model.model import is_image_shape

from .columns import ColumnSummary, mark_duplicates, plain, summarise_columns

FIRST_ROWS = 5
IMAGES_A_CLASS = 10
MOST_CLASSES_SHOWN = 50
NAMES_SHOWN = 8


@dataclass(frozen=True)
class ClassCount:
    """The number of rows of a class, and their share of all rows."""

    label: int | str
    rows: int
    share: float


@dataclass(frozen=True, eq=False)
class Inspection:
    """The summary of a table.

    Attributes
    ----------
    target, task
        The column to predict, and its task; None if unknown.
    duplicate_rows
        Number of rows that equal an earlier one in all columns; None if rows cannot be compared.
    contradicting_rows
        Number of rows whose inputs also occur with another target; None without a target.
    image_shape, images
        Height and width if the rows are images, with 3 for colors, and some images of each class, with values as in the
        table.
    """

    name: str
    rows: int
    columns: tuple[ColumnSummary, ...]
    first_rows: tuple[dict[str, Any], ...]
    target: str | None
    task: str | None
    classes: tuple[ClassCount, ...]
    duplicate_rows: int | None
    contradicting_rows: int | None
    rows_with_missing: int
    notes: tuple[str, ...]
    image_shape: tuple[int, ...] | None = None
    images: dict[int | str, Num[np.ndarray, "shown height width *color"]] = field(default_factory=dict)

    @property
    def constant(self) -> tuple[str, ...]:
        """The columns with at most one value."""
        return tuple(column.name for column in self.columns if column.is_constant)

    @property
    def duplicated(self) -> tuple[tuple[str, str], ...]:
        """The columns that equal an earlier one, each with that one."""
        return tuple((column.name, column.duplicate_of) for column in self.columns if column.duplicate_of is not None)

    def findings(self) -> dict[str, str]:
        """Return what stands out in the whole table, in words."""
        lacking = sorted((column for column in self.columns if column.missing), key=lambda column: -column.missing)
        missing = joined((f"{column.name} ({column.missing:,})" for column in lacking), most=NAMES_SHOWN)
        found = {
            "missing values": "none",
            "constant columns": count_and_names(self.constant),
            "duplicate columns": count_and_names([f"{name} = {other}" for name, other in self.duplicated]),
            "duplicate rows": f"{self.duplicate_rows:,}" if self.duplicate_rows else "none",
        }
        if self.image_shape is not None:  # pixels are not compared
            del found["duplicate columns"]
            found["images"] = " × ".join(map(str, self.image_shape))
        if lacking:
            places = f"{counted(len(lacking), 'column')} and {counted(self.rows_with_missing, 'row')}"
            found["missing values"] = f"in {places}: {missing}"
        if self.duplicate_rows is None:
            found["duplicate rows"] = "not compared: a column holds lists or objects"
        if self.contradicting_rows and self.task == "classification":
            found["contradictions"] = (
                f"{counted(self.contradicting_rows, 'row')} with the inputs of a row of another class"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON object, without the images."""
        return {
            **{name: value for name, value in vars(self).items() if name != "images"},
            "columns": [column.to_json() for column in self.columns],
            "first_rows": [{name: plain(value) for name, value in row.items()} for row in self.first_rows],
            "classes": [asdict(found) for found in self.classes],
            "constant_columns": self.constant,
            "duplicated_columns": dict(self.duplicated),
        }


def count_and_names(values: Sequence[str]) -> str:
    """Return how many there are and the first names."""
    return f"{len(values):,}: {joined(values, most=NAMES_SHOWN)}" if values else "none"


def open_data(
    data: str | Path, data_dir: str | Path | None = None, options: TableOptions = DEFAULTS
) -> tuple[Table, str | None]:
    """Open a table, or make one of a dataset of images: the raw values, and a column of labels.

    Return the target, too: that of the options, or the one that is known without them.
    """
    path = Path(os.path.expanduser(data))
    named = None if str(data) in NAMES else find_labelled_pictures(path, options)
    if named is None and is_table(data):
        return open_tables(data if str(data) in NAMED_TABLES else path, options)[0], options.target
    polars = import_polars()
    if named is None:
        dataset, label = load_by_options(data, data_dir, TableOptions(image_size=options.image_size)), "label"
    else:
        dataset, label = load_pictures(named, options), named.target or "label"
    names = ["pixel_" + "_".join(map(str, index)) for index in itertools.product(*map(range, dataset.input_shape))]
    splits = (dataset.train, dataset.test)
    values = polars.concat([polars.from_numpy(raw_values(dataset, split), schema=names) for split in splits])
    labels = polars.Series(label, np.concatenate([split.labels for split in splits]))
    note = f"the {dataset.train.rows:,} training rows are followed by the {dataset.test.rows:,} test rows"
    notes, frame = (*dataset.notes, note), values.insert_column(0, labels)
    table = Table.of(dataset.name, frame, notes=notes, row_shape=dataset.input_shape)
    return table, options.target or (None if named is None else named.target)


def raw_values(dataset: Dataset, split: Split) -> Any:
    """Return a split's inputs as they were before scaling: bytes if they were bytes."""
    if isinstance(split, ByteSplit):
        return split.stored
    raw = split.x * np.float32(dataset.input_scale)
    rounded = np.rint(raw)
    if dataset.input_scale <= 255 and rounded.min() >= 0 and np.abs(raw - rounded).max() < 1e-3:
        return rounded.astype(np.uint8)
    return raw


def inspect_data(
    data: str | Path, data_dir: str | Path | None = None, *, target: str | None = None, task: Task | None = None
) -> Inspection:
    """Summarise any data that `xpmlp.load_dataset` loads; see `inspect_table` for the options."""
    table, known = open_data(data, data_dir, TableOptions(target=target))
    return inspect_table(table, target=known, task=task)


@reports_polars_errors
def inspect_table(table: Table, *, target: str | None = None, task: Task | None = None) -> Inspection:
    """Summarise a table.

    Parameters
    ----------
    target
        The column to predict; by default one with a usual name, if there is one.
    task
        Inferred from the target by default.

    Raises
    ------
    DataError
        If there is no such column, or the table is damaged.
    """
    if target is not None:
        check_names(table, [target], option="--target")
    notes = list(table.notes)
    found = find_known_target(table, target, task, notes)
    columns = summarise_columns(table)
    lacking = [column.name for column in columns if column.missing]
    target = None if found is None else found.name
    shape = find_image_shape(table, target)
    if shape is None:
        names = [
            column.name for column in columns if column.name != target and (column.missing or not column.is_constant)
        ]
        notes += note_suspicions(table, names, found, None if found is None else ~found.missing)
        kinds = find_kinds(table, [name for name in table.schema if name != target], DEFAULTS)
        columns = [
            replace(
                column,
                used_as=None if column.name == target else kinds.use_of(column.name),
                missing_markers=table.markers.get(column.name, {}),
            )
            for column in mark_duplicates(table, columns)
        ]
    duplicates, contradictions = find_duplicate_rows(table, target)
    return Inspection(
        name=table.name,
        rows=table.rows,
        columns=tuple(columns),
        first_rows=tuple(table.head(FIRST_ROWS).to_dicts()),
        target=target,
        task=None if found is None else found.task,
        classes=count_classes(found) if found is not None and found.task == "classification" else (),
        duplicate_rows=duplicates,
        contradicting_rows=contradictions,
        rows_with_missing=int(np.count_nonzero(table.rows_with_missing(lacking))),
        notes=tuple(notes),
        image_shape=shape,
        images=pick_images(table, found, shape) if shape is not None else {},
    )


def find_known_target(table: Table, wanted: str | None, task: Task | None, notes: list[str]) -> Target | None:
    """Return the target if there is one; problems with it become notes, as everything else can still be shown."""
    try:
        name, guess = find_target(table, wanted)
    except DataError:
        notes.append("no column is called label, target, class or y; name the target with --target COLUMN")
        return None
    try:
        found = read_target(table, name, task)
    except DataError as error:
        notes.append(str(error).removeprefix(f"{table.name}: "))
        return None
    notes.extend(note for note in (guess, found.note) if note is not None)
    return found


def find_duplicate_rows(table: Table, target: str | None) -> tuple[int | None, int | None]:
    """Count duplicate and contradicting rows by a hash of 64 bits of each; None if a column's type has no hash."""
    polars = import_polars()
    features = [name for name in table.schema if name != target]
    blocks = []
    try:
        for _, block in table.row_blocks(list(table.schema)):
            # Categories have other codes in each block.
            texts = block.with_columns(polars.selectors.categorical().cast(polars.String))
            hashed = {"row": texts.hash_rows(seed=1)}
            if target is not None and features:
                hashed["inputs"] = texts.select(features).hash_rows(seed=1)
                hashed["target"] = texts.select(target).hash_rows(seed=1)
            blocks.append(polars.DataFrame(hashed))
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException):
        return None, None
    hashes = polars.concat(blocks)
    count = hashes.height - hashes["row"].n_unique()
    if "inputs" not in hashes.columns:
        return count, None
    differing = hashes.group_by("inputs").agg(polars.col("target").n_unique().alias("targets"), polars.len())
    return count, int(differing.filter(polars.col("targets") > 1)["len"].sum())


def count_classes(target: Target) -> tuple[ClassCount, ...]:
    """Return the number of rows of each class, in the order of the classes."""
    labels, counts = np.unique(target.values[~target.missing], return_counts=True)
    shares = counts / counts.sum()
    return tuple(itertools.starmap(ClassCount, zip(labels.tolist(), counts.tolist(), shares.tolist(), strict=True)))


def find_image_shape(table: Table, target: str | None) -> tuple[int, ...] | None:
    """Return height and width if the rows are images, and 3 if they are in color."""
    if table.row_shape is not None and is_image_shape(table.row_shape):
        return table.row_shape
    features = [name for name in table.schema if name != target]
    if not all(table.schema[name].is_integer() for name in features):
        return None
    pixels = find_pixels(table, dict.fromkeys(features, "number"), DEFAULTS)
    return None if pixels is None else pixels.shape


def pick_images(
    table: Table, target: Target | None, shape: tuple[int, ...]
) -> dict[int | str, Num[np.ndarray, "shown height width *color"]]:
    """Return the first images of each class, or without classes the first of all under an empty name."""
    features = [name for name in table.schema if target is None or name != target.name]
    groups: dict[int | str, list[int]] = {"": list(range(min(table.rows, 5 * IMAGES_A_CLASS)))}
    if target is not None and target.task == "classification":
        labels = np.unique(target.values[~target.missing])[:MOST_CLASSES_SHOWN].tolist()
        members = {label: np.flatnonzero((target.values == label) & ~target.missing) for label in labels}
        groups = {label: rows[:IMAGES_A_CLASS].tolist() for label, rows in members.items()}
    wanted = sorted(row for rows in groups.values() for row in rows)
    picked = np.concatenate(
        [
            block[[row - start for row in wanted if start <= row < start + block.height]].to_numpy()
            for start, block in table.row_blocks(features)
        ]
    )
    return {label: picked[np.searchsorted(wanted, rows)].reshape(-1, *shape) for label, rows in groups.items() if rows}
