"""From a table to a dataset, or to the inputs of a trained model."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, TableSchema

from ..dataset import Dataset, Provenance, Split, class_indices, counted, listing
from ..picture_folder import is_picture
from ..splitting import BY_ROW_NUMBER, TEST_FRACTION, draw, split_rows
from .columns import (
    Target,
    did_you_mean,
    find_features,
    find_pixels,
    find_target,
    read_target,
)
from .encoding import encode
from .files import COMPRESSED, read_table, read_tables
from .kinds import as_kinds, drop_unusable, find_constant, find_kinds
from .options import TableOptions, Task
from .schema import check_table, dropped_note, infrequent_notes, missing_notes, refuse_missing, usable_rows
from .statistics import TableStatistics
from .suspicions import note_suspicions
from .table import Table, column_type, import_polars, reports_polars_errors
from .values import NONE, read_texts

USE_MISSING = "Use them with --missing auto, mean or median, or drop such rows with --missing drop."
PEEKED = 100  # rows in which names of pictures are looked for
NAMED_TABLES = ("iris", "wine", "breast_cancer", "diabetes")  # of scikit-learn


@reports_polars_errors
def load_table(data: str | Path | Table, options: TableOptions | None = None) -> Dataset:
    """Load a table as training and test samples.

    Parameters
    ----------
    data
        The path of a file, one of `NAMED_TABLES`, or a table in memory.

    Raises
    ------
    DataError
        If something is wrong, naming file, row and column.
    """
    options = options or TableOptions()
    table, parts = open_tables(data, options)
    test_table, validation_table = parts.get("test"), parts.get("validation")
    if options.test is not None:
        columns = tuple(Column(name, "number") for name in table.schema)
        test_table = read_table(Path(options.test), options, TableSchema(columns, reading=table.reading))
    if test_table is not None and options.test_fraction is not None:
        raise DataError(f"{table.name}: has test rows of its own; leave --test-fraction out.")
    name, guess = find_target(table, options.target)
    features = find_features(table, name, options)
    refuse_picture_names(table, features)
    target = read_target(table, name, options.task)
    found = find_kinds(table, features, options)
    kinds = found.kinds
    table, wrong = as_kinds(table, found, options)
    pixels = find_pixels(table, kinds, options)
    shape, white = pixels or (None, None)
    if shape is None and not options.strict:
        found.unusable |= find_constant(table, kinds)
    dropped = drop_unusable(table, kinds, found.unusable, options)
    kept, missing = kept_rows(table, target, list(kinds), options)
    notes = [
        note
        for note in (*table.notes, guess, target.note, *dropped, *found.notes(table), *wrong, *missing)
        if note is not None
    ]
    if test_table is None:
        train, test = split_table(table, target, kept, options.test_fraction)
        lonely = lonely_note(target, kept)
        notes += [] if lonely is None else [lonely]
    else:
        train, test = kept, np.zeros(table.rows, dtype=np.bool_)
    if shape is None:
        notes += note_suspicions(table, list(kinds), target, train | test)
    if not train.any():
        raise DataError(f"{table.name}: no rows to train on.")
    measured = TableStatistics(kinds)
    measured.add(table, train)
    unusable = measured.unusable(are_pixels=shape is not None, strict=options.strict)
    notes += drop_unusable(table, kinds, unusable, options)
    schema = measured.schema(table, train, name, options, white=white)
    notes += missing_notes(table, measured.missing, schema, is_training=True)
    notes += infrequent_notes(table, schema)
    if shape is not None:
        size = " × ".join(map(str, shape))
        notes.append(
            f"the {len(kinds):,} columns are numbers from 0 to {white:g}, used as pixels of {size} images"
            f"{'' if white == 1.0 else ' and divided by 255'}; change it with --scale standard"
        )
    (train_x, test_x), unknown = encode(schema, table, [train, test])
    splits = [Split(train_x, target.values[train]), Split(test_x, target.values[test])]
    classes = find_classes(table, target, splits[0]) if target.task == "classification" else ()
    if test_table is not None:
        splits[1], test_notes = labelled_rows(test_table, schema, classes)
        unknown += test_notes
    validation = None
    if validation_table is not None:
        validation, _ = labelled_rows(validation_table, schema, classes)
    given = [column for column in table.schema if column != name]
    in_memory, is_named = isinstance(data, Table), str(data) in NAMED_TABLES
    data = table.name if isinstance(data, Table) else data
    return Dataset(
        name=short_name(data),
        train=splits[0],
        test=splits[1],
        validation=validation,
        classes=classes,
        input_shape=shape or (schema.inputs,),
        input_scale=white or 1.0,
        source="a table in memory"
        if in_memory
        else f"the table {data}{' that comes with scikit-learn' if is_named else ''}",
        notes=tuple(note.removeprefix(f"{table.name}: ") for note in (*notes, *unknown)),
        table_schema=schema,
        split=None
        if test_table is not None
        else {
            "file": Path(table.name).name,
            "rows": table.rows,
            "test_fraction": options.test_fraction or TEST_FRACTION,
            **({"columns": given} if len(given) > len(schema.columns) else {}),
        },
        provenance=None
        if in_memory
        else Provenance(
            "scikit-learn" if is_named else "table",
            str(data) if is_named else os.path.abspath(data),
            options=options.to_json(),
        ),
    )


def refuse_picture_names(table: Table, features: list[str]) -> None:
    """Refuse a table whose only feature holds names of pictures that are not there."""
    named = table.head(PEEKED)[features[0]].to_list() if len(features) == 1 else []
    if named and all(isinstance(name, str) and is_picture(name) for name in named):
        raise DataError(
            f"{table.name}: {features[0]!r} names pictures, such as {named[0]!r}, but they are not beside the table or "
            "in a folder there. Move the table to them."
        )


def open_tables(
    data: str | Path | Table, options: TableOptions | None = None, schema: TableSchema | None = None
) -> tuple[Table, dict[str, Table]]:
    """Open a table by its name or path, perhaps for a model, and the tables of its test and validation rows if any."""
    if isinstance(data, Table):
        return read_texts(data, options, schema), {}
    return (named_table(str(data)), {}) if str(data) in NAMED_TABLES else read_tables(Path(data), options, schema)


def named_table(name: str) -> Table:
    """Return one of the `NAMED_TABLES`, with a column ``target``; classes are named."""
    from sklearn import datasets

    polars = import_polars()
    bunch = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    classes = bunch.get("target_names")
    target = bunch.target if classes is None else [str(classes[index]) for index in bunch.target]
    frame = polars.from_numpy(bunch.data, schema=list(bunch.feature_names))
    return Table.of(name, frame.with_columns(polars.Series("target", target)))


def short_name(data: str | Path) -> str:
    """Return a dataset's name: the file's without its suffixes."""
    path = Path(data)
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return path.stem or str(data)


def kept_rows(
    table: Table, target: Target, features: list[str], options: TableOptions
) -> tuple[Bool[np.ndarray, " rows"], list[str]]:
    """Return the rows that can be used, and notes on missing values."""
    counts = table.missing_counts(features)
    if options.missing == "refuse":
        in_target = {target.name: int(target.missing.sum())} if target.missing.any() else {}
        refuse_missing(table, in_target | counts, USE_MISSING, target.missing if in_target else None)
    kept = ~target.missing
    notes = []
    if target.missing.any():
        notes.append(without_target_note(table, target.name, int(target.missing.sum())))
    if counts and options.missing == "drop":
        dropped = table.rows_with_missing(counts) & kept
        kept &= ~dropped
        notes.append(dropped_note(table, int(dropped.sum()), counts))
    return kept, notes


def without_target_note(table: Table, target: str, count: int) -> str:
    """Return the note on rows that are dropped because they lack the target."""
    markers = table.markers.get(target) if column_type(table.schema[target]) == "text" else None
    written = f"; {listing(markers)} is missing: make it a class with --na none" if markers else ""
    return f"{counted(count, 'row')} dropped: no value in {target!r}, the target{written}"


def split_table(
    table: Table, target: Target, kept: Bool[np.ndarray, " rows"], test_fraction: float | None
) -> tuple[Bool[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    """Return which of the kept rows are for training and which for the test; classes have the same share in both."""
    rows = np.flatnonzero(kept)
    is_class = target.task == "classification"
    if len(rows) < 2:
        raise DataError(f"{table.name}: {len(rows)} rows are too few; at least 2 are needed, one of them for the test.")
    parts = split_rows(target.values[rows], test_fraction or TEST_FRACTION, stratify=is_class)
    if not len(parts[1]):
        raise DataError(
            f"{table.name}: every row has a class of its own in column {target.name!r}. Name another column with "
            "--target, or give --task regression if these are amounts."
        )
    train, test = (np.isin(np.arange(table.rows), rows[part]) for part in parts)
    return train, test


def lonely_note(target: Target, kept: Bool[np.ndarray, " rows"]) -> str | None:
    """Return a note on classes with a single row, if there are any."""
    classes, counts = np.unique(target.values[kept], return_counts=True)
    lonely = classes[counts == 1].tolist()
    if target.task == "regression" or not lonely:
        return None
    which = (
        f"the class {lonely[0]!r} of {target.name!r} has"
        if len(lonely) == 1
        else (f"{len(lonely):,} classes of {target.name!r} ({listing(lonely, most=5)}) have")
    )
    return f"{which} one row only, which is for training: how well it is predicted cannot be told"


def find_classes(table: Table, target: Target, train: Split) -> tuple[int | str, ...]:
    """Return the classes of the training rows in order; there must be two."""
    classes: tuple[int | str, ...] = tuple(np.unique(train.labels).tolist())
    if len(classes) < 2:
        raise DataError(
            f"{table.name}: all rows are of the class {classes[0]!r} in column {target.name!r}. At least 2 classes are "
            "needed."
        )
    return classes


@reports_polars_errors
def labelled_rows(
    table: Table, schema: TableSchema, classes: tuple[int | str, ...], rows: Bool[np.ndarray, " rows"] | None = None
) -> tuple[Split, tuple[str, ...]]:
    """Return a table's rows as a model's inputs, with their labels or numbers, and notes.

    The model has no `classes` for regression. By default, all `rows` are returned.
    """
    if schema.target is None or schema.target not in table.schema:
        hint = "" if schema.target is None else did_you_mean(schema.target, table.schema)
        raise DataError(
            f"{table.name}: there is no column {schema.target!r} to compare predictions with.{hint} Name the column "
            "with the correct answers with --target."
        )
    target = known_target(table, schema.target, classes)
    found = rows_to_predict(table, schema, ~target.missing if rows is None else rows & ~target.missing)
    if not found.usable.any():
        raise DataError(f"{table.name}: no row has all the values that are needed.")
    labels = target.values[found.usable]
    if labels.dtype.kind == "i" and classes and all(isinstance(value, str) for value in classes):
        labels = labels.astype(np.str_)  # a few rows of a column of text may all be numbers
    if classes:
        try:
            class_indices(labels, classes)
        except DataError as error:
            first = int(np.flatnonzero(found.usable)[np.argmin(np.isin(labels, np.asarray(classes)))])
            raise DataError(f"{table.name}: {table.place(first)}, column {schema.target!r}: {error}") from error
    return Split(found.x, labels), found.notes


def known_target(table: Table, name: str, classes: tuple[int | str, ...]) -> Target:
    """Read the target of a model with these classes; once, all "None" was missing."""
    target = read_target(table, name, task_of(classes))
    if NONE in classes or target.values.dtype.kind != "U":
        return target
    return replace(target, missing=target.missing | (target.values == NONE))


def task_of(classes: tuple[int | str, ...]) -> Task:
    """Return the task of a model."""
    return "classification" if classes else "regression"


def held_out_rows(
    table: Table, schema: TableSchema, split: dict[str, Any] | None, classes: tuple[int | str, ...]
) -> Bool[np.ndarray, " rows"] | None:
    """Return which rows were the test rows in training; None if the table is another one."""
    if split is None or schema.target is None or schema.target not in table.schema:
        return None
    if (split.get("file"), split.get("rows")) != (Path(table.name).name, table.rows):
        return None
    if split.get("drawn_by") == BY_ROW_NUMBER and isinstance(split.get("test_fraction"), float):
        return np.asarray(draw(0, table.rows) < split["test_fraction"])
    options = TableOptions(target=schema.target, missing=schema.missing, task=task_of(classes))
    target = known_target(table, schema.target, classes)
    try:
        table, _ = check_table(table, schema)
        kept, _ = kept_rows(table, target, [column.name for column in schema.columns], options)
        return split_table(table, target, kept, split["test_fraction"])[1]
    except (DataError, KeyError, TypeError):
        return None


def plain_schema(table: Table, target: str, input_scale: float, features: int) -> TableSchema:
    """Return a table's schema for a model trained on other data: all columns but the target are inputs."""
    names = [name for name in table.schema if name != target]
    if len(names) != features:
        besides = f" besides {target!r}" if target else ""
        raise DataError(
            f"{table.name}: has {len(names):,} columns{besides}, but the model was trained on {features:,} "
            "inputs. Use a model trained on data of this shape."
        )
    return TableSchema(tuple(Column(name, "number", scale=input_scale) for name in names), target)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table to predict: the inputs `x` of its `usable` rows, and notes for the user."""

    x: Shaped[np.ndarray, "usable features"]
    usable: Bool[np.ndarray, " rows"]
    notes: tuple[str, ...]


@reports_polars_errors
def rows_to_predict(table: Table, schema: TableSchema, wanted: Bool[np.ndarray, " rows"] | None = None) -> Rows:
    """Return a table's rows, or those `wanted`, as a model's inputs; missing values without a fill are not usable."""
    table, notes = check_table(table, schema)
    usable, usable_notes = usable_rows(table, schema)
    if wanted is not None:
        usable &= wanted
    (x,), unknown = encode(schema, table, [usable])
    return Rows(x, usable, (*table.notes, *notes, *usable_notes, *unknown))
