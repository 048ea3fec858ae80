"""From a table to a dataset, or to the inputs of a trained model."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Column, Kind, TableSchema

from ..dataset import Dataset, Provenance, Split, class_indices, listing
from ..picture_folder import is_picture
from ..splitting import BY_ROW_NUMBER, TEST_FRACTION, draw, split_rows
from .columns import Pixels, Target, did_you_mean, find_features, find_pixels, find_target, option_text, read_target
from .encoding import encode
from .files import is_one_hot, read_table, read_tables
from .kinds import EMPTY, Found, WrongCells, as_kinds, drop_unusable, find_kinds
from .options import DEFAULTS, TableOptions
from .schema import INFREQUENT, check_table, missing_notes, usable_rows
from .statistics import TableStatistics
from .suspicions import note_suspicions
from .table import Table, column_type, import_polars, reports_polars_errors
from .text_file import COMPRESSED
from .values import NONE, read_texts

DRAWN_AT_ONCE = 2**20  # random numbers
PEEKED = 100  # rows in which names of pictures are looked for
NAMED_TABLES = ("iris", "wine", "breast_cancer", "diabetes")  # of scikit-learn


@reports_polars_errors
def load_table(data: str | Path | Table, options: TableOptions = DEFAULTS) -> Dataset:
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
    table, parts = open_tables(data, options)
    test_table, validation_table = parts.get("test"), parts.get("validation")
    if options.test is not None:
        columns = tuple(Column(name, "number") for name in table.schema)
        test_table = read_table(Path(options.test), options, TableSchema(columns, reading=table.reading))
        test_table = with_target(test_table, options.target)
    if test_table is not None and options.test_fraction is not None:
        raise DataError(f"{table.name}: has test rows of its own; leave --test-fraction out.")
    found = find_columns(table, options)
    table = found.table
    if options.missing == "drop" and found.pixels is None and not options.strict:  # empty columns would drop all rows
        for name, count in table.missing_counts(list(found.kinds)).items():
            if count == table.rows:
                found.features.unusable[name] = EMPTY
                del found.kinds[name]
    target, statistics = found.target, TableStatistics(found.kinds)
    kept = statistics.usable_rows(table, target, options.missing, found.wrong)
    notes = [target.note, *statistics.row_notes(table, target.name)]
    if test_table is None:
        train, test = split_table(table, target, kept, options.test_fraction)
        classes, counts = np.unique(target.values[kept], return_counts=True)
        if target.task == "classification" and (lonely := classes[counts == 1].tolist()):
            which = f"classes of {target.name!r} with one row only, which is for training: {listing(lonely, most=5)}"
            notes.append(f"{which}; how well they are predicted cannot be told")
    else:
        train, test = kept, np.zeros(table.rows, dtype=np.bool_)
    if not train.any():
        raise DataError(f"{table.name}: no rows to train on.")
    statistics.add(table, train)
    dataset = found.dataset(data, statistics, options, (train, test), target.values[train], notes)
    schema = dataset.table_schema
    assert schema is not None
    if test_table is None:
        return replace(dataset, split=record_split(table, schema, options.test_fraction or TEST_FRACTION))
    rows, more = labelled_rows(test_table, schema, dataset.classes)
    validation = None if validation_table is None else labelled_rows(validation_table, schema, dataset.classes)[0]
    return replace(dataset, test=rows, validation=validation, notes=(*dataset.notes, *more))


@dataclass(eq=False)
class FoundColumns:
    """A table, or a sample of its rows, and what each column is."""

    table: Table  # with values of the kinds of its columns
    target: Target
    features: Found
    wrong: dict[str, WrongCells]  # cells that are not of their column's kind
    pixels: Pixels | None  # if the rows are images

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kinds of the columns that can be inputs."""
        return self.features.kinds

    def dataset(
        self,
        data: str | Path | Table,
        statistics: TableStatistics,
        options: TableOptions,
        parts: tuple[Bool[np.ndarray, " rows"], Bool[np.ndarray, " rows"]],
        labels: Shaped[np.ndarray, " labels"],
        notes: list[str | None],
    ) -> Dataset:
        """Return the training and the test rows of this table as a dataset, without columns that cannot help.

        `statistics` are those of all rows, and `labels` those of all that are for training.
        """
        table, target = self.table, self.target
        shape, white = self.pixels or (None, None)
        self.features.unusable |= statistics.unusable(are_pixels=shape is not None, strict=options.strict)
        notes = [*table.notes, *notes, *drop_unusable(table, self.kinds, self.features.unusable, options)]
        notes += self.features.notes()
        if shape is None:
            notes += note_suspicions(table, list(self.kinds), target, parts[0] | parts[1])
        schema = statistics.schema(table, parts[0], target.name, options, white=white)
        notes += missing_notes(statistics.missing, schema, is_training=True)
        if merged := [column.name for column in schema.categories if column.infrequent is not None]:
            keep = option_text("--categories", merged)
            notes.append(f"rare categories of {listing(merged)} become one, {INFREQUENT!r}; keep them with {keep}")
        if shape is not None:
            notes.append(
                f"the {len(self.kinds):,} columns are numbers from 0 to {white:g}, used as pixels of "
                f"{' × '.join(map(str, shape))} images{'' if white == 1.0 else ' and divided by 255'}; change it with "
                "--scale standard"
            )
        inputs, unknown = encode(schema, table, list(parts))
        if np.count_nonzero(parts[0]) == statistics.train_rows:  # else these counts are those of a sample
            notes += unknown
        train, test = (Split(x, target.values[part]) for x, part in zip(inputs, parts, strict=True))
        in_memory, name = isinstance(data, Table), table.name if isinstance(data, Table) else str(data)
        source = "a table in memory" if in_memory else f"the table {name}"
        provenance = Provenance("table", os.path.abspath(name), options=options.to_json())
        if name in NAMED_TABLES and not in_memory:
            source += " that comes with scikit-learn"
            provenance = replace(provenance, kind="scikit-learn", data=name)
        classes = np.unique(labels).tolist() if target.task == "classification" else []
        if len(classes) == 1:
            empty = statistics.without_target
            rows = "1 row has" if empty == 1 else f"{empty:,} rows have"
            remedy = f" {rows} no value there; if that means another class, write its name." if empty else ""
            raise DataError(
                f"{table.name}: all rows are of the class {classes[0]!r} in column {target.name!r}. At least 2 classes "
                f"are needed.{remedy}"
            )
        return Dataset(
            name=short_name(name),
            train=train,
            test=test,
            classes=tuple(classes),
            input_shape=shape or (schema.inputs,),
            input_scale=white or 1.0,
            source=source,
            notes=tuple(note for note in notes if note is not None),
            table_schema=schema,
            provenance=None if in_memory else provenance,
        )


