"""What people hand to `train`, `predict` and `evaluate`: names, files, data frames, arrays of any library."""

import itertools
import os
import warnings
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from xpmlp.backends import Backend, NumpyBackend, infer_backend, load_backend
from xpmlp.datasets import Dataset, Split, TableOptions, load_dataset, load_table, picture_folder
from xpmlp.datasets.dataset import listing
from xpmlp.datasets.load import NAMES, is_table
from xpmlp.datasets.picture_table import find_named_pictures
from xpmlp.datasets.pictures import load_picture_list
from xpmlp.datasets.tables import loading
from xpmlp.datasets.tables.files import read_table, refuse_foreign, table_format
from xpmlp.datasets.tables.frames import NAME, as_array, is_frame, table_in_memory, target_name, to_series
from xpmlp.datasets.tables.table import Table
from xpmlp.datasets.tables.values import read_texts
from xpmlp.errors import DataError, SettingsError
from xpmlp.model.image_preprocessor import prepare_marks
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model

from .evaluation_rows import far_notes, find_rows, given_columns, rescaled, without_left_out

TO_FRAME = ("to_dataframe", "compute", "to_polars", "pl")  # of xarray, Dask, Hugging Face's datasets, and DuckDB
LARGEST_SCALED = 2.0  # scaled values of images lie between -1 and 1, or little beyond


def to_host(data: Any) -> Any:
    """Convert an array of another library to NumPy; return everything else unchanged."""
    if isinstance(data, memoryview):
        return np.asarray(data)
    if np.ma.is_masked(data):
        return np.ma.filled(data.astype(np.float64 if data.dtype.kind in "biuf" else object), np.nan)
    if isinstance(data, str | os.PathLike | Sequence) or not hasattr(data, "dtype") or hasattr(data, "to_frame"):
        return data
    if hasattr(data, "tocsr"):
        raise DataError(
            "Sparse matrices are for the estimators, xpmlp.MLPClassifier and MLPRegressor; or make it dense with "
            ".toarray()."
        )
    backend = infer_backend(data)
    try:
        with backend.scope():
            return np.asarray(backend.to_numpy(data))
    except TypeError as error:  # sparse tensors of PyTorch
        raise DataError(f"Arrays of {data.dtype} cannot be read ({error}). Convert them to float32 first.") from error


def as_dataset(data: Any, y: Any = None, memory: str | int | None = None, **options: Any) -> Dataset:
    """Return training and test samples of a `Dataset`, a name, a path, a frame or rows, or samples and their targets.

    `options` are those of `load_dataset`.
    """
    if isinstance(data, Dataset):
        if options or y is not None:
            given = ", ".join(options) or "y"
            raise SettingsError(f"{given}: cannot be used with a Dataset, which has its targets and its test rows.")
        return data
    if y is not None and options.get("target") is not None:
        raise SettingsError("y and target: give one of them.")
    # With targets beside it, a Series is a column, and so is each place of named tuples; in prediction it is a row.
    names = None if y is None or isinstance(y, str) else ()
    data = data.to_frame() if y is not None and hasattr(data, "to_frame") else columns_of_rows(data, names)
    if isinstance(y, str) and (is_frame(data) or isinstance(data, str | os.PathLike)):
        y, options["target"] = None, y  # the target's column, as in train(frame, "price")
    if isinstance(data, str | os.PathLike):
        if y is not None:
            raise SettingsError(f"{data}: is a name or a path, so y cannot be used. Name the column with target=.")
        return load_dataset(os.fspath(data), memory=memory, **options)
    if y is None and not is_frame(data):
        raise SettingsError(
            f"y is missing beside data of type {type(data).__name__}: give the samples and their targets, as in "
            "train(x, y); or a dataset's name, a path or a data frame. Of pairs, make x, y = zip(*pairs)."
        )
    if isinstance(data, list | tuple) and data and all(is_picture(p) or is_picture_path(p) for p in data):
        dataset = load_picture_list([as_picture(p) for p in data], to_host(y), TableOptions.parse(**options))
        if dataset is not None:
            return dataset
    table = table_in_memory(to_host(data), to_host(y))
    if y is not None:
        options["target"] = target_name(y)
    return load_table(table, TableOptions.parse(**options))


