"""Arrays under the names that people give them train at once; with what is missing, the remedy is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpmlp
from xpmlp.datasets import TableOptions, load_dataset, load_table
from xpmlp.datasets.tables.frames import table_in_memory
from xpmlp.errors import DataError

evaluate: Any = xpmlp.evaluate
RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
IMAGES = RNG.integers(0, 256, (60, 8, 9), dtype=np.uint8)
COLORS = RNG.integers(0, 256, (60, 8, 9, 3), dtype=np.uint8)
ROWS = RNG.normal(0, 1, (60, 4))
LATER = slice(0, 20)


@pytest.mark.parametrize(
    ("arrays", "shape", "rows", "note"),
    [
        # MedMNIST's files, a Bunch of scikit-learn, numpy.savez(file, x, y), to_categorical.
        (
            {
                f"{part}_{what}": array[rows]
                for part, rows in (("train", slice(None)), ("val", slice(0, 30)), ("test", LATER))
                for what, array in (("images", COLORS), ("labels", Y[:, None]))
            },
            (8, 9, 3),
            (60, 30, 20),
            "the target is the column 'labels'",
        ),
        (
            {"data": ROWS, "target": Y, "feature_names": np.array(list("abcd")), "DESCR": np.array("text")},
            (4,),
            (48, 0, 12),
            "other arrays are left out: 'feature_names', 'DESCR'",
        ),
        ({"arr_0": IMAGES[..., None], "arr_1": Y}, (8, 9), (48, 0, 12), "the target is the column 'y'"),
        ({"X": ROWS, "y": np.eye(3)[Y]}, (4,), (48, 0, 12), "one-hot labels are read as the number of their column"),
        ({"trainX": ROWS, "trainY": Y, "validX": ROWS, "validY": Y}, (4,), (60, 0, 60), "validation rows are the test"),
        ({"x_train": ROWS, "y_train": Y, "x_test": ROWS, "y_test": Y, "z": Y}, (4,), (60, 0, 60), "1 other arrays are"),
    ],
    ids=["medmnist", "bunch", "positional", "one-hot", "validation", "others"],
)
def test_usual_names_of_arrays_train_at_once(
    tmp_path: Path, arrays: dict[str, Any], shape: tuple[int, ...], rows: tuple[int, int, int], note: str
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    dataset = load_dataset(tmp_path / "data.npz")
    assert (dataset.input_shape, dataset.classes) == (shape, (0, 1, 2))
    assert (dataset.train_rows, dataset.validation_rows, dataset.test_rows) == rows
    assert note in "\n".join(dataset.notes)
    if "train" not in "".join(arrays):
        return
    truth = next(array for name, array in arrays.items() if array.ndim > 1 and "train" in name)
    np.testing.assert_allclose(
        dataset.train.x[:, 0] * dataset.input_scale if len(shape) > 1 else dataset.train.labels,
        truth.reshape(60, -1)[:, 0] if len(shape) > 1 else Y,
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("pixels", "white"),
    [(IMAGES, 255), (IMAGES.astype(np.float32), 255), (IMAGES / 255, 1)],
    ids=["bytes", "floats", "fractions"],
)
def test_files_of_single_arrays_train_with_the_file_of_their_targets(
    tmp_path: Path, pixels: np.ndarray, white: int
) -> None:
    np.save(tmp_path / "images.npy", pixels)
    np.save(tmp_path / "answers.npy", Y)
    np.save(tmp_path / "new.npy", pixels[:7])
    images, answers = str(tmp_path / "images.npy"), str(tmp_path / "answers.npy")
    dataset = load_dataset(images, target=answers)
    assert (dataset.input_shape, dataset.train_rows, dataset.classes) == ((8, 9), 48, (0, 1, 2))
    assert dataset.input_scale == white
    assert dataset.notes[-1].startswith(f"the 72 columns are numbers from 0 to {white}, used as pixels of 8 × 9 images")
    model, _ = xpmlp.train(images, answers, recipe=xpmlp.Recipe(hidden_layer_sizes=(64,), epochs=100))
    assert (xpmlp.predict(model, str(tmp_path / "new.npy")).labels == xpmlp.predict(model, pixels[:7]).labels).all()
    assert xpmlp.predict(model, pixels[3]).labels.tolist() == xpmlp.predict(model, pixels[3:4]).labels.tolist()
    with pytest.warns(UserWarning, match=f"but the model was trained on values up to {white}. Scale them as those"):
        xpmlp.predict(model, pixels * 255.0)
    for report, rows in ((evaluate(model, images), 12), (evaluate(model, images, answers), 12)):
        assert report.confusion.sum() == rows
    np.save(tmp_path / "few.npy", Y[:7])
    report = evaluate(model, str(tmp_path / "new.npy"), str(tmp_path / "few.npy"))
    assert report.confusion.sum() == 7


def test_named_columns_of_an_array_are_those_of_a_table(tmp_path: Path) -> None:
    array = np.empty(60, [("place", float, 3), ("size", float), ("answer", int)])
    array["place"], array["size"], array["answer"] = ROWS[:, :3], ROWS[:, 3], Y
    np.save(tmp_path / "rows.npy", array)
    np.savez(tmp_path / "rows.npz", array)
    for name in ("rows.npy", "rows.npz"):
        dataset = load_dataset(tmp_path / name, target="answer")
        columns = [column.name for column in dataset.table_schema.columns]  # type: ignore[union-attr]
        assert columns == ["place_0", "place_1", "place_2", "size"]
        expected = load_table(table_in_memory(ROWS, Y), TableOptions(target="y"))
        np.testing.assert_array_equal(dataset.train.x, expected.train.x)


def test_a_folder_of_arrays_is_read_like_a_file_of_them(tmp_path: Path) -> None:
    for name, array in {"X_train": ROWS, "y_train": Y, "X_test": ROWS[LATER], "y_test": Y[LATER]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    dataset = load_dataset(tmp_path)
    assert (dataset.train_rows, dataset.test_rows, dataset.input_shape) == (60, 20, (4,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x93NUMPY\x01\x00", r"x\.npy: cannot be read as \.npy"),
        (b"nothing of the kind", r"x\.npy: cannot be read as \.npy"),
        (None, r"x\.npy: its arrays have different numbers of rows"),
    ],
)
def test_damaged_and_unequal_arrays_are_refused_by_name(tmp_path: Path, content: bytes | None, message: str) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    np.save(tmp_path / "y.npy", Y[:-1])
    if content is not None:
        (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "x.npy", target=str(tmp_path / "y.npy"))
    np.save(tmp_path / "x.npy", ROWS)
    with pytest.raises(DataError, match=r"lost\.npy: there is no such file"):
        load_dataset(tmp_path / "x.npy", target=str(tmp_path / "lost.npy"))
