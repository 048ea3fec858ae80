"""`train`, `predict` and `evaluate` take what people hold: names, files, data frames, arrays of any library."""

import contextlib
import csv
import dataclasses
import enum
import importlib
import sqlite3
import sys
import types
import warnings
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression

import xpmlp
from xpmlp.backends import usable_backends
from xpmlp.errors import DataError, ModelFileError, SettingsError
from xpmlp.training import Callback, Run

SHORT: dict[str, Any] = {"hidden_layer_sizes": (16,), "epochs": 3, "verbose": False}
LONGER = SHORT | {"epochs": 150}
TRUTH = load_iris().target
NAMES = np.array(["setosa", "versicolor", "virginica"])[TRUTH]


def columns() -> dict[str, Any]:
    """150 flowers, with a column of text and one of missing numbers."""
    x = load_iris().data
    return {"length": x[:, 0].tolist(), "width": x[:, 2].tolist(), "color": ["red", "blue"] * 75}


class Lazy:
    """A table with a method that makes a data frame, as those of Dask, DuckDB or Hugging Face's datasets."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.frame = pl.DataFrame(columns)

    def to_polars(self) -> pl.DataFrame:
        return self.frame


def rows_of_sqlite(columns: dict[str, list[Any]]) -> list[sqlite3.Row]:
    """The rows of a query."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        database.execute(f"create table flowers ({', '.join(columns)})")
        places = ", ".join("?" * len(columns))
        database.executemany(f"insert into flowers values ({places})", zip(*columns.values(), strict=True))
        return database.execute("select * from flowers").fetchall()


def objects(make: Callable[[list[str]], Any]) -> Callable[[dict[str, list[Any]]], list[Any]]:
    """Return a function that makes an object of each row, of the class that `make` returns for the columns' names."""
    return lambda columns: [
        make(list(columns))(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
    ]


from_arrays: Any = np.rec.fromarrays  # NumPy's versions annotate it differently

FRAMES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "named tuples": objects(lambda names: namedtuple("Flower", names)),
    "dataclasses": objects(lambda names: dataclasses.make_dataclass("Flower", names, slots=True)),
    "namespaces": objects(lambda names: types.SimpleNamespace),
    "rows of SQLite": rows_of_sqlite,
    "DictReader": lambda columns: csv.DictReader(pl.DataFrame(columns).write_csv().splitlines()),
    "structured array": lambda columns: from_arrays(list(columns.values()), names=",".join(columns)),
    "dict": dict,
    "list of rows": lambda columns: pl.DataFrame(columns).to_dicts(),
    "polars": pl.DataFrame,
    "of another library": Lazy,
    "lazy": lambda columns: pl.DataFrame(columns).lazy(),
    "pandas": lambda columns: pytest.importorskip("pandas").DataFrame(columns),
    "pandas categories": lambda columns: (
        pytest.importorskip("pandas").DataFrame(columns).astype({"color": "category", "length": "Float64"})
    ),
    "arrow": lambda columns: pytest.importorskip("pyarrow").table(columns),
}


@pytest.fixture(scope="module")
def expected() -> xpmlp.Model:
    """A model of the columns."""
    return xpmlp.train(pl.DataFrame(columns()), pl.Series("kind", NAMES), **SHORT | {"epochs": 40})[0]


@pytest.mark.parametrize("kind", FRAMES)
def test_a_data_frame_of_any_library_trains_the_same_model(kind: str, expected: xpmlp.Model) -> None:
    make = FRAMES[kind]
    frame = make(columns() | {"kind": NAMES.tolist()})
    model, result = xpmlp.train(frame, target="kind", **SHORT | {"epochs": 40})
    assert model.classes == ("setosa", "versicolor", "virginica")
    np.testing.assert_array_equal(model.layers[0].weight, expected.layers[0].weight)
    assert result.history[-1].test_accuracy is not None
    labels = xpmlp.predict(model, make(columns())).labels
    accuracy = xpmlp.evaluate(model, make(columns()), NAMES.tolist()).accuracy  # type: ignore[union-attr]
    assert accuracy == np.mean(labels == NAMES) > 0.5
    assert xpmlp.evaluate(model, make(columns() | {"kind": NAMES.tolist()})).accuracy == accuracy  # type: ignore[union-attr]


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_raw_arrays_of_any_library_are_scaled_by_the_model(library: str) -> None:
    if library not in usable_backends():
        pytest.skip(f"{library} cannot be used here")
    module = importlib.import_module({"jax": "jax.numpy"}.get(library, library))
    x, y = load_iris(return_X_y=True)
    x = (x * [1.0, 100.0, 0.01, 1.0] + [0.0, 1e4, 0.0, -5.0]).astype(np.float32)
    model, _ = xpmlp.train(module.asarray(x), module.asarray(y), **LONGER)
    report: Any = xpmlp.evaluate(model, module.asarray(x), module.asarray(y))
    assert report.accuracy > 0.9  # without scaling, no network learns these
    assert xpmlp.predict(model, module.asarray(x)).labels.tolist() == xpmlp.predict(model, x.tolist()).labels.tolist()


