"""The labelled rows that a saved model is evaluated on."""

import contextlib
import glob
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Float32

from xpmlp.datasets import Dataset, Provenance, Split, load_dataset
from xpmlp.datasets.dataset import listing
from xpmlp.datasets.load import NAMES, is_table
from xpmlp.datasets.picture_folder import PictureFolder
from xpmlp.datasets.pictures import find_pictures, read_parts
from xpmlp.datasets.splitting import BY_ROW_NUMBER, split_rows
from xpmlp.datasets.streaming.large_table import find_large_table
from xpmlp.datasets.tables.columns import find_target
from xpmlp.datasets.tables.loading import NAMED_TABLES, held_out_rows, labelled_rows, open_tables, plain_schema
from xpmlp.datasets.tables.options import TableOptions
from xpmlp.datasets.tables.table import Table, rows_have
from xpmlp.datasets.tables.values import read_texts
from xpmlp.errors import DataError, SettingsError
from xpmlp.model.image_preprocessor import prepare_marks
from xpmlp.model.model import Model
from xpmlp.model.picture_resizer import PictureResizer
from xpmlp.model.table_schema import TableSchema

FEWEST_DEVIATIONS = 10.0  # that are far from the mean
GIVE_DATA = "name the data, as DATA or with --data"


@dataclass
class EvaluationRows:
    """Rows to evaluate a model on, scaled like its training data."""

    split: Split | Any  # None if they are larger than memory
    name: str  # of the data
    which: str  # of its rows: "test rows", or "rows" if it has no test rows
    notes: tuple[str, ...]  # on what was made of them
    load_train: Callable[[], Split] | None = None  # the training rows beside the test rows
    facts: tuple[str, ...] = ()  # how they were chosen
    blocks: Iterable[Split] | None = None  # all rows, if they are larger than memory; `split` may be a sample of them
    total: int = 0  # number of all rows then; of a table, notes and this are known after the blocks are read


def find_rows(
    model: Model,
    data: str,
    data_dir: Path | None = None,
    target: str | None = None,
    given: TableOptions | None = None,
    memory: str | None = None,
) -> EvaluationRows:
    """Return the test rows of a dataset, or the rows of a table; raise a DataError if they do not fit the model.

    IDX files that take more than that memory, by default most of the free one, are read in blocks.
    """
    found = labelled_pictures(model, data, target, given)
    if found is not None and (target is None or found.target is not None):
        if memory is not None:
            raise SettingsError(f"{data}: holds pictures, so --memory cannot be used. Leave it out.")
        return rows_of_pictures(model, found)
    if is_table(data):
        return rows_of_table(model, data, target, given)
    if target is not None:
        raise SettingsError(f"{data}: is not a table, so --target cannot be used. Leave it out.")
    dataset = load_dataset(data, data_dir=data_dir, memory=memory)
    check_shape(model, dataset.input_shape, dataset.name)
    test, notes, stream = rescaled(dataset, dataset.test, model), dataset.notes, dataset.stream
    if dataset.input_scale != model.input_scale:
        notes += unusual_scale(test.x, model, what=dataset.name)
    rows = EvaluationRows(test, dataset.name, "test rows", notes, lambda: dataset.train)
    if stream is None or test.rows == dataset.test_rows:
        return rows
    blocks = (rescaled(dataset, stream.read(piece, "test"), model) for piece in stream.pieces)
    facts = (f"{dataset.name}: read in pieces: the data take {dataset.why_streamed}",)
    return replace(rows, facts=facts, blocks=blocks, total=dataset.test_rows)


def rescaled(dataset: Dataset, split: Split, model: Model) -> Split:
    """Return samples of a dataset scaled as those that a model was trained on."""
    factor = dataset.input_scale / model.input_scale
    return split if factor == 1.0 else Split((split.x * factor).astype(split.x.dtype), split.labels)


def labelled_pictures(model: Model, data: str, target: str | None, given: TableOptions | None) -> PictureFolder | None:
    """Return the pictures of a folder or table by class, if a model of images was trained; None for other data."""
    path = Path(os.path.expanduser(data))
    if data in NAMES or (model.image_preprocessor is None and not os.path.isdir(path)):
        return None
    options = TableOptions.recorded(model.training, given)
    with contextlib.suppress(DataError):  # if the model records no training data
        provenance = find_provenance(model)
        if target is None and provenance.kind == "pictures":
            target = provenance.options.get("target")
    return find_pictures(path, replace(options, target=target, task="classification"))


