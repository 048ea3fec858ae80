"""Pictures in a folder for each class train at once; what else is in the folder is named in notes, or refused."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpmlp
from xpmlp.datasets import ByteSplit, Dataset, load_dataset
from xpmlp.errors import DataError, SettingsError

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

evaluate: Any = xpmlp.evaluate
RED, BLUE = (200, 30, 30), (20, 40, 220)


def save(path: Path, color: object, size: tuple[int, int] = (20, 10), mode: str = "RGB", **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures of each of two classes, all of 20 × 10 pixels."""
    for index in range(5):
        save(tmp_path / "pictures" / "red" / f"{index}.png", RED)
        save(tmp_path / "pictures" / "blue" / "inner" / f"{index}.PNG", BLUE)
    return tmp_path / "pictures"


def pixels(dataset: Dataset) -> np.ndarray:
    """The training pictures."""
    assert isinstance(dataset.train, ByteSplit)
    return dataset.train.stored.reshape(-1, *dataset.input_shape)


def test_folders_are_classes_and_pixels_come_in_color(pictures: Path) -> None:
    dataset = load_dataset(pictures)
    assert dataset.classes == ("blue", "red")
    assert dataset.input_shape == (10, 20, 3)
    assert (dataset.train_rows, dataset.test_rows) == (8, 2)
    assert sorted(dataset.test.labels.tolist()) == ["blue", "red"]
    for label, image in zip(dataset.train.labels, pixels(dataset), strict=True):
        assert (image == (RED if label == "red" else BLUE)).all()
    assert dataset.notes == ()


def test_grey_pictures_have_one_value_a_pixel_and_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    for digit in range(11):
        save(tmp_path / str(digit) / "a.png", (digit,) * 3)
        save(tmp_path / str(digit) / "b.jpg", digit, mode="L", quality=100)
    dataset = load_dataset(tmp_path)
    assert dataset.classes == tuple(range(11))
    assert dataset.input_shape == (10, 20)
    assert all((image == label).all() for label, image in zip(dataset.train.labels, pixels(dataset), strict=True))


def test_pictures_of_several_sizes_are_fitted_into_one_upright_and_on_white(tmp_path: Path) -> None:
    gradient = np.zeros((40, 80, 3), np.uint8)
    gradient[:, 40:] = 255
    for index in range(4):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(gradient).save(tmp_path / "a" / f"{index}.png")
        turned = Image.Exif()
        turned[0x0112] = 3  # upside down
        Image.fromarray(gradient[::-1, ::-1]).save(tmp_path / "b" / f"{index}.png", exif=turned) if index else save(
            tmp_path / "b" / "0.png", (255, 0, 0, 0), (50, 50), mode="RGBA"
        )
    dataset = load_dataset(tmp_path, image_size="16")
    assert dataset.input_shape == (16, 16)  # all are grey
    images = np.concatenate([part.x.reshape(-1, 16, 16) for part in (dataset.train, dataset.test)])
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    assert (images[:, 8, 1] < 0.1).sum() == 7
    assert (images[:, 8, 14] > 0.9).all()
    (transparent,) = images[(images[:, 8, 1] > 0.1)]
    assert (transparent == 1.0).all()
    assert set(labels.tolist()) == {"a", "b"}
    # Above and below is the usual color of the border, of which half is black.
    assert set(np.unique(np.rint(images[0][[0, 15]] * 255)).tolist()) <= {0, 127, 128, 255}
    assert any("16 × 16 pixels, grey" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("sizes", "wanted", "shape"),
    [
        ([(64, 48)], None, (48, 64)),
        ([(640, 480)], None, (24, 32)),
        ([(64, 48), (48, 64)], None, (32, 32)),
        ([(64, 48)], "8", (8, 8)),
        ([(64, 48)], "12x9", (9, 12)),
    ],
)
def test_the_size_is_that_of_all_pictures_or_at_most_32(
    tmp_path: Path, sizes: list[tuple[int, int]], wanted: str | None, shape: tuple[int, int]
) -> None:
    for index in range(4):
        save(tmp_path / "a" / f"{index}.png", RED, sizes[index % len(sizes)])
        save(tmp_path / "b" / f"{index}.png", BLUE, sizes[index % len(sizes)])
    assert load_dataset(tmp_path, image_size=wanted).input_shape == (*shape, 3)


def test_sixteen_bits_a_pixel_keep_their_brightness(tmp_path: Path) -> None:
    for name, value in (("dark", 6554), ("light", 58982)):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / name / f"{index}.png")
    dataset = load_dataset(tmp_path)
    expected = {"dark": 0.1, "light": 0.9}
    for label, row in zip(dataset.train.labels.tolist(), dataset.train.x, strict=True):
        np.testing.assert_allclose(row, expected[label], atol=0.003)