X, SHOWN = np.round(load_iris().data * 8) / 8, 1 - np.eye(4)[TRUTH]  # numbers that 16 bits hold; some are hidden
Kind = enum.Enum("Kind", {"a": 0, "b": 1, "c": 2})
UNUSUAL: dict[str, tuple[Callable[[], Any], Any]] = {
    "float128": (lambda: X.astype(np.longdouble), X),
    "bfloat16": (lambda: pytest.importorskip("torch").tensor(X).bfloat16(), X),
    "bfloat16 of JAX": (lambda: pytest.importorskip("jax.numpy").asarray(X, "bfloat16"), X),
    "conjugated": (lambda: pytest.importorskip("torch").tensor(X * -1j).conj().imag, X),
    "memoryview": (lambda: memoryview(X), X),
    "masked": (lambda: np.ma.array(X, mask=SHOWN == 0), np.where(SHOWN, X, np.nan)),
    "one dimension": (lambda: X[:, 2], X[:, 2:3]),
    "index": (lambda: pytest.importorskip("pandas").Index(X[:, 2]), X[:, 2:3]),
}


@pytest.mark.filterwarnings("ignore:the data. missing values")
@pytest.mark.parametrize("kind", UNUSUAL)
def test_samples_of_unusual_types_are_the_numbers_that_they_hold(kind: str) -> None:
    given, plain = UNUSUAL[kind][0](), UNUSUAL[kind][1]
    model, expected = (xpmlp.train(x, TRUTH, **SHORT)[0] for x in (given, plain))
    np.testing.assert_array_equal(model.layers[0].weight, expected.layers[0].weight)
    assert repr(xpmlp.evaluate(model, given, TRUTH)) == repr(xpmlp.evaluate(expected, plain, TRUTH))
    labels = xpmlp.predict(expected, plain).labels.tolist()
    assert xpmlp.predict(model, given).labels.tolist() == labels


@pytest.mark.parametrize("form", range(6))
def test_targets_are_read_in_evaluation_as_in_training(form: int) -> None:
    one_hot = np.eye(3)[TRUTH]
    named = pl.DataFrame(one_hot, schema=["setosa", "versicolor", "virginica"])
    kinds = [Kind(index) for index in TRUTH]
    y = (one_hot, named, NAMES.astype(np.bytes_), NAMES[None], {"kind": NAMES}, kinds)[form]
    model, _ = xpmlp.train(X, y, **LONGER)
    report: Any = xpmlp.evaluate(model, X, y)
    assert report.accuracy > 0.9
    if model.classes == ("setosa", "versicolor", "virginica"):
        with pytest.warns(UserWarning, match="50 of 150 rows have no target"):
            few: Any = xpmlp.evaluate(model, X, [name if n >= 50 else None for n, name in enumerate(NAMES.tolist())])
        assert few.confusion.sum() == 100


@pytest.mark.parametrize("form", [np.asarray, lambda x: x.reshape(-1, 8, 8)])
def test_arrays_with_columns_that_training_left_out_are_taken_as_they_were(form: Any, tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)  # three pixels are always 0
    model, _ = xpmlp.train(form(x), y, **SHORT | {"epochs": 30})
    xpmlp.save_model(tmp_path / "model.safetensors", model)
    varies = x.std(axis=0) > 0
    assert model.layer_sizes[0] == np.count_nonzero(varies) == 61
    found = xpmlp.predict(tmp_path / "model.safetensors", form(x))
    np.testing.assert_array_equal(found.probabilities, xpmlp.predict(model, x[:, varies]).probabilities)
    report: Any = xpmlp.evaluate(model, form(x), y)
    assert report.accuracy == np.mean(found.labels == y) > 0.9
    assert xpmlp.predict(model, x[0]).labels == found.labels[0]
    with pytest.raises(DataError, match="trained on 61 columns, and 3 that it left out"):
        xpmlp.predict(model, x[:, :62])