def rows_of_pictures(model: Model, found: PictureFolder) -> EvaluationRows:
    """Return the test pictures, those held out in training, or else all, prepared as in training."""
    form, record, folder = model.image_preprocessor, model.training.get("split"), found.path
    if form is None:
        raise DataError(f"{folder}: the model was not trained on images. Give data like those of its training.")
    is_own = False
    with contextlib.suppress(DataError):
        is_own = find_provenance(model).data == os.path.abspath(folder)
    resizer = PictureResizer(form.height, form.width, 3 if len(form.shape) == 3 else 1)

    def read_as_photo(path: Path) -> Float32[np.ndarray, "mark features"]:
        return prepare_marks(path, form, single=True)

    # The pictures of its own training, unless resized, were images already.
    parts = read_parts(found, resizer.read if is_own else read_as_photo, form.shape)
    train, test = parts["train"], parts.get("test")
    which, facts = "test rows", tuple[str, ...]()
    if test is None and is_own and isinstance(record, dict) and record.get("rows") == train.rows:
        first, second = split_rows(train.labels, record["test_fraction"], stratify=True)
        train, test = train.take(first), train.take(second)
        facts = (f"{folder}: evaluated on the pictures held out in training",)
    elif test is None:
        which, test = "rows", train
        if is_own:
            facts = (f"{folder}: has changed since the model was trained on it: this says little about other pictures",)
    load_train = None if which == "rows" else lambda: train
    return EvaluationRows(test, folder.resolve().name, which, tuple(found.notes), load_train, facts)


def recorded_options(
    model: Model, data: str, target: str | None, given: TableOptions | None
) -> tuple[TableOptions, str | None, bool]:
    """Return the options to read a table with, the target if it is another, and whether the model was trained on it."""
    options, is_own = TableOptions.recorded(model.training, given), False
    with contextlib.suppress(DataError):  # if the model records no training data
        provenance = find_provenance(model)
        is_own = provenance.data == os.path.abspath(os.path.expanduser(data))
        target = target or (provenance.options.get("target_file") if is_own else None)
    options = options if target is None else replace(options, target=target)
    # Of targets in a file, that is the name of their column.
    return options, options.target if target is not None or options.target_file else None, is_own


def rows_of_table(model: Model, data: str, target: str | None, given: TableOptions | None) -> EvaluationRows:
    """Return a table's own test rows, those held out in training, or else all rows."""
    path = data if data in NAMED_TABLES else os.path.expanduser(data)
    options, target, is_own = recorded_options(model, data, target, given)
    table, parts = open_tables(path, options, model.table_schema)
    whole, test_table = table, parts.get("test")
    table, which = (table, "rows") if test_table is None else (test_table, "test rows")
    schema, guess = schema_for(model, table, target)
    facts: tuple[str, ...] = () if guess is None else (guess,)
    rows = held_out_rows(table, schema, model.training.get("split"), model.classes) if test_table is None else None
    if rows is not None:
        which = "test rows"
        facts = (*facts, f"{table.name}: evaluated on the rows held out in training")
    elif test_table is None and is_own:
        facts = (*facts, f"{table.name}: the model was trained on this table, so this says little about other rows")
    split, notes = labelled_rows(without_left_out(model, table), schema, model.classes, rows)
    if rows is None:  # those held out in training may be far from the others of their table
        notes += tuple(far_notes(model, table.name, split.x))
    if model.table_schema is None:
        notes += unusual_scale(split.x, model, what=table.name)

    def load_train() -> Split:
        return labelled_rows(whole, schema, model.classes, None if rows is None else ~rows)[0]

    return EvaluationRows(split, table.name, which, notes, load_train if which == "test rows" else None, facts)


def schema_for(model: Model, table: Table, target: str | None) -> tuple[TableSchema, str | None]:
    """Return how a model reads a table, with another target if one is given, and a note if the target was guessed."""
    if model.table_schema is None:
        name, guess = find_target(table, target)
        return plain_schema(table, name, model.input_scale, model.layer_sizes[0]), guess
    if target in [column.name for column in model.table_schema.columns]:
        raise DataError(f"--target: the model predicts from {target!r}. Name the column with the true values.")
    return model.table_schema if target is None else msgspec.structs.replace(model.table_schema, target=target), None


def find_large_rows(
    model: Model, data: str, memory: str | None, target: str | None, given: TableOptions | None = None
) -> EvaluationRows | None:
    """Return the rows of a table that takes more than that memory to evaluate a model on; None for other data.

    They are those held out in training, or else all rows.
    """
    options, target, _ = recorded_options(model, data, target, given)
    large = find_large_table(data, memory, options.target_file)
    if large is None:
        return None
    table, split = large.table, model.training.get("split")
    schema, _ = schema_for(model, table, target)
    facts: tuple[str, ...] = (f"{table.name}: read in pieces, as it takes more memory than {large.memory.reason}",)
    held_out = None
    if isinstance(split, dict) and (split.get("file"), split.get("rows")) == (Path(table.name).name, table.rows):
        if split.get("drawn_by") != BY_ROW_NUMBER:
            table = read_texts(table, options, schema)
        held_out = held_out_rows(table, schema, split, model.classes)
    if held_out is not None:
        facts = (*facts, f"{table.name}: evaluated on the rows held out in training")

    def read() -> Iterator[Split]:
        for piece in large.read_all():
            chosen = None if held_out is None else held_out[piece.first : piece.first + piece.rows]
            if chosen is None or chosen.any():
                part, notes = labelled_rows(read_texts(piece, options, schema), schema, model.classes, chosen)
                rows.notes, rows.total = rows.notes or notes, rows.total + part.rows
                yield part

    which = "rows" if held_out is None else "test rows"
    rows = EvaluationRows(None, table.name, which, (), facts=facts, blocks=read())
    return rows