def table_inputs(model: Model, table: Table) -> loading.Rows:
    """Return a table's rows as the model's inputs, even if it was not trained on a table."""
    if model.table_schema is not None:
        rows = loading.rows_to_predict(without_left_out(model, table), model.table_schema)
        return replace(rows, notes=(*rows.notes, *far_notes(model, table.name, rows.x)))
    features = model.layer_sizes[0]
    labels = [name for name in table.schema if name.lower() in ("label", "target", "class", "y")]
    target = labels[0] if labels and len(table.schema) == features + 1 else ""
    return loading.rows_to_predict(table, loading.plain_schema(table, target, model.input_scale, features))


def model_inputs(model: Model, data: Any) -> Float[np.ndarray, "..."]:
    """Return raw samples as the model's inputs: scaled, and encoded like the table that it was trained on.

    Parameters
    ----------
    data
        Samples as in training, before scaling: an array of any library, a data frame, a dict of columns or of a row, or
        a list of rows; the path of a table; or a picture or its path, each mark of which is a row, or several pictures,
        each of which is one.

    Raises
    ------
    DataError
        If they do not fit the model, or rows lack values that it needs.
    """
    data = rows_of_model(model, data)
    if isinstance(data, Dataset):
        raise DataError(f"{data.name}: is a Dataset. Give the rows to predict, such as dataset.test.")
    if isinstance(data, str | os.PathLike):
        path = Path(os.path.expanduser(data))
        if not is_table_file(path):
            return find_rows(model, str(path)).split.x if is_named(path) else read_marks(model, path)
        options = TableOptions.recorded(model.training)
        data = [] if is_named(path) else named_pictures(model, path, options)
        if not data:
            return whole_rows(table_inputs(model, read_rows(model, path, options)))
    if is_picture(data):
        return read_marks(model, data)
    of_pixels = model.image_preprocessor is None and isinstance(data, list) and all(map(is_picture, data))
    if of_pixels and len({picture.size for picture in data}) == 1:  # as `train` takes a list of pictures
        data = [np.asarray(picture) for picture in data]
    if isinstance(data, Sequence) and data and all(is_picture(p) or isinstance(p, str | os.PathLike) for p in data):
        return np.concatenate([read_marks(model, picture, single=True) for picture in data])
    if is_frame(data):
        return whole_rows(table_inputs(model, table_in_memory(data)))
    x = as_array(data)
    features = model.layer_sizes[0]
    if x.shape == model.input_shape and x.shape[1:] != (features,):
        x = x[None]  # a single sample
    columns = model.raw_columns
    if columns is not None:
        names, given = [column.name for column in columns.columns], given_columns(model)
        if x.ndim == 1 and len(x) in (len(names), len(given)):
            x = x[None]  # a single sample
        elif x.ndim == 1 and len(names) == 1:
            x = x[:, None]
        x = x.reshape(len(x), -1) if x.ndim > 2 else x
        if x.ndim != 2 or x.shape[1] not in (len(names), len(given or names)):
            left_out = f", and {len(given) - len(names)} that it left out" if given else ""
            raise DataError(
                f"The samples are an array of shape {x.shape}, but the model was trained on {len(names)} columns"
                f"{left_out}. Give one row for each sample, with these columns in the same order."
            )
        places = range(len(names)) if x.shape[1] == len(names) else map(given.index, names)
        frame = {name: x[:, place].tolist() for name, place in zip(names, places, strict=True)}
        return whole_rows(loading.rows_to_predict(table_in_memory(frame), columns))
    if x.ndim > 2 and [size for size in x.shape[1:] if size != 1] == [size for size in model.input_shape if size != 1]:
        x = x.reshape(len(x), -1)
    warn_of_range(model, x, raw=True)
    dtype = model.layers[0].weight.dtype
    with np.errstate(over="ignore"):
        return np.asarray(x / dtype.type(model.input_scale), dtype) if model.input_scale != 1.0 else x


def named_pictures(model: Model, path: Path, options: TableOptions) -> list[Path]:
    """Return the pictures that a table names in each row, for a model of images; none for other models and tables."""
    named = None if model.image_preprocessor is None else find_named_pictures(path, options)
    return [] if named is None else named.places()


def as_model(model: Model | str | os.PathLike[str]) -> Model:
    """Return a model; read it if its path is given."""
    if isinstance(model, str | os.PathLike):
        return load_model(Path(os.path.expanduser(model)))
    if not isinstance(model, Model):
        raise SettingsError(
            f"model: expected a Model or its path, not {type(model).__name__}. It comes first, and train returns it "
            "beside its history: model, result = train(…)."
        )
    return model