def test_rows_are_predicted_as_values_with_their_identifiers_and_as_dicts() -> None:
    frame = {"id": [f"row {index}" for index in range(150)]} | columns() | {"kind": NAMES.tolist()}
    model, _ = xpmlp.train(frame, "kind", **SHORT)
    expected = xpmlp.predict(model, columns()).probabilities
    values = list(zip(*(frame[name] for name in ("id", "length", "width", "color")), strict=True))
    assert [column.name for column in model.raw_columns.columns] == ["length", "width", "color"]  # type: ignore[union-attr]
    np.testing.assert_array_equal(xpmlp.predict(model, values).probabilities, expected)
    rows = [{name: values[index] for name, values in columns().items()} for index in range(150)]
    np.testing.assert_array_equal(xpmlp.predict(model, rows, backend="numpy").probabilities, expected)
    np.testing.assert_array_equal(xpmlp.predict(model, rows[3]).probabilities, expected[3:4])
    report: Any = xpmlp.evaluate(model, frame, "kind", backend="numpy")
    assert report.accuracy == np.mean(xpmlp.predict(model, rows).labels == NAMES)
    assert repr(xpmlp.evaluate(model, rows, NAMES)) == repr(report)
    with pytest.raises(DataError, match="color: is not the column that the model predicts, which is 'kind'"):
        xpmlp.evaluate(model, frame, "color")
    row = pytest.importorskip("pandas").DataFrame(columns()).iloc[3]
    np.testing.assert_array_equal(xpmlp.predict(model, row).probabilities, expected[3:4])


def test_images_are_divided_by_what_the_training_images_were(tmp_path: Path) -> None:
    images, labels = load_digits(return_X_y=True)
    images = (images * 15).astype(np.uint8).reshape(-1, 8, 8)
    model, _ = xpmlp.train(images, labels, **SHORT | {"epochs": 10})
    assert (model.input_shape, model.input_scale) == ((8, 8), 255.0)
    report: Any = xpmlp.evaluate(model, images, labels)
    reference = LogisticRegression(max_iter=500).fit(images.reshape(-1, 64) / 255, labels)
    assert report.accuracy >= reference.score(images.reshape(-1, 64) / 255, labels) - 0.03
    found = xpmlp.predict(model, images)
    for form in (images.reshape(-1, 64), images.astype(np.float64), images.tolist()):
        np.testing.assert_array_equal(xpmlp.predict(model, form).probabilities, found.probabilities)
    prepared = xpmlp.predict(model, images.reshape(-1, 64).astype(np.float32) / np.float32(255), prepared=True)
    np.testing.assert_array_equal(prepared.probabilities, found.probabilities)
    assert xpmlp.predict(model, images[7]).labels.tolist() == found.labels[7:8].tolist()
    # The same images as files.
    picture = pytest.importorskip("PIL.Image")
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, images, strict=False):
        picture.fromarray(image).save(path)
    assert xpmlp.predict(model, str(paths[0])).labels.tolist() == labels[:1].tolist()
    assert xpmlp.predict(model, paths).labels.tolist() == labels[:3].tolist()


def test_values_of_another_range_than_in_training_are_warned_of() -> None:
    digits = xpmlp.load_dataset("digits")
    model, _ = xpmlp.train(digits, **SHORT)
    raw = digits.test.x * 16
    with pytest.warns(UserWarning, match=r"largest value is 1, .* values up to 16\..*pass prepared=True") as caught:
        xpmlp.predict(model, digits.test.x)
    assert caught[0].filename == __file__ or "beartype" in sys.modules
    with pytest.warns(UserWarning, match=r"largest value is 16, .* values up to 1\..*not as a Split"):
        xpmlp.evaluate(model, xpmlp.Split(raw, digits.test.labels))
    expected = xpmlp.evaluate(model, digits.test)
    for found in (
        xpmlp.report(model, digits),
        xpmlp.evaluate(model, "digits"),
        xpmlp.evaluate(model, raw, digits.test.labels),
        xpmlp.evaluate(model, digits.test.x, digits.test.labels, prepared=True),
    ):
        assert found.to_json() == expected.to_json()