def given_columns(model: Model) -> list[str]:
    """Return the names of all columns of the training table, if the model left some out, such as constant ones."""
    split = model.training.get("split")
    given = split.get("columns") if isinstance(split, dict) else None
    return given if isinstance(given, list) and all(isinstance(name, str) for name in given) else []


def without_left_out(model: Model, table: Table) -> Table:
    """Return a table without the columns that were left out in training, so that no note mentions them."""
    if model.table_schema is None:
        return table
    read = {model.table_schema.target, *(column.name for column in model.table_schema.columns)}
    left_out = set(given_columns(model)) - read
    return replace(table, schema={name: dtype for name, dtype in table.schema.items() if name not in left_out})


def far_notes(model: Model, name: str, x: Float32[np.ndarray, "rows features"]) -> list[str]:
    """Return notes on numbers of a table of that name that lie outside the range of training for certain.

    Of the n rows of the training table none can be √n standard deviations from the mean. Of few rows, ten deviations
    are far.
    """
    schema, split = model.table_schema, model.training.get("split")
    if schema is None or schema.scaling != "standard":
        return []
    known = split.get("rows") if isinstance(split, dict) else None
    if not isinstance(known, int) or not len(x):
        return []
    notes, places, most = [], schema.places, max(math.sqrt(known), FEWEST_DEVIATIONS)
    for column in (column for column in schema.columns if column.kind == "number"):
        values = x[:, places[column.name].start].astype(np.float64)
        deviations = np.abs(values)
        if deviations.max() > most:
            row, count = int(deviations.argmax()), int((deviations > most).sum())
            value = column.offset + column.scale * float(values[row])
            notes.append(
                f"{name}: {rows_have(count)} a value in column {column.name!r} far outside the "
                f"range of training: {value:.6g} is {deviations[row]:,.0f} standard deviations from the mean there"
            )
    return notes


def check_shape(model: Model, shape: tuple[int, ...], what: str) -> None:
    """Refuse samples of another shape than the model was trained on."""
    if shape != model.input_shape:
        theirs, ours = (" × ".join(map(str, sizes)) for sizes in (shape, model.input_shape))
        if model.raw_columns is not None:
            ours = f"a table with the columns {listing([column.name for column in model.raw_columns.columns])}"
        raise DataError(
            f"{what}: its samples have the shape {theirs}, but the model was trained on {ours}. "
            "Use a model trained on data of this shape."
        )


def unusual_scale(x: Float32[np.ndarray, "rows features"], model: Model, *, what: str) -> tuple[str, ...]:
    """Return a note if values have another range than in training, where they lay between -1 and 1."""
    largest = max(float(x.max()), -float(x.min()))
    if 0.1 <= largest <= 2.0:
        return ()
    note = (
        f"{what}: its largest value is {largest * model.input_scale:g}, but the model was trained on values up to "
        f"about {model.input_scale:g}. Scale them in the same way, or the predictions are meaningless."
    )
    return (note,)


def find_provenance(model: Model) -> Provenance:
    """Return where a model's training data came from; raise a DataError if the model does not say."""
    with contextlib.suppress(msgspec.ValidationError):
        return msgspec.convert(model.training.get("provenance"), Provenance)
    source = model.training.get("source")
    if not isinstance(source, str):
        raise DataError(f"the model does not record its training data; {GIVE_DATA}")
    raise DataError(f"the model was trained on {source}, which cannot be found again; {GIVE_DATA}")


def find_recorded_data(model: Model, data_dir: Path | None) -> tuple[str, Path | None]:
    """Return the data, or the file of test rows, that a model was trained on, and the folder of a named dataset.

    Raise a DataError if they are not to be found.
    """
    provenance = find_provenance(model)
    data, folder = str(provenance.options.get("test", provenance.data)), provenance.data_dir
    place = {"mnist": folder, "idx": data, "pictures": data, "table": data}.get(provenance.kind)
    if place is not None and not glob.glob(f"{glob.escape(place)}*"):  # IDX files may begin with the path
        raise DataError(f"the model was trained on {place}, which does not exist; {GIVE_DATA}")
    return data, data_dir or (None if folder is None else Path(folder))


def find_recorded_rows(model: Model, data_dir: Path | None) -> EvaluationRows:
    """Return the test rows of the data that a model was trained on; raise a DataError if they are not to be found."""
    data, folder = find_recorded_data(model, data_dir)
    rows = find_rows(model, data, folder, None)
    if rows.which == "rows" and data == find_provenance(model).data:
        raise DataError(f"it is unknown which rows of {data} were held out in training; give test rows with --data")
    return rows
