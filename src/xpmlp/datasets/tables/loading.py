"""From a table to a dataset: what is learned from what, and on which rows."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, TableSchema

from ..dataset import Dataset, Provenance, Split, class_indices
from .choosing import find_features, find_kinds, find_target, near, shown
from .conforming import conform, usable_rows
from .encoding import encode
from .form_fitting import fit_form
from .named import NAMED_TABLES, named_table
from .options import TEST_FRACTION, TableOptions, Task
from .pixels import BRIGHTEST, image_shape
from .reading import COMPRESSED, read_table, read_tables
from .splitting import split_rows
from .table import Table, missing_counts, refuse_missing, rows_with_missing
from .target import Target, classes_of, read_target

USE_MISSING = "Fill them with --missing mean or median, or leave such rows out with --missing drop."


def load_table(data: str | Path, options: TableOptions | None = None) -> Dataset:
    """Load a table to train on.

    Parameters
    ----------
    data
        The path of a file, or one of `NAMED_TABLES`.

    Raises
    ------
    DataError
        Naming file, row and column where something is wrong.
    """
    options = options or TableOptions()
    table, test_table = open_tables(data)
    if options.test is not None:
        test_table = read_table(Path(options.test))
    if test_table is not None and options.test_fraction is not None:
        raise DataError(f"{table.name}: has its test rows apart; leave --test-fraction out.")
    name, guess = find_target(table, options.target)
    features = find_features(table, name, options)
    target = read_target(table, name, options)
    notes = [note for note in (*table.notes, guess, target.note) if note is not None]
    kinds = find_kinds(table, features, options.categories)
    kept, dropped = kept_rows(table, target, features, options)
    notes += dropped
    if test_table is None:
        train, test = split_rows(table, target, kept, options.test_fraction)
    else:
        train, test = kept, np.zeros(table.rows, dtype=np.bool_)
    if not train.any():
        raise DataError(f"{table.name}: no rows to train on.")
    shape = image_shape(table, kinds, options)
    form = fit_form(table, kinds, train, target=name, options=options, are_pixels=shape is not None)
    if shape is not None:
        notes.append(
            f"the {len(kinds):,} columns are whole numbers from 0 to 255, taken for the pixels of {shape[0]} × "
            f"{shape[1]} images and divided by 255; --scale standard decides otherwise"
        )
    _, filled = usable_rows(table, form) if options.missing != "drop" else (kept, ())  # said already
    (train_x, test_x), unknown = encode(form, table, [train, test])
    splits = [Split(train_x, target.values[train]), Split(test_x, target.values[test])]
    classes = check_classes(table, target, splits[0]) if target.task == "classification" else ()
    if test_table is not None:
        splits[1], said = labelled_rows(test_table, form, classes)
        unknown += said
    return Dataset(
        name=short_name(data),
        train=splits[0],
        test=splits[1],
        classes=classes,
        input_shape=shape or (form.inputs,),
        input_scale=1.0 if shape is None else float(BRIGHTEST),
        source=f"the table {data}"
        if str(data) not in NAMED_TABLES
        else f"the table {data} that comes with scikit-learn",
        notes=(*notes, *filled, *unknown),
        table_schema=form,
        split=None if test_table is not None else describe_split(table, options),
        provenance=Provenance("scikit-learn", str(data), options=options.to_json())
        if str(data) in NAMED_TABLES
        else Provenance("table", os.path.abspath(data), options=options.to_json()),
    )


def open_tables(data: str | Path) -> tuple[Table, Table | None]:
    """Open a table by its name or path, and that of its test rows where it has them apart."""
    if str(data) in NAMED_TABLES:
        return named_table(str(data)), None
    return read_tables(Path(data))


def short_name(data: str | Path) -> str:
    """Return what a dataset is called: the file's name without its endings."""
    path = Path(data)
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return path.stem or str(data)


def describe_split(table: Table, options: TableOptions) -> dict[str, Any]:
    """Return what tells the same split apart from any other."""
    return {"file": Path(table.name).name, "rows": table.rows, "test_fraction": options.test_fraction or TEST_FRACTION}


def kept_rows(
    table: Table, target: Target, features: list[str], options: TableOptions
) -> tuple[Bool[np.ndarray, " rows"], list[str]]:
    """Return the rows that can be used, and what is said of the others.

    Raises
    ------
    DataError
        Where values are missing, and nothing was said of what becomes of them.
    """
    counts = missing_counts(table, features)
    if options.missing == "refuse":
        lacking_target = {target.name: int(target.missing.sum())} if target.missing.any() else {}
        refuse_missing(table, lacking_target | counts, USE_MISSING)
    kept = ~target.missing
    notes = []
    if target.missing.any():
        notes.append(
            f"{int(target.missing.sum()):,} rows left out, for they lack a value in {target.name!r}, the target"
        )
    if options.missing == "drop" and counts:
        lacking = rows_with_missing(table, list(counts)) & kept
        kept &= ~lacking
        notes.append(
            f"{int(lacking.sum()):,} of {table.rows:,} rows left out, for they lack values in {shown(counts, most=5)}"
        )
    return kept, notes