def test_a_file_is_read_and_its_held_out_rows_are_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "flowers.csv"
    pl.DataFrame(columns() | {"kind": NAMES}).write_csv(path)
    model, result = xpmlp.train(path, target="kind", **SHORT)
    report: Any = xpmlp.evaluate(model, path)
    assert report.accuracy == result.history[-1].test_accuracy
    assert report.confusion.sum() == 30
    assert xpmlp.predict(model, str(path)).labels.shape == (150,)
    price, _ = xpmlp.train(columns(), load_iris().data[:, 3], **SHORT)
    assert price.task == "regression"
    assert xpmlp.evaluate(price, columns(), load_iris().data[:, 3]).loss < 0.5


MISTAKES: list[tuple[Callable[[Any, Any], object], type[Exception], str]] = [
    (lambda x, y: xpmlp.train(x), SettingsError, r"y is missing beside .* ndarray: .* train\(x, y\)"),
    (lambda x, y: xpmlp.train(x, y, epoch=3), SettingsError, r"epoch: there is no such option\. Did you mean epochs\?"),
    (lambda x, y: xpmlp.train(x, y, hidden=3), SettingsError, "Did you mean hidden_layer_sizes"),
    (lambda x, y: xpmlp.train(x, y, "notbook"), SettingsError, "recipe: 'notbook' is not one of default"),
    (lambda x, y: xpmlp.train(x, y, lr=3), SettingsError, "Did you mean learning_rate"),
    (lambda x, y: xpmlp.train(x, np.c_[y, y]), DataError, r"\(150, 2\); expected one value.*MLPRegressor"),
    (lambda x, y: xpmlp.train(zip(x, y, strict=True)), SettingsError, r"data of type zip.*x, y = zip\(\*pairs\)"),
    (lambda x, y: xpmlp.train(iter(x), y), DataError, "iterator is not an array of samples"),
    (lambda x, y: xpmlp.train([x[0], x[:, 0]], y), DataError, "list is not an array of samples .*inhomogeneous"),
    (lambda x, y: xpmlp.train({"a": y}, target=["a"]), SettingsError, "target: .* one column, not a list"),
    (lambda x, y: xpmlp.predict(trained(), iter(x)), DataError, "an array, a list of rows"),
    (lambda x, y: cast("Any", trained()).predict(x), AttributeError, r"Call xpmlp\.predict\(model, data\)\.labels"),
    (lambda x, y: xpmlp.train("iris", y), SettingsError, "iris: is a name or a path, so y cannot be used"),
    (lambda x, y: xpmlp.train(x, y, target="z"), SettingsError, "y and target: give one of them"),
    (lambda x, y: xpmlp.train(x, y[:3]), DataError, "there are 150 samples, but 3 targets"),
    (lambda x, y: xpmlp.train({"a": x}, y), DataError, r"a column has the shape \(150, 4\)"),
    (lambda x, y: xpmlp.train({"a": y}, target="b"), DataError, "there is no column 'b'"),
    (lambda x, y: xpmlp.train("digits", target="b"), SettingsError, "digits: is no table"),
    (lambda x, y: xpmlp.train(xpmlp.load_dataset("iris"), y), SettingsError, "cannot be used with a Dataset"),
    (lambda x, y: xpmlp.train(__import__("scipy").sparse.csr_matrix(x), y), DataError, "Sparse matrices are for"),
    (lambda x, y: xpmlp.predict(trained(), x[:, :3]), DataError, r"shape \(150, 3\).* trained on 4 columns"),
    (lambda x, y: xpmlp.predict(trained(), "photo.jpg"), DataError, "photo.jpg: the model was not trained on images"),
    (
        lambda x, y: xpmlp.predict(trained(missing="refuse"), np.where(x > 6, np.nan, x)),
        DataError,
        "61 of 150 rows have no value in column 'x_0'",
    ),
    (lambda x, y: xpmlp.predict(trained(), {"a": y}), DataError, "x_0"),
    (lambda x, y: xpmlp.evaluate(trained(), x), DataError, r"y is missing: .*evaluate\(model, x, y\)"),
    (lambda x, y: xpmlp.evaluate(trained(), x, y + 1), DataError, "not among the known classes: 3"),
    (lambda x, y: xpmlp.predict(trained(), xpmlp.load_dataset("iris")), DataError, "iris: is a Dataset.*dataset.test"),
    (lambda x, y: xpmlp.predict("none.safetensors", x), ModelFileError, "none.safetensors"),
    (lambda x, y: xpmlp.train({"a": y}, "b", target="a"), SettingsError, "y and target: give one"),
    (lambda x, y: xpmlp.evaluate(trained(), x, y[:3]), DataError, "150 samples, but 3"),
]
# Refused by the annotations where these are checked; in users' hands they are not.
OF_WRONG_TYPE: list[tuple[Callable[[Any, Any], object], type[Exception], str]] = [
    (lambda x, y: xpmlp.train(x, y, callbacks=cast("Any", print)), SettingsError, "callbacks: expected a list"),
    (lambda x, y: xpmlp.predict(x, trained()), SettingsError, "expected a Model or its path, not ndarray"),
    (
        lambda x, y: xpmlp.evaluate(cast("Any", (trained(), None)), x, y),
        SettingsError,
        r"not tuple.* model, result = train",
    ),
]


