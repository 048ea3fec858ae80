"""The rows that a saved model is judged on, scaled as its own training data were."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from xpmlp.datasets import Dataset, Split, load_dataset
from xpmlp.datasets.load import is_table
from xpmlp.datasets.tables import held_out_rows, labelled_rows, open_tables, plain_schema
from xpmlp.datasets.tables.columns import find_target
from xpmlp.errors import DataError, SettingsError
from xpmlp.model.model import Model

from .arguments import note_if_scaled_otherwise


@dataclass(frozen=True)
class JudgedRows:
    """Rows with what is right for each.

    Attributes
    ----------
    split
        The rows.
    name
        Of the data.
    which
        Which of its rows these are, to follow their number.
    notes
        What the user should know.
    """

    split: Split
    name: str
    which: str
    notes: tuple[str, ...]


def find_rows(model: Model, data: str, data_dir: Path | None, target: str | None) -> JudgedRows:
    """Return the test rows of a dataset, or the rows of a table.

    Raises
    ------
    DataError
        Where they do not fit the model.
    """
    if is_table(data):
        return rows_of_table(model, data, target)
    if target is not None:
        raise SettingsError(f"{data}: is no table, so --target cannot be used. Leave it out.")
    dataset = load_dataset(data, data_dir=data_dir)
    return JudgedRows(scale_for(model, dataset), dataset.name, "test rows", dataset.notes)


def rows_of_table(model: Model, data: str, target: str | None) -> JudgedRows:
    """Return a table's test rows where it has them apart or they were held out in training, else all rows."""
    table, test_table = open_tables(data)
    table, which = (table, "rows") if test_table is None else (test_table, "test rows")
    notes: tuple[str, ...] = ()
    if model.table_schema is None:
        name, guess = find_target(table, target)
        form = plain_schema(table, name, model.input_scale, model.layer_sizes[0])
        notes = () if guess is None else (guess,)
    else:
        form = model.table_schema if target is None else msgspec.structs.replace(model.table_schema, target=target)
    rows = held_out_rows(table, form, model.training.get("split"), model.classes) if test_table is None else None
    if rows is not None:
        which = "test rows"
        notes = (*notes, f"{table.name}: the model was trained on the other rows of this table, so they are left out")
    elif test_table is None and model.training.get("source") == f"the table {data}":
        notes = (*notes, f"{table.name}: the model was trained on this table, so this says little of other rows")
    split, said = labelled_rows(table, form, model.classes, rows)
    if model.table_schema is None:
        note_if_scaled_otherwise(split.x, model, what=table.name)
    return JudgedRows(split, table.name, which, (*notes, *said))


def scale_for(model: Model, dataset: Dataset) -> Split:
    """Return the test rows, scaled as the model's own training data were.

    Raises
    ------
    DataError
        Where the rows have another shape than the model was trained on.
    """
    if dataset.input_shape != model.input_shape:
        shapes = [" × ".join(map(str, shape)) for shape in (dataset.input_shape, model.input_shape)]
        raise DataError(
            f"{dataset.name}: its rows have the shape {shapes[0]}, but the model was trained on {shapes[1]}. "
            "Use a model trained on data of this shape."
        )
    x, labels = dataset.test.x, dataset.test.labels
    if dataset.input_scale != model.input_scale:
        x = (x * (dataset.input_scale / model.input_scale)).astype(x.dtype)
        note_if_scaled_otherwise(x, model, what=dataset.name)
    return Split(x, labels)
