"""From a table to a dataset: what is guessed, split and taken for images, in every format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import xpmlp
from xpmlp import Recipe, evaluate, train
from xpmlp.datasets.load import is_table
from xpmlp.datasets.scaling import scaled
from xpmlp.datasets.tables.columns import decide_task
from xpmlp.errors import DataError

load_dataset: Any = xpmlp.load_dataset

Write = Callable[..., Path]


def frame_of(rows: int = 60) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "a": generator.normal(size=rows),
            "b": generator.integers(-1000, 1000, rows),
            "city": generator.choice(["x", "y", "z"], rows),
            "label": np.repeat([0, 1, 2], rows // 3),
        }
    )


def test_every_format_gives_the_same_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = frame_of()
    frame.write_csv(tmp_path / "data.csv")
    frame.write_parquet(tmp_path / "data.parquet", row_group_size=7)
    frame.write_ipc(tmp_path / "data.feather")
    frame.write_ipc_stream(tmp_path / "data.arrow")
    arrays: dict[str, Any] = {name: frame[name].to_numpy() for name in frame.columns}
    np.savez(tmp_path / "data.npz", **arrays | {"city": arrays["city"].astype(np.str_)})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    first = load_dataset(tmp_path / "data.csv")
    assert first.name == "data"
    assert first.train.x.shape == (48, 5)
    assert first.train.x.flags.c_contiguous
    for path in ("~/data.csv", *(str(tmp_path / f"data.{end}") for end in ("parquet", "feather", "arrow", "npz"))):
        other = load_dataset(path)
        for one, another in ((first.train, other.train), (first.test, other.test)):
            np.testing.assert_array_equal(one.x, another.x)
            np.testing.assert_array_equal(one.labels, another.labels)
        assert (first.classes, first.table_schema) == (other.classes, other.table_schema)


@pytest.mark.parametrize("name", ["label", "TARGET", "class", "y"])
def test_the_target_is_told_by_its_name_and_the_split_is_stratified(tmp_path: Path, name: str) -> None:
    frame_of(300).rename({"label": name}).write_csv(tmp_path / "data.csv")
    dataset = load_dataset(tmp_path / "data.csv", test_fraction=0.3)
    assert dataset.table_schema.target == name
    assert any(f"the target is the column {name!r}" in note for note in dataset.notes)
    assert np.bincount(dataset.test.labels).tolist() == [30, 30, 30]
    assert np.bincount(dataset.train.labels).tolist() == [70, 70, 70]
    assert len(np.unique(np.concatenate([dataset.train.x, dataset.test.x]), axis=0)) == 300  # no row is in both


def test_features_are_those_named_without_those_excluded(tmp_path: Path) -> None:
    frame_of().write_csv(tmp_path / "data.csv")

    def names(**options: Any) -> list[str]:
        form = load_dataset(tmp_path / "data.csv", **options).table_schema
        return [column.name for column in form.columns]

    assert names() == ["a", "b", "city"]
    assert names(features=["city", "a"]) == ["a", "city"]
    assert names(exclude="b") == ["a", "city"]
    assert names(target="b", task="regression") == ["a", "city", "label"]
    with pytest.raises(DataError, match="no column is left"):
        names(exclude=["a", "b", "city"])


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["x", "y"] * 30, "classification", ("x", "y")),
        ([True, False] * 30, "classification", ("false", "true")),
        ([1, 2, 3] * 20, "classification", (1, 2, 3)),
        ([1.0, 2.0, 3.0] * 20, "classification", (1, 2, 3)),
        ([0] * 57 + [1] * 3, "classification", (0, 1)),
        ([5, 6, 7] * 19 + [3, 9, 9], "classification", (3, 5, 6, 7, 9)),  # the grades of wine: few, some of them rare
        (list(range(60)), "regression", ()),
        ([0.5 * value for value in range(60)], "regression", ()),
    ],
)
def test_the_task_is_told_by_the_targets_values(tmp_path: Path, values: list[Any], task: str, classes: Any) -> None:
    frame_of().with_columns(label=pl.Series(values)).write_parquet(tmp_path / "data.parquet")
    dataset = load_dataset(tmp_path / "data.parquet")
    assert (dataset.task, dataset.classes) == (task, classes)
    kind = "f" if task == "regression" else "U" if isinstance(classes[0], str) else "i"
    assert dataset.train.labels.dtype.kind == kind


@pytest.mark.parametrize(
    ("counts", "task"),
    [
        ([8 * ring for ring in range(1, 15)] + [8 * ring for ring in range(13, 0, -1)] + [1], "regression"),  # abalone
        ([50] * 60, "regression"),  # int(60 * a) of 3,000 rows
        ([150] * 26, "classification"),  # letters, as codes
        ([2400] * 47, "classification"),  # those of EMNIST
        ([40_000] * 20 + [2_000] * 10, "regression"),  # points in a test, or ages
        ([400] * 9 + [3], "classification"),
        ([40] * 15, "classification"),
        ([400] * 14 + [3], "regression"),
        ([1000] * 101, "regression"),
        ([6, 6], "classification"),  # two values in few rows
        ([4, 4, 4], "regression"),
    ],
)
def test_many_whole_numbers_some_of_them_rare_are_amounts(counts: list[int], task: str) -> None:
    found, note = decide_task("rings", counts)
    other = {"regression": "classification", "classification": "regression"}[task]
    assert found == task
    assert note.startswith(f"'rings' has {len(counts)} different whole numbers")
    assert note.endswith(f": {task}; change it with --task {other}")


def test_classes_of_one_row_train_and_stop_no_run(tmp_path: Path) -> None:
    labels = ["x"] * 20 + ["y"] * 20 + ["once", "only"]
    pl.DataFrame({"a": np.arange(42.0) % 7, "label": labels}).write_parquet(tmp_path / "data.parquet")
    for fraction in (None, 0.02, 0.9):
        dataset = load_dataset(tmp_path / "data.parquet", test_fraction=fraction)
        assert dataset.classes == ("once", "only", "x", "y")
        assert {"once", "only"} <= set(dataset.train.labels)
        assert set(dataset.test.labels) <= {"x", "y"}
        assert set(dataset.train.labels) == set(dataset.classes)
        assert any(
            "classes of 'label' with one row only, which is for training: 'once', 'only'" in note
            for note in dataset.notes
        )
        model, _ = train(dataset, Recipe(epochs=1))
        assert evaluate(model, dataset.test).loss > 0.0


def test_the_task_may_be_said(tmp_path: Path) -> None:
    frame_of().write_parquet(tmp_path / "data.parquet")
    assert load_dataset(tmp_path / "data.parquet", task="regression").classes == ()
    assert load_dataset(tmp_path / "data.parquet", target="b", task="regression").task == "regression"
    with pytest.raises(DataError, match="has fractions, such as"):
        load_dataset(tmp_path / "data.parquet", target="a", task="classification")
    with pytest.raises(DataError, match="is text, which no regression can predict"):
        load_dataset(tmp_path / "data.parquet", target="city", task="regression")


# Images


def images(rows: int = 60, side: int = 8) -> Any:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, side, side), dtype=np.uint8)
    pixels[0, 0, :2] = 0, 255
    return pixels


def test_pixels_become_the_same_images_as_from_any_other_file(tmp_path: Path) -> None:
    pixels = images()
    pixels[:, -1] = 0  # constant pixels stay inputs
    frame = pl.from_numpy(pixels.reshape(60, 64), schema=[f"p{i}" for i in range(64)])
    frame.insert_column(0, pl.Series("label", np.arange(60) % 3)).write_csv(tmp_path / "data.csv")
    dataset = load_dataset(tmp_path / "data.csv")
    assert dataset.input_shape == (8, 8)
    assert dataset.input_scale == 255.0
    assert any("used as pixels of 8 × 8 images" in note for note in dataset.notes)
    truth = {row.tobytes() for row in scaled(pixels, 255.0, what="")}
    assert {row.tobytes() for row in (*dataset.train.x, *dataset.test.x)} == truth


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (lambda x: x[:, :63], None),
        (lambda x: x.astype(np.int64) - 1, None),
        (lambda x: x.astype(np.int64) + 1, None),
        (lambda x: x // 3, None),
        (lambda x: x + 0.5, None),
        (lambda x: x, "standard"),
    ],
    ids=["63 columns", "below 0", "above 255", "never bright", "fractions", "another scaling"],
)
def test_other_numbers_are_no_pixels(tmp_path: Path, change: Callable[[Any], Any], scale: str | None) -> None:
    values = change(images().reshape(60, 64))
    frame = pl.from_numpy(values, schema=[f"p{i}" for i in range(values.shape[1])])
    frame.with_columns(label=pl.Series(np.arange(60) % 3)).write_csv(tmp_path / "data.csv")
    dataset = load_dataset(tmp_path / "data.csv", scale=scale)
    assert dataset.input_shape == (values.shape[1],)
    assert dataset.input_scale == 1.0
    np.testing.assert_allclose(dataset.train.x.std(axis=0), 1.0, rtol=1e-4)


def test_an_npz_with_its_splits_keeps_them_and_its_images_their_shape(tmp_path: Path) -> None:
    """As Keras distributes MNIST; the images need not be square."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 9, 12), dtype=np.uint8)
    labels = np.arange(30) % 3
    np.savez(tmp_path / "mnist.npz", x_train=pixels[:20], y_train=labels[:20], x_test=pixels[20:], y_test=labels[20:])
    dataset = load_dataset(tmp_path / "mnist.npz")
    assert dataset.input_shape == (9, 12)
    np.testing.assert_array_equal(dataset.train.x, pixels[:20].reshape(20, -1) / np.float32(255))
    np.testing.assert_array_equal(dataset.test.x, pixels[20:].reshape(10, -1) / np.float32(255))
    np.testing.assert_array_equal(dataset.test.labels, labels[20:])
    with pytest.raises(DataError, match="has test rows of its own"):
        load_dataset(tmp_path / "mnist.npz", test_fraction=0.2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds no arrays"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3)}, "different numbers of rows"),
        ({"x": np.zeros((4, 2), complex), "y": np.zeros(4)}, "x is of type complex128"),
        ({"x": np.array([{}, {}], dtype=object), "y": np.zeros(2)}, "holds Python objects"),
    ],
)
def test_an_npz_of_other_arrays_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("name", "rows", "features", "classes"),
    [
        ("iris", 150, 4, ("setosa", "versicolor", "virginica")),
        ("wine", 178, 13, ("class_0", "class_1", "class_2")),
        ("breast_cancer", 569, 30, ("benign", "malignant")),
        ("diabetes", 442, 10, ()),
    ],
)
def test_scikit_learns_tables_have_names(name: str, rows: int, features: int, classes: tuple[str, ...]) -> None:
    dataset = load_dataset(name)
    assert len(dataset.train.x) + len(dataset.test.x) == rows
    assert dataset.train.x.shape[1] == features
    assert dataset.classes == classes
    assert dataset.name == name
    assert is_table(name)
    assert not is_table("digits")