def trained(**options: Any) -> xpmlp.Model:
    """A model of iris, trained on arrays."""
    return xpmlp.train(*load_iris(return_X_y=True), epochs=1, verbose=False, **options)[0]


@pytest.mark.parametrize(
    ("mistake", "error", "message"), [*MISTAKES, *([] if "beartype" in sys.modules else OF_WRONG_TYPE)]
)
def test_mistakes_are_explained(mistake: Callable[[Any, Any], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mistake(*load_iris(return_X_y=True))


class Interrupt(Callback):
    def on_epoch_end(self, run: Run) -> None:
        if len(run.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("verbose", [True, False])
def test_ctrl_c_keeps_what_was_learned_and_says_so(capsys: pytest.CaptureFixture[str], verbose: bool) -> None:
    model, result = xpmlp.train("digits", epochs=5, callbacks=[Interrupt()], verbose=verbose)
    heads = [line.split("   ")[0] for line in capsys.readouterr().out.splitlines()]
    assert heads == ["epoch 1/5", "epoch 2/5", "interrupted; the network of epoch 2 is kept"] * verbose
    assert (result.interrupted, model.training["epochs"]) == (True, 2)


def test_each_mark_of_one_picture_is_a_sample_and_each_of_several_pictures(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.full((60, 120), 255, np.uint8)
    for left in (15, 55, 95):
        pixels[10:50, left : left + 8] = 0
    picture = pillow.fromarray(pixels)
    picture.save(tmp_path / "111.png")
    model, _ = xpmlp.train("digits", recipe=xpmlp.Recipe(hidden_layer_sizes=(4,), epochs=1))
    for given in (tmp_path / "111.png", picture):
        expected = xpmlp.predict(model, tmp_path / "111.png").probabilities
        np.testing.assert_array_equal(xpmlp.predict(model, given).probabilities, expected)
        assert len(expected) == 3
    assert len(xpmlp.predict(model, [tmp_path / "111.png", picture]).labels) == 2
    x, y = load_digits(return_X_y=True)
    x = (15 * x[:200]).astype(np.uint8)
    pictures = [pillow.fromarray(image) for image in x.reshape(-1, 8, 8)]
    for targets in (y[:200], y[:200] / 7):
        of_pixels, _ = xpmlp.train(pictures, targets, **SHORT)
        np.testing.assert_array_equal(xpmlp.predict(of_pixels, pictures).labels, xpmlp.predict(of_pixels, x).labels)
    with pytest.raises(DataError, match="the picture: the picture is blank"):
        xpmlp.predict(model, pillow.new("L", (60, 60), 255))


def test_pictures_of_several_sizes_and_their_paths_train_as_those_in_class_folders(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pictures = [pillow.fromarray(rng.integers(0, 256, (20 + n, 30, 3), np.uint8)) for n in range(12)]
    labels = ["odd" if n % 2 else "even" for n in range(12)]
    paths = [tmp_path / label / f"{n:02}.png" for n, label in enumerate(labels)]
    for path, picture in zip(paths, pictures, strict=True):
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
    expected, _ = xpmlp.train(tmp_path, image_size="9x8", **SHORT)
    for given in (pictures, paths, [str(path) for path in paths], tuple(pictures)):
        model, _ = xpmlp.train(given, labels, image_size="9x8", **SHORT)
        assert model.input_shape == (8, 9, 3)
        np.testing.assert_array_equal(model.layers[0].weight, expected.layers[0].weight)
        assert repr(xpmlp.evaluate(model, given, labels)) == repr(xpmlp.evaluate(expected, pictures, labels))
    with pytest.raises(DataError, match="the pictures: there are 12, but 7 labels"):
        xpmlp.train(pictures, labels[:7])
    with pytest.raises(DataError, match="their labels are amounts, and only classes"):
        xpmlp.train(paths, np.linspace(0, 1, 12))


def test_dates_and_left_out_columns_of_training_are_no_news_in_prediction(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"when": pandas.date_range("2024-01-01 05:00", periods=60, freq="D"), "constant": 1})
    table["target"] = np.arange(60) % 7
    table.to_csv(tmp_path / "table.csv", index=False)
    model, _ = xpmlp.train(table, "target", **SHORT, loss="squared_error")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expected = xpmlp.predict(model, table).labels
        np.testing.assert_array_equal(xpmlp.predict(model, tmp_path / "table.csv").labels, expected)
        xpmlp.evaluate(model, table)
        xpmlp.evaluate(model, tmp_path / "table.csv")
        assert [str(warning.message) for warning in caught] == []
        xpmlp.predict(model, table.assign(new=1))
    assert [str(warning.message) for warning in caught] == ["the data: not used by the model: 'new'"]


def test_a_model_is_saved_whichever_of_the_two_comes_first(tmp_path: Path) -> None:
    xpmlp.save_model(trained(), tmp_path / "first.safetensors")
    xpmlp.save_model(tmp_path / "second.safetensors", trained())
    assert (tmp_path / "first.safetensors").read_bytes() == (tmp_path / "second.safetensors").read_bytes()
    with pytest.raises(SettingsError, match="expected a Model, got str"):
        xpmlp.save_model("x.safetensors", "y.safetensors")


def test_a_name_one_hot_targets_a_recipes_name_and_columns_named_by_numbers_are_understood() -> None:
    x, y = load_iris(return_X_y=True)
    model, _ = xpmlp.train(x, np.eye(3)[y], "small_table", epochs=1, verbose=False)
    assert model.classes == (0, 1, 2)
    named, _ = xpmlp.train("digits", epochs=1, verbose=False)
    digits = xpmlp.load_dataset("digits")
    assert xpmlp.predict(named, "digits").labels.tolist() == xpmlp.predict(named, digits.test).labels.tolist()
    frame = pytest.importorskip("pandas").DataFrame({0: [1, 2, 3] * 50, 1: NAMES})
    assert xpmlp.train(frame, target=1, categories=0, **SHORT)[0].layer_sizes[0] == 3


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_one_column_and_targets_in_a_frame_of_their_own_are_understood(library: str) -> None:
    frame = pytest.importorskip(library).DataFrame(columns() | {"kind": NAMES})
    model, _ = xpmlp.train(frame[["length", "width"]], frame[["kind"]], **SHORT)
    assert model.table_schema is not None
    assert model.table_schema.target == "kind"
    one, _ = xpmlp.train(frame["length"], frame["kind"], **SHORT)
    assert [column.name for column in one.raw_columns.columns] == ["length"]  # type: ignore[union-attr]
    one_hot = type(frame)({name: (name == NAMES).astype(int) for name in ("virginica", "setosa", "versicolor")})
    again, _ = xpmlp.train(frame[["length", "width"]], one_hot, **SHORT)
    np.testing.assert_array_equal(again.layers[0].weight, model.layers[0].weight)
    assert again.classes == model.classes


@pytest.mark.parametrize("form", [list, lambda rows: np.array(rows, dtype=object)])
def test_rows_of_numbers_and_text_train_as_their_columns(form: Any, expected: xpmlp.Model) -> None:
    rows = form([list(row) for row in zip(*columns().values(), strict=True)])
    model, _ = xpmlp.train(rows, NAMES, **SHORT | {"epochs": 40})
    np.testing.assert_array_equal(model.layers[0].weight, expected.layers[0].weight)
    assert xpmlp.predict(model, rows).labels.tolist() == xpmlp.predict(expected, columns()).labels.tolist()