def as_backend(backend: Backend | str | None) -> Backend:
    """Return a backend; NumPy's by default."""
    return load_backend(backend) if isinstance(backend, str) else backend or NumpyBackend()


def rows_of_model(model: Model, data: Any) -> Any:
    """Convert rows for a model as `columns_of_rows` does; a Series is a row, or the values of an only column."""
    columns = model.raw_columns
    names = () if columns is None else (*(column.name for column in columns.columns), columns.target)
    if len(names) == 2 and hasattr(data, "to_dict") and hasattr(data, "to_frame") and names[0] not in data.index:
        data = data.to_frame(names[0])
    return columns_of_rows(to_host(data), names)


def columns_of_rows(data: Any, names: Collection[str | None] | None = None) -> Any:
    """Convert rows with named values, and a row of pandas, to columns, and another library's table to a data frame.

    Named tuples and other objects are such rows if they have a value of one of these names, by default always.
    Everything else is returned unchanged.
    """
    if getattr(getattr(data, "dtype", None), "names", None):
        return {name: data[name] for name in data.dtype.names}
    if hasattr(type(data), "fieldnames"):  # csv.DictReader
        data = list(data)
    to_frame = next((name for name in TO_FRAME if hasattr(type(data), name)), None)
    if to_frame is not None and not hasattr(data, "dtype"):
        data = getattr(data, to_frame)()
    if hasattr(data, "to_dict") and hasattr(data, "index") and not hasattr(data, "columns"):
        data = data.to_dict()  # a Series of pandas
    if isinstance(data, Mapping):
        return {key: [value] for key, value in data.items()} if all(map(np.isscalar, data.values())) else data
    if not isinstance(data, list | tuple | deque) or not data or as_record(data[0]) is None:
        return data
    rows = [row for row in map(as_record, data) if row is not None]
    found = dict.fromkeys(itertools.chain.from_iterable(rows))
    if len(rows) < len(data):
        return data
    if names is not None and not isinstance(data[0], Mapping) and not found.keys() & {*names}:
        return data
    return {key: [row.get(key) for row in rows] for key in found}


def as_record(row: Any) -> Mapping[str, Any] | None:
    """Return a row's values by their names, if these are those of a mapping, a named tuple or an object; else None."""
    if isinstance(row, Mapping):
        return row
    if isinstance(row, SimpleNamespace):
        return vars(row)
    if is_dataclass(row):
        return {field.name: getattr(row, field.name) for field in fields(row)}
    convert = next((name for name in ("_asdict", "model_dump") if hasattr(type(row), name)), None)  # or of Pydantic
    if convert is not None:
        return dict(getattr(row, convert)())
    return dict(row) if hasattr(row, "keys") and not hasattr(row, "dtype") else None  # sqlite3.Row


def whole_rows(rows: loading.Rows) -> Float[np.ndarray, "rows features"]:
    """Return the inputs of a table whose rows are all usable, with its notes as warnings."""
    if not rows.usable.all():
        first = int(np.argmin(rows.usable))
        raise DataError(
            f"{np.count_nonzero(~rows.usable):,} of {len(rows.usable):,} rows lack a value that the model needs; the "
            f"first is row {first + 1:,}. Fill them in, or leave these rows out."
        )
    for note in rows.notes:
        warnings.warn(note, stacklevel=4)
    return rows.x


def is_picture(data: Any) -> bool:
    """Return whether this is a picture of Pillow."""
    return hasattr(data, "getbands")


def is_named(path: Path) -> bool:
    """Return whether a path is the name of a dataset, and of no file, nor of a folder but a run's."""
    return str(path) in NAMES and (not path.exists() or picture_folder.is_run(path))


def is_table_file(path: Path) -> bool:
    """Return whether a path is that of a table, or the name of one; refuse files of foreign formats."""
    if is_named(path):
        return is_table(path)
    refuse_foreign(path)
    return table_format(path) is not None


def read_rows(model: Model, path: Path, options: TableOptions) -> Table:
    """Read a table for a model by its path or name; of one with training and test rows, the test rows."""
    return loading.named_table(str(path)) if is_named(path) else read_table(path, options, model.table_schema)


def is_picture_path(data: Any) -> bool:
    """Return whether this is a path with the suffix of a picture."""
    return isinstance(data, str | os.PathLike) and picture_folder.is_picture(os.fspath(data))


