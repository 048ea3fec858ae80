import csv
import gzip
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from xpmlp import load_dataset, load_model, save_model
from xpmlp import predict as predict_samples
from xpmlp.backends import NumpyBackend
from xpmlp.training.prediction import unfamiliar

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("no_pictures")
Digits = tuple[np.ndarray, np.ndarray]


def draw(path: Path, digit: np.ndarray, style: str = "light on dark", side: int = 160) -> Path:
    """Save an image of a digit, 0 to 255 and light on dark, as a picture of some kind and size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    grey = np.asarray(picture)
    if style == "dark on light":
        picture = Image.fromarray(255 - grey)
    elif style == "color":
        picture = Image.fromarray(np.stack([255 - grey // 2, 255 - grey, np.full_like(grey, 255)], axis=-1))
    elif style == "transparent":
        picture = Image.fromarray(np.stack([np.zeros_like(grey)] * 3 + [grey], axis=-1))
    picture.save(path)
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture(scope="session")
def clear_digits(digit_images: Digits, digits_run: Path) -> dict[int, np.ndarray]:
    """Of each class, the test image that the model is surest of."""
    images, labels = digit_images
    test = load_dataset("digits").test
    prediction = predict_samples(load_model(digits_run / "model.safetensors"), test)
    sure = np.where(prediction.labels == labels, prediction.probabilities.max(axis=1), 0.0)
    return {label: images[np.argmax(np.where(labels == label, sure, -1.0))] for label in range(10)}


# What is recognised


@pytest.mark.parametrize(
    ("style", "suffix"),
    [("light on dark", ".png"), ("dark on light", ".jpg"), ("color", ".png"), ("transparent", ".webp")],
)
def test_pictures_of_digits_are_read_whatever_they_look_like(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray], style: str, suffix: str
) -> None:
    paths = [draw(Path(f"{label}{suffix}"), digit, style) for label, digit in clear_digits.items()]
    code, out, err = xpmlp("predict", digits_run, *paths, "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert [row["input"] for row in said] == [str(path) for path in paths]
    assert sum(row["label"] == label for label, row in enumerate(said)) >= 9
    for row in said:
        assert row.keys() == {"input", "row", "label", "probability", "probabilities"}
        assert row["row"] is None
        assert list(row["probabilities"]) == [str(label) for label in range(10)]
        assert sum(row["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][str(row["label"])]


def test_a_folder_is_read_in_the_order_of_its_names_without_what_is_hidden(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    for name, label in (("b.png", 6), ("a.png", 0), (".hidden.png", 1), ("folder/c.png", 1)):
        draw(Path("pictures", name), clear_digits[label])
    code, out, err = xpmlp("predict", digits_run, "pictures")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if ".png" in line]
    names = [str(Path("pictures", name)) for name in ("a.png", "b.png", "folder/c.png")]
    assert [row[:2] for row in rows] == [[name, label] for name, label in zip(names, "061", strict=True)]
    assert all(row[2].partition(".")[0].isdecimal() for row in rows)


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz", "anything.bin", "floats.idx"])
def test_an_idx_file_is_read_row_by_row(
    xpmlp: Run, digits_run: Path, write_idx: Run, digits_of_16: Digits, name: str
) -> None:
    images, labels = digits_of_16
    write_idx(Path(name), images.astype(np.float64) if name == "floats.idx" else images)
    code, out, err = xpmlp("predict", digits_run, name, "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert [row["row"] for row in said] == list(range(len(images)))
    expected = predict_samples(load_model(digits_run / "model.safetensors"), load_dataset("digits").test)
    assert [row["label"] for row in said] == expected.labels.tolist()
    assert np.mean([row["label"] for row in said] == labels) > 0.95
    rows = [list(row["probabilities"].values()) for row in said]
    np.testing.assert_allclose(rows, expected.probabilities, atol=1e-5)


def test_the_name_of_a_dataset_stands_for_its_rows(xpmlp: Run, refused: Any, digits_run: Path) -> None:
    model = load_model(digits_run / "model.safetensors")
    code, out, err = xpmlp("predict", digits_run, "digits", "--json")
    expected = predict_samples(model, load_dataset("digits").test).labels.tolist()
    assert (code, err) == (0, "")
    assert [row["label"] for row in json.loads(out)] == expected
    refused(["predict", digits_run, "iris"], "iris: has 5 columns, but the model was trained on 64")
    xpmlp("train", "diabetes", "--epochs", 1, "-o", "diabetes")  # a run of that name is no picture
    xpmlp("predict", "diabetes", "diabetes", "-o", "rows.csv")
    assert len(read_csv(Path("rows.csv"))) == 442
    refused(
        ["evaluate", "diabetes", "digits"], "digits", "8 × 8, but the model was trained on a table with the columns"
    )
    refused(["predict", "diabetes", "."], ".: is a folder. Name the table in it, as rows.csv")
    refused(["predict", digits_run, digits_run], f"{digits_run}: holds trained models, not data")


def test_values_that_csv_cannot_hold_are_written_as_json(xpmlp: Run) -> None:
    table = pl.DataFrame(
        {"a": [0.0, 1.0] * 20, "tags": [["a", "b"], []] * 20, "raw": [b"1", None] * 20, "y": ["u", "v"] * 20}
    )
    table.write_parquet("table.parquet")
    assert xpmlp("train", "table.parquet", "--target", "y", "--epochs", 1, "-o", "run").code == 0
    assert xpmlp("predict", "run", "table.parquet", "-o", "rows.csv").code == 0
    assert [json.loads(row["tags"]) for row in read_csv(Path("rows.csv"))] == table["tags"].to_list()


def test_a_number_predicted_from_a_picture_is_shown(xpmlp: Run) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    np.save("x.npy", images)
    np.save("y.npy", images.mean(axis=(1, 2)).astype(np.float32) + 0.25)
    xpmlp("train", "x.npy", "--target", "y.npy", "--epochs", 1, "-o", "run")
    Image.fromarray(images[0]).save("one.png")
    out = xpmlp("predict", "run", "one.png", "--single").out
    xpmlp("predict", "run", "one.png", "--single", "-o", "one.csv")
    (row,) = read_csv(Path("one.csv"))
    assert row["prediction"] in out


def test_emnists_images_are_set_upright_as_they_were_for_training(
    xpmlp: Run, write_idx: Run, write_idx_folder: Run, digit_images: Digits
) -> None:
    """A picture, which is upright, and the transposed file it was stored in are taken for the same."""
    images, labels = digit_images
    write_idx_folder(Path("data"), images.swapaxes(1, 2), labels, prefix="emnist-digits-", test_rows=60)
    xpmlp("train", "data", "--epochs", 20, "-o", "run")
    accuracy = json.loads(Path("run/run.json").read_text(encoding="utf-8"))["test_accuracy"]

    for name in ("emnist-digits-t10k-images-idx3-ubyte", "emnist-digits-test-images-idx3-ubyte.gz"):
        path = write_idx(Path("again", name), images[:60].swapaxes(1, 2))
        said = json.loads(xpmlp("predict", "run", path, "--json").out)
        assert np.mean([row["label"] for row in said] == labels[:60]) == pytest.approx(accuracy)
    upright = write_idx(Path("t10k-images-idx3-ubyte"), images[:60])
    said = json.loads(xpmlp("predict", "run", upright, "--json").out)
    assert np.mean([row["label"] for row in said] == labels[:60]) == pytest.approx(accuracy)


def test_names_of_files_are_printed_as_they_are(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    names = ["[red]3[-red].png", "a :smile: 🚀.png", "[bold]3.png", "long" * 40 + ".png"]
    for name in names:
        draw(Path(name), clear_digits[3])
    out = xpmlp("predict", digits_run, *names).out
    for name in names:
        assert name in out
    assert [row["input"] for row in json.loads(xpmlp("predict", digits_run, *names, "--json").out)] == names

    err = xpmlp("predict", digits_run, "[red]missing.png", "-o", "[red].csv", status=1).err
    assert err.startswith("Error: [red]missing.png: ")
    out = xpmlp("predict", digits_run, *names, "-o", "[red].csv").out
    assert out == "4 predictions written to [red].csv\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only there a name may be any bytes")
def test_a_name_that_is_no_unicode_is_no_obstacle(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    draw(Path("3.png"), clear_digits[3]).rename(Path("\udcff3.png"))
    assert "\\udcff3.png" in xpmlp("predict", digits_run, "\udcff3.png").out
    assert json.loads(xpmlp("predict", digits_run, "\udcff3.png", "--json").out)[0]["input"] == "\udcff3.png"
    xpmlp("predict", digits_run, "\udcff3.png", "-o", "p.csv")
    assert b"\xff3.png,,3," in Path("p.csv").read_bytes()


def test_a_terminal_is_not_flooded(
    xpmlp: Run, digits_run: Path, write_idx: Run, digits_of_16: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(Path("images.idx"), digits_of_16[0])
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes no terminal of a file
    assert "images.idx[359]" in xpmlp("predict", digits_run, "images.idx").out
    monkeypatch.setattr("xpmlp.cli.console.writes_to_terminal", lambda console: True)
    out = xpmlp("predict", digits_run, "images.idx").out
    assert "images.idx[39]" in out
    assert "images.idx[40]" not in out
    assert "and 320 more; --output FILE writes all of them" in out


# Writing to a file


def test_a_file_holds_each_sample_and_is_replaced_only_by_force(
    xpmlp: Run, refused: Run, digits_run: Path, write_idx: Run, clear_digits: dict[int, np.ndarray]
) -> None:
    draw(Path("a,b.png"), clear_digits[7])
    write_idx(Path("two.idx"), np.round(np.stack([clear_digits[2], clear_digits[5]]) / 255 * 16).astype(np.uint8))
    inputs = ("predict", digits_run, "a,b.png", "two.idx")
    assert xpmlp(*inputs, "--output", "said.csv") == (0, "3 predictions written to said.csv\n", "")
    rows = read_csv(Path("said.csv"))
    assert [(row["input"], row["row"], row["label"]) for row in rows] == [
        ("a,b.png", "", "7"),
        ("two.idx", "0", "2"),
        ("two.idx", "1", "5"),
    ]
    assert all(0.5 < float(row["probability"]) <= 1.0 for row in rows)

    one = ("predict", digits_run, "a,b.png")
    assert xpmlp(*one, "-o", "said.JSON").out == "1 prediction written to said.JSON\n"
    assert Path("said.JSON").read_text(encoding="utf-8") == xpmlp(*one, "--json").out
    refused((*one, "-o", "said.csv"), "said.csv: already exists", "--force")
    assert len(read_csv(Path("said.csv"))) == 3
    xpmlp(*one, "-o", "said.csv", "--force")
    assert len(read_csv(Path("said.csv"))) == 1


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("said.txt", "said.txt: unknown file type. Name it .csv or .json"),
        ("said", "said: unknown file type"),
        ("no/such/said.csv", f"{Path('no/such')}: no such folder"),
        ("folder.csv", "folder.csv: is a folder"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(
    refused: Run, empty_folder: Path, output: str, reason: str
) -> None:
    Path("folder.csv").mkdir()
    for force in ((), ("--force",)):
        refused(("predict", "no model", "no picture", "-o", output, *force), reason)
    assert [path.name for path in empty_folder.iterdir()] == ["folder.csv"]


# What cannot be read


def test_what_can_be_read_is_not_lost_to_what_cannot(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    """A folder of a thousand pictures holds a note or a blank page."""
    draw(Path("pictures/1.png"), clear_digits[7])
    Path("pictures/2.txt").write_text("hello", encoding="utf-8")
    Image.new("L", (50, 50), 255).save("pictures/3.png")
    draw(Path("pictures/4.png"), clear_digits[2])
    _, out, err = xpmlp("predict", digits_run, "pictures", "missing.png", "--json", status=1)
    assert [(Path(row["input"]).name, row["label"]) for row in json.loads(out)] == [("1.png", 7), ("4.png", 2)]
    said = err.splitlines()
    assert len(said) == 3
    assert said[0] == "note: pictures: left out what are no pictures: '2.txt'"
    for line, name in zip(said[1:], ("3.png", "missing.png"), strict=True):
        assert line.startswith("Error: ")
        assert name in line

    out = xpmlp("predict", digits_run, "pictures", "-o", "said.csv", status=1).out
    assert out == "2 predictions written to said.csv\n"


def test_what_is_no_input_is_refused_with_its_name(
    refused: Run, digits_run: Path, write_idx: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(path: str, *words: str) -> None:
        refused(("predict", digits_run, path), path, *words)

    check("missing.png", "no such file")
    Path("notes.txt").write_bytes(b"hello\x00")
    check("notes.txt", "PNG")
    Path("empty.png").touch()
    check("empty.png", "the file is empty")
    Path("notes.gz").write_bytes(gzip.compress(b"hello\x00"))
    check("notes.gz", "not an IDX file")
    for shape in (3, 28, 28), (3, 64), (3, 8, 8, 1):
        write_idx(Path("other.idx"), np.full(shape, 9, np.uint8))
        check("other.idx", f"shape {' × '.join(map(str, shape[1:]))},", "8 × 8")
    write_idx(Path("none.idx"), np.empty((0, 8, 8), np.uint8))
    check("none.idx", "(0, 8, 8)")
    write_idx(Path("t10k-labels-idx1-ubyte"), np.arange(9, dtype=np.uint8))
    check("t10k-labels-idx1-ubyte", "mixed up")
    whole = write_idx(Path("t10k-images-idx3-ubyte"), np.full((5, 8, 8), 9, np.uint8)).read_bytes()
    for length in (0, 3, 10, 200):  # known by its name
        Path("t10k-images-idx3-ubyte").write_bytes(whole[:length])
        check("t10k-images-idx3-ubyte", "IDX" if length < 4 else "opy it again")
    Path("empty/folder").mkdir(parents=True)
    check("empty", "no files")

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    check("empty", "Permission denied")


RANGE = "its largest value is {}, but the model was trained on values up to 16"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((3, 2, 6), np.nan, "row 3, pixel row 2, pixel column 6"),
        ((3, 2, 6), np.inf, "row 3, pixel row 2, pixel column 6"),
        (..., 1e12, RANGE.format("1e+12")),  # a range that no kind of image has
        (..., 0.0625, RANGE.format("0.0625")),
    ],
)
def test_values_that_no_image_has_are_refused(
    refused: Run, digits_run: Path, write_idx: Run, place: Any, value: float, message: str
) -> None:
    images = np.zeros((5, 8, 8))
    images[place] = value
    write_idx(Path("bad.idx"), images)
    refused(("predict", digits_run, "bad.idx"), "bad.idx", message)


def test_a_model_of_rows_is_not_shown_pictures_but_reads_rows(
    xpmlp: Run, refused: Run, digits_run: Path, write_idx: Run, clear_digits: dict[int, np.ndarray]
) -> None:
    model = load_model(digits_run / "model.safetensors")
    save_model(Path("rows.safetensors"), replace(model, input_shape=(64,), image_preprocessor=None))
    draw(Path("7.png"), clear_digits[7])
    refused(("predict", "rows.safetensors", "7.png"), "7.png", "not trained on images", "shape 64")
    write_idx(Path("rows.idx"), np.round(clear_digits[7].reshape(1, 64) / 255 * 16).astype(np.uint8))
    assert json.loads(xpmlp("predict", "rows.safetensors", "rows.idx", "--json").out)[0]["label"] == 7


def test_without_pillow_the_remedy_is_said(
    refused: Run, digits_run: Path, clear_digits: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(Path("7.png"), clear_digits[7])
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
    refused(("predict", digits_run, "7.png"), 'pip install "xpmlp[cli]"')


def test_classes_that_are_names_are_answered_by_name(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    model = load_model(digits_run / "model.safetensors")
    save_model(Path("named.safetensors"), replace(model, classes=tuple(f"[{label}]" for label in "abcdefghij")))
    draw(Path("7.png"), clear_digits[7])
    (row,) = json.loads(xpmlp("predict", "named.safetensors", "7.png", "--json").out)
    assert row["label"] == "[h]"
    assert "[a]" in row["probabilities"]
    assert "[h]" in xpmlp("predict", "named.safetensors", "7.png").out


# Several marks, and what the model has never seen


def three_in_a_row(clear_digits: dict[int, np.ndarray], labels: tuple[int, ...] = (3, 1, 4)) -> Image.Image:
    """Digits side by side on a sheet."""
    sheet = Image.new("L", (160 * len(labels) + 40, 220))
    for place, label in enumerate(labels):
        digit = Image.fromarray(clear_digits[label]).resize((120, 120), Image.Resampling.BICUBIC)
        sheet.paste(digit, (40 + 160 * place, 50))
    return sheet


def test_each_mark_in_a_picture_is_answered_from_left_to_right(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    three_in_a_row(clear_digits).save("pi.png")
    _, out, err = xpmlp("predict", digits_run, "pi.png", "--json", "--show", "seen.png")
    assert "pi.png: shows 3 marks, from left to right: 3 1 4. With --single they are one." in err
    assert [(row["row"], row["label"]) for row in json.loads(out)] == [(0, 3), (1, 1), (2, 4)]
    shown = np.asarray(Image.open("seen.png").convert("L"))
    assert shown.shape[1] > 3 * 168  # the picture, and an input for each mark
    xpmlp("predict", digits_run, "pi.png", "--show", "seen.png", status=1)  # never replaced unasked

    _, out, err = xpmlp("predict", digits_run, "pi.png", "--json", "--single")
    assert len(json.loads(out)) == 1
    assert "marks" not in err


def test_what_is_unlike_the_training_images_is_noted_and_what_is_like_them_is_not(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    paths = [draw(Path(f"{label}.png"), digit) for label, digit in clear_digits.items()]
    assert "unlike" not in xpmlp("predict", digits_run, *paths).err
    model = load_model(digits_run / "model.safetensors")
    test = load_dataset("digits").test
    said = unfamiliar(model, test.x, NumpyBackend())
    assert 0 < said.mean() <= 0.03
    assert unfamiliar(model, np.full((1, 64), 0.3, np.float32), NumpyBackend()).all()  # an even grey


@pytest.mark.parametrize(("white", "dtype"), [(1.0, np.float32), (255, np.int32), (65535, np.int32)])
def test_images_of_another_kind_are_scaled_like_those_of_training(
    xpmlp: Run, digits_run: Path, write_idx: Run, digits_of_16: Digits, white: float, dtype: Any
) -> None:
    images, labels = digits_of_16
    write_idx(Path("images.idx"), (images / 16 * white).astype(dtype))
    _, out, err = xpmlp("predict", digits_run, "images.idx", "--json")
    assert f"divided by {white:g} instead" in err
    assert np.mean([row["label"] for row in json.loads(out)] == labels) > 0.95