def check_classes(table: Table, target: Target, train: Split) -> tuple[int | str, ...]:
    """Return the classes of the training rows, of which there must be two."""
    classes = classes_of(train.labels)
    if len(classes) < 2:
        raise DataError(
            f"{table.name}: all rows are of the class {classes[0]!r} in column {target.name!r}. At least 2 classes are "
            "needed to tell apart."
        )
    return classes


def labelled_rows(
    table: Table, form: TableSchema, classes: tuple[int | str, ...], rows: Bool[np.ndarray, " rows"] | None = None
) -> tuple[Split, tuple[str, ...]]:
    """Return a table's rows as a model of that form sees them, with their labels or numbers, and what should be said.

    Parameters
    ----------
    classes
        Of the model; none for regression.
    rows
        Which rows are wanted; by default all of them.

    Raises
    ------
    DataError
        Where the table does not fit, or has no target, or a class that the model does not know.
    """
    if form.target is None or form.target not in table.schema:
        hint = "" if form.target is None else near(form.target, table.schema)
        raise DataError(
            f"{table.name}: there is no column {form.target!r}, so there is nothing to judge by.{hint} Name the column "
            "with the right answers with --target."
        )
    notes = conform(table, form)
    # Of the kind that it was in training, whatever it would be taken for here.
    task: Task = "classification" if classes else "regression"
    target = read_target(table, form.target, TableOptions(target=form.target, task=task))
    usable, said = usable_rows(table, form)
    usable &= ~target.missing
    if rows is not None:
        usable &= rows
    if not usable.any():
        raise DataError(f"{table.name}: no row has all the values that are needed.")
    (x,), unknown = encode(form, table, [usable])
    labels = labels_like(target.values[usable], classes)
    if classes:
        try:
            class_indices(labels, classes)
        except DataError as error:
            first = int(np.flatnonzero(usable)[np.argmin(np.isin(labels, np.asarray(classes)))])
            raise DataError(f"{table.name}: {table.place(first)}, column {form.target!r}: {error}") from error
    return Split(x, labels), (*table.notes, *notes, *said, *unknown)


def labels_like(labels: Shaped[np.ndarray, " rows"], classes: tuple[int | str, ...]) -> Shaped[np.ndarray, " rows"]:
    """Return whole numbers as texts where the classes are texts, as a table's few first rows may all be numbers."""
    if classes and labels.dtype.kind == "i" and all(isinstance(value, str) for value in classes):
        return labels.astype(np.str_)
    return labels


def held_out_rows(table: Table, form: TableSchema, split: dict[str, Any] | None, classes: tuple[int | str, ...]) -> Any:
    """Return which rows of a table were the test rows in training, where it is the same table; None where it is not."""
    if split is None or form.target is None:
        return None
    if (split.get("file"), split.get("rows")) != (Path(table.name).name, table.rows) or form.target not in table.schema:
        return None
    task: Task = "classification" if classes else "regression"
    options = TableOptions(target=form.target, missing=form.missing, task=task)
    target = read_target(table, form.target, options)
    try:
        kept, _ = kept_rows(table, target, [column.name for column in form.columns], options)
        return split_rows(table, target, kept, split["test_fraction"])[1]
    except (DataError, KeyError, TypeError):
        return None


def plain_form(table: Table, target: str, input_scale: float, features: int) -> TableSchema:
    """Return the form of a table for a model that was not trained on one: all columns but the target are its inputs.

    Raises
    ------
    DataError
        Where the table has not as many columns as the model takes.
    """
    names = [name for name in table.schema if name != target]
    if len(names) != features:
        raise DataError(
            f"{table.name}: has {len(names):,} columns beside {target!r}, but the model was trained on {features:,} "
            "values. Use a model trained on data of this shape."
        )
    return TableSchema(tuple(Column(name, "number", scale=input_scale) for name in names), target)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table to be predicted.

    Attributes
    ----------
    x
        The usable rows, as the network sees them.
    usable
        Which rows of the table these are.
    notes
        What the user should know.
    """

    x: Shaped[np.ndarray, "usable features"]
    usable: Bool[np.ndarray, " rows"]
    notes: tuple[str, ...]


def rows_to_predict(table: Table, form: TableSchema) -> Rows:
    """Return a table's rows as a model of that form sees them; those that lack a value are not usable.

    Raises
    ------
    DataError
        Where the table does not fit the form.
    """
    notes = conform(table, form)
    usable, said = usable_rows(table, form)
    (x,), unknown = encode(form, table, [usable])
    return Rows(x, usable, (*table.notes, *notes, *said, *unknown))