def test_strays_empty_classes_and_damaged_pictures_are_left_out_and_named(pictures: Path) -> None:
    (pictures / "Thumbs.db").write_bytes(b"x")
    (pictures / ".DS_Store").write_bytes(b"x")
    (pictures / "red" / "README.txt").write_text("red")
    (pictures / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (pictures / "green").mkdir()
    (pictures / "__MACOSX").mkdir()
    with contextlib.suppress(OSError):  # Windows may not permit links
        (pictures / "around").symlink_to(pictures, target_is_directory=True)
    dataset = load_dataset(pictures)
    assert (dataset.classes, dataset.train_rows + dataset.test_rows) == (("blue", "red"), 10)
    notes = "\n".join(dataset.notes)
    assert "no pictures in 'green', left out" in notes
    assert "left out what are no pictures of a class: 'Thumbs.db', 'red/README.txt'" in notes
    assert re.search(r"a picture left out that cannot be read: \S+broken\.jpg: ", notes)
    with pytest.raises(DataError, match=r"broken\.jpg: "):
        load_dataset(pictures, strict=True)


@pytest.mark.parametrize(
    "names", [("train", "test"), ("Training", "val"), ("seg_train", "seg_test"), ("train", "test", "val")]
)
def test_folders_of_parts_are_used_as_they_are(pictures: Path, names: tuple[str, ...]) -> None:
    whole = pictures.parent / "whole" / "archive"
    whole.mkdir(parents=True)
    pictures.rename(whole / names[0])
    for name in names[1:]:
        save(whole / name / "blue" / "1.png", BLUE)
        save(whole / name / "green" / "1.png", (0, 255, 0))
    save(whole / "other" / "1.png", RED)
    dataset = load_dataset(whole.parent)
    assert (dataset.train_rows, dataset.test.labels.tolist()) == (10, ["blue"])
    assert dataset.validation_rows == len(names) - 2
    assert dataset.validation is None or dataset.with_validation(0.5) is dataset
    notes = "\n".join(dataset.notes)
    assert notes.count("'green' are of no class of the training, left out") == len(names) - 1
    assert "'other' left out" in notes
    with pytest.raises(DataError, match="has test pictures of its own"):
        load_dataset(whole.parent, test_fraction=0.5)


def one_class(pictures: Path) -> None:
    for path in (pictures / "blue" / "inner").iterdir():
        path.unlink()


def flat(pictures: Path) -> None:
    one_class(pictures)
    for path in (pictures / "red").iterdir():
        path.rename(pictures / path.name)


def damaged(pictures: Path) -> None:
    for path in pictures.rglob("*.png"):
        path.write_bytes(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (one_class, {}, r"pictures, but not those of several classes\. Put the pictures of each class into a folder"),
        (flat, {}, r"pictures, but not those of several classes\. Put .*/pictures/cat/1\.jpg"),
        (damaged, {}, "no picture of 'red' can be read"),
        (lambda pictures: save(pictures / "train" / "x.png", RED), {}, "/train: holds pictures, but not their classes"),
        (Path.exists, {"target": "y"}, "holds pictures, so --target cannot be used"),
        (Path.exists, {"image_size": "0"}, "--image-size: '0' is not a size"),
        (Path.exists, {"image_size": "32x"}, "--image-size: '32x' is not a size"),
        (Path.exists, {"image_size": "9999x9999"}, "is not a size of 1 to 1024 pixels"),
    ],
)
def test_what_has_no_classes_and_options_for_other_data_are_refused(
    pictures: Path, change: Callable[[Path], object], options: Any, message: str
) -> None:
    change(pictures)
    with pytest.raises((DataError, SettingsError), match=message):
        load_dataset(pictures, **options)


def test_a_model_prepares_later_pictures_as_its_own_and_is_evaluated_on_those_held_out(
    pictures: Path, tmp_path: Path
) -> None:
    save(pictures / "red" / "large.jpg", RED, (900, 500))
    model, _ = xpmlp.train(str(pictures), recipe=xpmlp.Recipe(hidden_layer_sizes=(), epochs=40, seed=1))
    xpmlp.save_model(tmp_path / "model.safetensors", model)
    loaded = xpmlp.load_model(tmp_path / "model.safetensors")
    assert loaded.image_preprocessor == model.image_preprocessor
    photo = tmp_path / "photo.jpg"
    save(photo, BLUE, (300, 400))
    assert xpmlp.predict(loaded, str(photo)).labels.tolist() == ["blue"]
    held_out = evaluate(loaded, str(pictures))
    assert held_out.confusion.sum() == load_dataset(pictures).test_rows
    for name, color in (("red", RED), ("blue", BLUE)):
        save(tmp_path / "other" / name / "1.png", color, (3, 3))
    report = evaluate(loaded, str(tmp_path / "other"))
    assert (report.confusion.sum(), report.accuracy) == (2, 1.0)


def test_the_plots_of_runs_are_no_pictures_to_train_on(pictures: Path) -> None:
    for name, file in (("first", "model.safetensors"), ("second", "run.json")):
        save(pictures.parent / "runs" / name / "curves.png", RED)
        (pictures.parent / "runs" / name / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
        (pictures.parent / "runs" / name / file).touch()
    for folder, runs in (("runs", "first, .*second"), ("runs/first", "first"), ("runs/second", "second")):
        with pytest.raises(DataError, match=f"holds trained models, not data: .*{runs}. Give data"):
            load_dataset(pictures.parent / folder)
    table = pictures.parent / "runs" / "rows.csv"
    table.write_text("a,y\n1,2\n")
    with pytest.raises(DataError, match=r"is a folder\. Name the table in it, as .*rows.csv"):
        load_dataset(table.parent)
    table.unlink()
    (pictures.parent / "runs").rename(pictures / "runs")  # beside the classes
    dataset = load_dataset(pictures)
    assert dataset.classes == ("blue", "red")
    assert dataset.notes == (f"{pictures}: no pictures in 'runs', left out",)