def record_split(table: Table, schema: TableSchema, test_fraction: float) -> dict[str, Any]:
    """Return how a table was split, to find its test rows again, and the names of its columns if some are not used."""
    given = [name for name in table.schema if name != schema.target]
    record = {"file": Path(table.name).name, "rows": table.rows, "test_fraction": test_fraction}
    return record | ({"columns": given} if len(given) > len(schema.columns) else {})


def find_columns(table: Table, options: TableOptions) -> FoundColumns:
    """Find the target and the kind of each feature of a table, or of a sample of its rows."""
    name, guess = find_target(table, options.target)
    features = find_features(table, name, options)
    refuse_picture_names(table, features)
    target = read_target(table, name, options.task)
    found = find_kinds(table, features, options)
    drop_unusable(table, found.kinds, found.unusable, options)  # or refuse them; a note follows, with constant ones
    table, wrong = as_kinds(table if guess is None else replace(table, notes=(*table.notes, guess)), found)
    return FoundColumns(table, target, found, wrong, find_pixels(table, found.kinds, options))


def refuse_picture_names(table: Table, features: list[str]) -> None:
    """Refuse a table whose only feature holds names of pictures that are not there."""
    named = table.head(PEEKED)[features[0]].to_list() if len(features) == 1 else []
    if named and all(isinstance(name, str) and is_picture(name) for name in named):
        raise DataError(
            f"{table.name}: {features[0]!r} names pictures, such as {named[0]!r}, but they are not beside the table or "
            "in a folder there. Move the table to them."
        )


def open_tables(
    data: str | Path | Table, options: TableOptions = DEFAULTS, schema: TableSchema | None = None
) -> tuple[Table, dict[str, Table]]:
    """Open a table by its name or path, perhaps for a model, and the tables of its test and validation rows if any."""
    if isinstance(data, Table):
        table, parts = read_texts(data, options, schema), dict[str, Table]()
    elif str(data) in NAMED_TABLES:
        table, parts = named_table(str(data)), {}
    else:
        table, parts = read_tables(Path(data), options, schema)
    target = options.target or (None if schema is None else schema.target)
    return with_target(table, target), {name: with_target(part, target) for name, part in parts.items()}


def with_target(table: Table, target: str | None) -> Table:
    """Return a table with the one-hot columns that a target such as ``red,green,blue`` names as one, of their names."""
    names = [] if target is None or target in table.schema else [name.strip() for name in target.split(",")]
    numbers = [name for name in names if name in table.schema and column_type(table.schema[name]) != "text"]
    if len(names) < 2 or numbers != names:
        return table
    polars = import_polars()
    frame = table.collect(table.frame.select(polars.col(names).cast(polars.Float64)))
    if frame.null_count().sum_horizontal().item() or not is_one_hot(frame.to_numpy()):
        return table
    column = polars.Series(target, np.asarray(names)[frame.to_numpy().argmax(axis=1)])
    schema = {name: dtype for name, dtype in table.schema.items() if name not in names} | {column.name: column.dtype}
    return replace(table, frame=table.frame.with_columns(column).select(list(schema)), schema=schema)


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
    target = read_target(table, name, "classification" if classes else "regression")
    if NONE in classes or target.values.dtype.kind != "U":
        return target
    return replace(target, missing=target.missing | (target.values == NONE))


def held_out_rows(
    table: Table, schema: TableSchema, split: dict[str, Any] | None, classes: tuple[int | str, ...]
) -> Bool[np.ndarray, " rows"] | None:
    """Return which rows were the test rows in training; None if the table is another one."""
    if split is None or schema.target is None or schema.target not in table.schema:
        return None
    if (split.get("file"), split.get("rows")) != (Path(table.name).name, table.rows):
        return None
    if split.get("drawn_by") == BY_ROW_NUMBER and isinstance(split.get("test_fraction"), float):
        starts = range(0, table.rows, DRAWN_AT_ONCE)  # a mask of all rows may fit where their numbers do not
        blocks = (np.arange(start, min(start + DRAWN_AT_ONCE, table.rows)) for start in starts)
        return np.concatenate([draw(numbers) < split["test_fraction"] for numbers in blocks])
    target = known_target(table, schema.target, classes)
    try:
        table, _ = check_table(table, schema)
        kinds = {column.name: column.kind for column in schema.columns}
        kept = TableStatistics(kinds).usable_rows(table, target, schema.missing)
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
    notes = (*table.notes, *notes, *usable_notes, *unknown)
    return Rows(x, usable, tuple(f"{table.name}: {note}" for note in notes))