def as_picture(picture: Any) -> Path | Any:
    """Return a picture of Pillow unchanged, and the path of one as a `Path`."""
    return picture if is_picture(picture) else Path(os.path.expanduser(picture))


def read_marks(model: Model, picture: Any, *, single: bool = False) -> Float[np.ndarray, "marks features"]:
    """Read each mark in a picture or its file, or the whole picture, as the model's inputs."""
    path = as_picture(picture)
    if model.image_preprocessor is not None:
        return prepare_marks(path, model.image_preprocessor, single=single)
    name, columns = "the picture" if is_picture(picture) else path, model.raw_columns
    given = f"of the shape {' × '.join(map(str, model.input_shape))}, such as an IDX file"
    if columns is not None:
        given = f"in a table with the columns {listing([column.name for column in columns.columns])}"
    raise DataError(
        f"{name}: the model was not trained on images, so it cannot classify a picture. Give samples {given}."
    )


def warn_of_range(model: Model, x: Shaped[np.ndarray, "..."], *, raw: bool) -> None:
    """Warn of raw images that seem to be scaled already or in another way, and of prepared ones that do not."""
    if x.size == 0:
        return
    largest = max(float(x.max()), -float(x.min()))
    are_scaled = 0.0 < largest <= LARGEST_SCALED
    if raw and model.image_preprocessor is not None and largest > LARGEST_SCALED * model.input_scale:
        remedy = "Scale them as those."
    elif model.input_scale <= LARGEST_SCALED**2 or are_scaled != raw or not largest:
        return
    else:
        remedy = (
            "If they are scaled already, pass prepared=True." if raw else "Pass raw values as arrays, not as a Split."
        )
    warnings.warn(
        f"The largest value is {largest:g}, but the model was trained on values up to "
        f"{model.input_scale if raw else 1:g}. {remedy}",
        stacklevel=4,
    )


def labelled_split(model: Model, data: Any, y: Any = None, *, prepared: bool = False) -> Split:
    """Return labelled samples as the model's inputs; see `xpmlp.evaluate`."""
    if isinstance(data, str | os.PathLike):
        rows = find_rows(model, os.fspath(data), target=y if isinstance(y, str) else None)
        for note in rows.notes:
            warnings.warn(note, stacklevel=4)
        return rows.split
    if isinstance(data, Dataset):
        if data.table_schema != model.table_schema:
            raise DataError(f"{data.name}: its columns are prepared for another model. Give the table itself.")
        data = rescaled(data, data.test, model)
    if isinstance(data, Split):
        if not prepared:
            warn_of_range(model, data.x, raw=False)
        return data
    schema = model.raw_columns if not prepared else None
    data, y = rows_of_model(model, data), to_host(y)
    if schema is not None and is_frame(data):
        if isinstance(y, str):  # the target's column, as in train(frame, "price")
            if y != schema.target:
                raise DataError(f"{y}: is not the column that the model predicts, which is {schema.target!r}.")
            y = None
        table = read_texts(table_in_memory(data, y, schema.target), TableOptions(), schema)
        data = without_left_out(model, loading.with_target(table, schema.target))
        samples, notes = loading.labelled_rows(data, schema, model.classes)
        for note in (*notes, *far_notes(model, NAME, samples.x)):
            warnings.warn(note, stacklevel=4)
        return samples
    if y is None:
        raise DataError("y is missing: give the samples and their labels, as in evaluate(model, x, y).")
    x = np.asarray(data) if prepared else model_inputs(model, data)
    labels, missing = read_labels(model, y) if schema is not None else (np.asarray(y), None)
    labels = labels.reshape(-1) if model.task != "multilabel" else labels
    if len(labels) != len(x):
        raise DataError(f"There are {len(x):,} samples, but {len(labels):,} labels. Give a label for each sample.")
    if missing is None or not missing.any():
        return Split(x, labels)
    warnings.warn(f"{np.count_nonzero(missing):,} of {len(x):,} rows have no target, and are left out.", stacklevel=4)
    return Split(x[~missing], labels[~missing])


def read_labels(model: Model, y: Any) -> tuple[Shaped[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    """Return the targets of a table's rows as in training, also if they are one-hot, and which are missing."""
    column = to_series(y, is_target=True).alias("y")
    if column.dtype.is_(bool) and model.classes and not isinstance(model.classes[0], str):
        column = column.cast(int)
    target = loading.known_target(Table.of(NAME, column.to_frame()), "y", model.classes)
    return target.values, target.missing
