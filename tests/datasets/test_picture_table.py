"""Pictures whose classes are in a table train by the table's name, or by that of the folder that holds both."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xpmlp
from xpmlp.datasets import ByteSplit, Dataset, load_dataset
from xpmlp.errors import DataError, SettingsError
from xpmlp.inspection import inspect_data
from xpmlp.training import Report

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
pytest.importorskip("polars", reason="tables need Polars")

SHADES = {"apple": 40, "pear": 120, "plum": 200}


def shade(number: int) -> int:
    """The grey of a picture, which tells its class and its number."""
    return [*SHADES.values()][number % 3] + number


def save(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (9, 8), shade(number)).save(path, quality=100)


def labelled(folder: Path, table: str, name: Callable[[int], str], file: Callable[[int], str], header: str) -> Path:
    """Thirty pictures, and a table that names and labels them."""
    for number in range(30):
        save(folder / file(number), number)
    rows = [f"{name(number)},{[*SHADES][number % 3]}" for number in range(30)]
    (folder / table).parent.mkdir(parents=True, exist_ok=True)
    (folder / table).write_text("\n".join([header, *rows, ""]))
    return folder / table


def check_labels(dataset: Dataset, classes: tuple[str, ...] = ("apple", "pear", "plum")) -> None:
    """Check that each picture has the class of its grey."""
    assert dataset.classes == classes
    for part in (dataset.train, dataset.test):
        assert isinstance(part, ByteSplit)
        greys = part.stored[:, 0].astype(int)
        expected = [[*SHADES][int(grey >= 120) + int(grey >= 200)] for grey in greys]
        assert part.labels.tolist() == expected


@pytest.mark.parametrize(
    ("table", "name", "file", "header"),
    [
        pytest.param("train.csv", "{:03}.png", "images/{:03}.png", "image,label", id="in_a_folder_beside"),
        pytest.param("labels.csv", "{:x}ab", "train/{:x}ab.jpg", "id,breed", id="ids_without_suffix"),
        pytest.param("labels.csv", "{}", "{}.png", "id,breed", id="numbers_beside_the_table"),
        pytest.param("a.csv", "some/{}.png", "images/some/{}.png", "path,class", id="names_with_folders"),
        pytest.param("a.csv", "{}.png", "IMAGES/{}.PNG", "file,y", id="upper_case_suffix"),
        pytest.param("labels/a.csv", "../all/{}.png", "all/{}.png", "file,y", id="table_in_another_folder"),
        pytest.param("a.csv", "{}.png", "more/deep/{}.png", "file,kind of fruit", id="two_folders_below"),
    ],
)
def test_each_picture_that_a_table_names_has_the_class_in_its_row(
    tmp_path: Path, table: str, name: str, file: str, header: str
) -> None:
    path = labelled(tmp_path, table, name.format, file.format, header)
    dataset = load_dataset(path)
    check_labels(dataset)
    assert (dataset.train_rows, dataset.test_rows, dataset.input_shape) == (24, 6, (8, 9))
    column, target = header.split(",")
    assert dataset.notes == (f"the inputs are the pictures that {column!r} names, the classes are in {target!r}",)
    assert dataset.provenance is not None
    assert dataset.provenance.options["target"] == target
    inspection = inspect_data(path)
    assert (inspection.target, len(inspection.classes), inspection.image_shape) == (target, 3, (8, 9))
    if path.parent == tmp_path:  # else the folder holds pictures, and no table
        check_labels(load_dataset(tmp_path))


def test_a_competitions_folder_trains_and_its_test_table_is_predicted_row_by_row(tmp_path: Path) -> None:
    labelled(tmp_path, "train.csv", "{}.png".format, "train/{}.png".format, "id,label")
    for number in range(7):  # also names of training pictures
        save(tmp_path / "test" / f"{number}.png", number + 1)
    (tmp_path / "sample_submission.csv").write_text("id,label\n" + "".join(f"{n}.png,apple\n" for n in range(7)))
    (tmp_path / "test.csv").write_text("id\n" + "".join(f"{n}.png\n" for n in (3, 1, 4)))
    model, _ = xpmlp.train(tmp_path, epochs=150, verbose=False)
    assert model.training["test_accuracy"] == 1.0
    fruits = [*SHADES]
    assert xpmlp.predict(model, tmp_path / "test.csv").labels.tolist() == [fruits[n % 3] for n in (4, 2, 5)]
    report = xpmlp.evaluate(model, tmp_path)
    assert isinstance(report, Report)
    assert (report.confusion.sum(), report.accuracy) == (6, 1.0)
    inspection = inspect_data(tmp_path)
    assert [(found.label, found.rows) for found in inspection.classes] == [(fruit, 10) for fruit in fruits]
    assert inspection.image_shape == (8, 9)
    moved = shutil.move(tmp_path / "train", tmp_path / "fruits")
    others = xpmlp.evaluate(model, tmp_path / "train.csv")  # not the folder that it was trained on
    assert isinstance(others, Report)
    assert others.confusion.sum() == 30, moved


def test_tables_of_parts_are_the_parts(tmp_path: Path) -> None:
    for part, first in (("train", 0), ("test", 10), ("val", 20)):
        labelled(tmp_path, f"{part}.csv", f"{part}/{{}}.png".format, f"images/{part}/{{}}.png".format, "file,label")
        rows = (tmp_path / f"{part}.csv").read_text().splitlines()
        (tmp_path / f"{part}.csv").write_text("\n".join([rows[0], *rows[1 + first : 11 + first]]))
    dataset = load_dataset(tmp_path)
    assert (dataset.train_rows, dataset.test_rows, dataset.validation_rows) == (10, 10, 10)
    check_labels(dataset)
    with pytest.raises(DataError, match="has test pictures of its own"):
        load_dataset(tmp_path, test_fraction=0.5)
    (tmp_path / "train.csv").rename(tmp_path / "other.csv")
    with pytest.raises(DataError, match=r"several tables in it name pictures: .*other.csv.* Give one of them"):
        load_dataset(tmp_path)


def test_what_cannot_be_used_is_left_out_with_a_note_and_refused_if_strict(tmp_path: Path) -> None:
    path = labelled(tmp_path, "fruits.csv", "{}.png".format, "images/{}.png".format, "image,fruit")
    (tmp_path / "images" / "0.png").unlink()
    (tmp_path / "images" / "1.png").write_bytes(b"damaged")
    save(tmp_path / "images" / "not named.png", 1)
    path.write_text(path.read_text().replace("2.png,plum", "2.png,", 1) + "3.png,pear\n4.png,pear\n")
    dataset = load_dataset(path)
    check_labels(dataset)
    assert dataset.train_rows + dataset.test_rows == 26
    assert dataset.notes[0].endswith("; 1 picture without a row in the table left out")
    assert dataset.notes[1:4] == (
        "left out 1 row whose picture is not there: '0.png'",
        "left out 1 row without a value in 'fruit'",
        f"left out 1 picture of several classes: '{tmp_path}/images/3.png'",
    )
    assert "a picture left out that cannot be read" in dataset.notes[4]
    with pytest.raises(DataError, match=r"fruits.csv: 1 row whose picture is not there: '0.png'. Add them"):
        load_dataset(path, strict=True)


@pytest.fixture
def fruits(tmp_path: Path) -> Path:
    """Named pictures with two more columns."""
    path = labelled(tmp_path, "fruits.csv", "{}.png".format, "images/{}.png".format, "image,fruit")
    ends = [",weight,size", *(f",{number / 7},{number % 5}" for number in range(30))]
    path.write_text("\n".join(map(str.__add__, path.read_text().splitlines(), ends)))
    return path


def test_other_columns_are_left_out_or_take_the_place_of_the_pictures(fruits: Path) -> None:
    dataset = load_dataset(fruits, target="fruit")
    check_labels(dataset)
    assert dataset.notes[0].endswith("; other columns are left out: --exclude image takes these instead")
    for options in ({"target": "fruit", "exclude": "image"}, {"target": "fruit", "features": ("weight", "size")}):
        assert load_dataset(fruits, **options).input_shape == (2,)
    assert load_dataset(fruits, target="weight").task == "regression"  # of the columns beside the names


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (["image", "weight"], {}, "'weight' is a number, and only classes can be learned from the pictures"),
        (["image", "fruit"], {"categories": "image"}, "holds pictures, so --categories cannot be used"),
        (["image", "fruit"], {"memory": "2GB"}, "holds pictures, so --memory cannot be used"),
        (["image", "fruit", "size"], {}, "'image' names the pictures. Name the column of their classes with --target"),
    ],
)
def test_what_does_not_fit_is_refused(fruits: Path, columns: list[str], options: Any, message: str) -> None:
    rows = [
        dict(zip(["image", "fruit", "weight", "size"], row.split(","), strict=True))
        for row in fruits.read_text().split()
    ]
    fruits.write_text("\n".join(",".join(row[name] for name in columns) for row in rows))
    with pytest.raises((DataError, SettingsError), match=message):
        load_dataset(fruits if len(columns) == 2 else fruits.parent, **options)


def test_a_table_whose_pictures_are_elsewhere_is_refused(tmp_path: Path) -> None:
    path = labelled(tmp_path, "a/train.csv", "{}.png".format, "images/{}.png".format, "image,label")
    with pytest.raises(DataError, match=r"'image' names pictures, such as '0.png', but they are not beside the table"):
        load_dataset(path)
