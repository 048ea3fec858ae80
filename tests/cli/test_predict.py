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


def draw(path: Path, digit: np.ndarray) -> Path:
    """Save an image of a digit, 0 to 255 and light on dark, as a larger picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(digit).resize((160, 160), Image.Resampling.BICUBIC).save(path)
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


def test_pictures_are_read_in_the_order_of_their_names_without_hidden_ones(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    for label, digit in clear_digits.items():
        draw(Path("pictures", f"{label}.png"), digit)
    for name in (".hidden.png", "folder/c.png"):
        draw(Path("pictures", name), clear_digits[1])
    code, out, err = xpmlp("predict", digits_run, "pictures", "--json")
    assert (code, err) == (0, "")  # no note says that they are unlike the training images
    said = json.loads(out)
    names = (*(f"{label}.png" for label in range(10)), "folder/c.png")
    assert [row["input"] for row in said] == [str(Path("pictures", name)) for name in names]
    assert sum(row["label"] == label for label, row in enumerate(said)) >= 9
    for row in said:
        assert row.keys() == {"input", "row", "label", "probability", "probabilities"}
        assert row["row"] is None
        assert list(row["probabilities"]) == [str(label) for label in range(10)]
        assert sum(row["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][str(row["label"])]
    rows = [line.split() for line in xpmlp("predict", digits_run, "pictures").out.splitlines() if ".png" in line]
    assert rows == [[row["input"], str(row["label"]), f"{100 * row['probability']:.2f}", "%"] for row in said]


@pytest.mark.parametrize(
    ("name", "white", "dtype"),
    [
        ("t10k-images-idx3-ubyte", 16, np.uint8),
        ("t10k-images-idx3-ubyte.gz", 16, np.uint8),
        ("anything.bin", 16, np.float64),
        ("other.idx", 1, np.float32),
        ("other.idx", 255, np.int32),
        ("other.idx", 65535, np.int32),
    ],
)
def test_an_idx_file_is_read_row_by_row_and_scaled_as_in_training(
    xpmlp: Run, digits_run: Path, write_idx: Run, digits_of_16: Digits, name: str, white: int, dtype: Any
) -> None:
    write_idx(Path(name), (digits_of_16[0] / 16 * white).astype(dtype))
    code, out, err = xpmlp("predict", digits_run, name, "--json")
    assert (code, f"divided by {white:g} instead" in err, bool(err)) == (0, white != 16, white != 16)
    said = json.loads(out)
    assert [row["row"] for row in said] == list(range(360))
    expected = predict_samples(load_model(digits_run / "model.safetensors"), load_dataset("digits").test)
    rows = [list(row["probabilities"].values()) for row in said]
    np.testing.assert_allclose(rows, expected.probabilities, atol=1e-5 if white in (1, 16) else 0.03)


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
    out = xpmlp("train", "data", "--epochs", 20, "-o", "run").out
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    (note,) = record["data"]["notes"]
    assert "transposed" in note
    assert f"note: {note}\n" in out

    for name in (
        "emnist-digits-t10k-images-idx3-ubyte",
        "emnist-digits-test-images-idx3-ubyte.gz",
        "t10k-images-idx3-ubyte",
    ):
        stored = images[:60] if name.startswith("t10k") else images[:60].swapaxes(1, 2)
        said = json.loads(xpmlp("predict", "run", write_idx(Path("again", name), stored), "--json").out)
        accuracy = np.mean([row["label"] for row in said] == labels[:60])
        assert accuracy == pytest.approx(record["test_accuracy"])


def test_names_of_files_and_classes_are_printed_as_they_are(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    model = load_model(digits_run / "model.safetensors")
    save_model(Path("named.safetensors"), replace(model, classes=tuple(f"[{label}]" for label in "abcdefghij")))
    names = ["[red]3[-red].png", "a :smile: 🚀.png", "[bold]3.png", "long" * 40 + ".png"]
    if sys.platform == "linux":
        names.append("\udcff3.png")  # a byte that is no Unicode
    for name in names:
        draw(Path("3.png"), clear_digits[3]).rename(name)
    command = ("predict", "named.safetensors", *names)
    out = xpmlp(*command).out
    for name in names:
        assert name.replace("\udcff", "\\udcff") in out
    rows = json.loads(xpmlp(*command, "--json").out)
    assert [(row["input"], row["label"]) for row in rows] == [(name, "[d]") for name in names]
    assert "[a]" in rows[0]["probabilities"]
    err = xpmlp("predict", digits_run, "[red]missing.png", "-o", "[red].csv", status=1).err
    assert err.startswith("Error: [red]missing.png: ")
    assert xpmlp(*command, "-o", "[red].csv").out == f"{len(names)} predictions written to [red].csv\n"
    written = Path("[red].csv").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    assert [line.split(",")[:3] for line in written[1:]] == [[name, "", "[d]"] for name in names]


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


def test_an_output_that_cannot_be_is_refused_before_any_work(refused: Run, empty_folder: Path) -> None:
    Path("folder.csv").mkdir()
    for output, reason in (
        ("said.txt", "said.txt: unknown file type. Name it .csv or .json"),
        ("said", "said: unknown file type"),
        ("no/such/said.csv", f"{Path('no/such')}: no such folder"),
        ("folder.csv", "folder.csv: is a folder"),
    ):
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
    refused: Run, digits_run: Path, write_idx: Run, clear_digits: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("notes.txt").write_bytes(b"hello\x00")
    Path("empty.png").touch()
    Path("notes.gz").write_bytes(gzip.compress(b"hello\x00"))
    Path("empty/folder").mkdir(parents=True)
    nan = np.zeros((5, 8, 8))
    nan[3, 2, 6] = np.nan
    ranges = {"large.idx": np.full((5, 8, 8), 1e12), "small.idx": np.full((5, 8, 8), 0.0625)}
    arrays = {"other.idx": np.full((3, 28, 28), 9, np.uint8), "none.idx": np.empty((0, 8, 8), np.uint8), "nan.idx": nan}
    for name, array in (arrays | ranges | {"t10k-labels-idx1-ubyte": np.arange(9, dtype=np.uint8)}).items():
        write_idx(Path(name), array)
    for length, name in ((3, "t10k-images-idx3-ubyte"), (200, "train-images-idx3-ubyte")):  # known by their names
        Path(name).write_bytes(Path("other.idx").read_bytes()[:length])
    of_range = "its largest value is {}, but the model was trained on values up to 16"  # a range that no image has
    for path, *words in (
        ("missing.png", "no such file"),
        ("long" * 100,),
        ("notes.txt", "PNG"),
        ("empty.png", "the file is empty"),
        ("notes.gz", "not an IDX file"),
        ("empty", "no files"),
        ("other.idx", "shape 28 × 28,", "8 × 8"),
        ("none.idx", "(0, 8, 8)"),
        ("nan.idx", "row 3, pixel row 2, pixel column 6"),
        ("large.idx", of_range.format("1e+12")),
        ("small.idx", of_range.format("0.0625")),
        ("t10k-labels-idx1-ubyte", "mixed up"),
        ("t10k-images-idx3-ubyte", "IDX"),
        ("train-images-idx3-ubyte", "opy it again"),
    ):
        refused(("predict", digits_run, path), path, *words)

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    refused(("predict", digits_run, "empty"), "empty", "Permission denied")
    draw(Path("7.png"), clear_digits[7])
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
    refused(("predict", digits_run, "7.png"), 'pip install "xpmlp[cli]"')


def test_a_model_of_rows_is_not_shown_pictures_but_reads_rows(
    xpmlp: Run, refused: Run, digits_run: Path, write_idx: Run, clear_digits: dict[int, np.ndarray]
) -> None:
    model = load_model(digits_run / "model.safetensors")
    save_model(Path("rows.safetensors"), replace(model, input_shape=(64,), image_preprocessor=None))
    draw(Path("7.png"), clear_digits[7])
    refused(("predict", "rows.safetensors", "7.png"), "7.png", "not trained on images", "shape 64")
    write_idx(Path("rows.idx"), np.round(clear_digits[7].reshape(1, 64) / 255 * 16).astype(np.uint8))
    assert json.loads(xpmlp("predict", "rows.safetensors", "rows.idx", "--json").out)[0]["label"] == 7


# Several marks, and what the model has never seen


def test_each_mark_in_a_picture_is_answered_from_left_to_right(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    sheet = Image.new("L", (520, 220))
    for place, label in enumerate((3, 1, 4)):
        digit = Image.fromarray(clear_digits[label]).resize((120, 120), Image.Resampling.BICUBIC)
        sheet.paste(digit, (40 + 160 * place, 50))
    sheet.save("pi.png")
    _, out, err = xpmlp("predict", digits_run, "pi.png", "--json", "--show", "seen.png")
    assert "pi.png: shows 3 marks, from left to right: 3 1 4. With --single they are one." in err
    assert [(row["row"], row["label"]) for row in json.loads(out)] == [(0, 3), (1, 1), (2, 4)]
    shown = np.asarray(Image.open("seen.png").convert("L"))
    assert shown.shape[1] > 3 * 168  # the picture, and an input for each mark
    xpmlp("predict", digits_run, "pi.png", "--show", "seen.png", status=1)  # never replaced unasked

    _, out, err = xpmlp("predict", digits_run, "pi.png", "--json", "--single")
    assert len(json.loads(out)) == 1
    assert "marks" not in err


def test_few_of_the_test_images_are_unlike_those_of_the_training_and_an_even_grey_is(digits_run: Path) -> None:
    model = load_model(digits_run / "model.safetensors")
    said = unfamiliar(model, load_dataset("digits").test.x, NumpyBackend())
    assert 0 < said.mean() <= 0.03
    assert unfamiliar(model, np.full((1, 64), 0.3, np.float32), NumpyBackend()).all()
