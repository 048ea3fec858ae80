import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xpmlp import RECIPES, load_dataset, load_model, save_model, train
from xpmlp import predict as predict_samples

Run = Callable[..., Any]
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
    prediction = predict_samples(load_model(digits_run / "model.safetensors"), test.x)
    sure = np.where(prediction.labels == labels, prediction.probabilities.max(axis=1), 0.0)
    return {label: images[np.argmax(np.where(labels == label, sure, -1.0))] for label in range(10)}


# What is recognised


@pytest.mark.parametrize("style", ["light on dark", "dark on light", "color", "transparent"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_of_digits_are_read_whatever_they_look_like(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray], style: str, suffix: str
) -> None:
    suffix = ".webp" if (style, suffix) == ("transparent", ".jpg") else suffix
    paths = [draw(Path(f"{label}{suffix}"), digit, style) for label, digit in clear_digits.items()]
    code, out, err = xpmlp("predict", digits_run, *paths, "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert [row["input"] for row in said] == [str(path) for path in paths]
    assert sum(row["label"] == label for label, row in enumerate(said)) >= 9


def test_json_holds_every_classs_probability(xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]) -> None:
    paths = [draw(Path(f"{label}.png"), clear_digits[label]) for label in (3, 8)]
    for row in json.loads(xpmlp("predict", digits_run, *paths, "--json").out):
        assert row.keys() == {"input", "row", "label", "probability", "probabilities"}
        assert row["row"] is None
        assert list(row["probabilities"]) == [str(label) for label in range(10)]
        assert sum(row["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][str(row["label"])]


def test_the_table_has_a_row_for_each_picture(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    for label in (0, 6):
        draw(Path(f"pictures/{label}.png"), clear_digits[label])
    code, out, err = xpmlp("predict", digits_run, "pictures")
    assert (code, err) == (0, "")
    for label in (0, 6):
        (line,) = (line for line in out.splitlines() if str(Path(f"pictures/{label}.png")) in line)
        assert line.split()[1] == str(label)
        assert line.split()[2].partition(".")[0].isdecimal()


def test_a_folder_is_read_in_the_order_of_its_names_without_what_is_hidden(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]
) -> None:
    for name in ("b.png", "a.png", ".hidden.png", "folder/c.png"):
        draw(Path("pictures", name), clear_digits[1])
    said = json.loads(xpmlp("predict", digits_run, "pictures", "--json").out)
    assert [Path(row["input"]).name for row in said] == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz", "anything.bin"])
def test_an_idx_file_is_read_row_by_row(
    xpmlp: Run, digits_run: Path, write_idx: Run, digit_images: Digits, name: str
) -> None:
    images, labels = digit_images
    write_idx(Path(name), np.round(images / 255 * 16).astype(np.uint8))
    code, out, err = xpmlp("predict", digits_run, name, "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert [row["row"] for row in said] == list(range(len(images)))
    expected = predict_samples(load_model(digits_run / "model.safetensors"), load_dataset("digits").test.x)
    assert [row["label"] for row in said] == expected.labels.tolist()
    assert np.mean([row["label"] for row in said] == labels) > 0.95
    rows = [list(row["probabilities"].values()) for row in said]
    np.testing.assert_allclose(rows, expected.probabilities, atol=1e-5)


def test_a_floating_point_idx_file_is_read(xpmlp: Run, digits_run: Path, write_idx: Run, digit_images: Digits) -> None:
    images, labels = digit_images
    write_idx(Path("images.idx"), (images / 255 * 16).astype(np.float64))
    said = json.loads(xpmlp("predict", digits_run, "images.idx", "--json").out)
    assert np.mean([row["label"] for row in said] == labels) > 0.95


def test_emnists_images_are_set_upright_as_they_were_for_training(
    xpmlp: Run, no_pictures: None, write_idx: Run, write_idx_folder: Run, digit_images: Digits
) -> None:
    """A picture, which is upright, and the transposed file it was stored in are taken for the same."""
    images, labels = digit_images
    write_idx_folder(Path("data"), images.swapaxes(1, 2), labels, prefix="emnist-digits-", test_rows=60)
    assert xpmlp("train", "data", "--epochs", 20, "-o", "run").code == 0
    accuracy = json.loads(Path("run/run.json").read_text(encoding="utf-8"))["test_accuracy"]

    for name in ("emnist-digits-t10k-images-idx3-ubyte", "emnist-digits-test-images-idx3-ubyte.gz"):
        path = write_idx(Path("again", name), images[:60].swapaxes(1, 2))
        said = json.loads(xpmlp("predict", "run", path, "--json").out)
        assert np.mean([row["label"] for row in said] == labels[:60]) == pytest.approx(accuracy)
    upright = write_idx(Path("t10k-images-idx3-ubyte"), images[:60])
    said = json.loads(xpmlp("predict", "run", upright, "--json").out)
    assert np.mean([row["label"] for row in said] == labels[:60]) == pytest.approx(accuracy)


def test_pictures_and_idx_files_may_be_mixed(
    xpmlp: Run, digits_run: Path, write_idx: Run, clear_digits: dict[int, np.ndarray]
) -> None:
    draw(Path("7.png"), clear_digits[7])
    write_idx(Path("two.idx"), np.round(np.stack([clear_digits[2], clear_digits[5]]) / 255 * 16).astype(np.uint8))
    said = json.loads(xpmlp("predict", digits_run, "7.png", "two.idx", "--json").out)
    assert [(row["input"], row["row"], row["label"]) for row in said] == [
        ("7.png", None, 7),
        ("two.idx", 0, 2),
        ("two.idx", 1, 5),
    ]


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

    _, out, err = xpmlp("predict", digits_run, "[red]missing.png", "-o", "[red].csv")
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
    assert xpmlp("predict", digits_run, "\udcff3.png", "-o", "p.csv").code == 0
    assert b"\xff3.png,,3," in Path("p.csv").read_bytes()


def test_a_terminal_is_not_flooded(
    xpmlp: Run,
    digits_run: Path,
    write_idx: Run,
    digit_images: Digits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_idx(Path("images.idx"), np.round(digit_images[0] / 255 * 16).astype(np.uint8))
    for name in ("UNRELATED", "FORCE_COLOR"):
        monkeypatch.setenv(name, "1")
        assert "images.idx[359]" in xpmlp("predict", digits_run, "images.idx").out

    monkeypatch.setattr("xpmlp.cli.predict.writes_to_terminal", lambda console: True)
    out = xpmlp("predict", digits_run, "images.idx").out
    assert "images.idx[39]" in out
    assert "images.idx[40]" not in out
    assert "and 320 more; --output FILE writes all of them" in out


# Writing to a file


def test_a_csv_file_holds_a_line_for_each_sample(
    xpmlp: Run, digits_run: Path, write_idx: Run, clear_digits: dict[int, np.ndarray]
) -> None:
    draw(Path("a,b.png"), clear_digits[7])
    write_idx(Path("two.idx"), np.round(np.stack([clear_digits[2], clear_digits[5]]) / 255 * 16).astype(np.uint8))
    code, out, err = xpmlp("predict", digits_run, "a,b.png", "two.idx", "--output", "said.csv")
    assert (code, out, err) == (0, "3 predictions written to said.csv\n", "")
    rows = read_csv(Path("said.csv"))
    assert [(row["input"], row["row"], row["label"]) for row in rows] == [
        ("a,b.png", "", "7"),
        ("two.idx", "0", "2"),
        ("two.idx", "1", "5"),
    ]
    assert all(0.5 < float(row["probability"]) <= 1.0 for row in rows)


def test_a_json_file_holds_what_json_prints(xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]) -> None:
    draw(Path("7.png"), clear_digits[7])
    printed = xpmlp("predict", digits_run, "7.png", "--json").out
    assert xpmlp("predict", digits_run, "7.png", "-o", "said.JSON").out == "1 prediction written to said.JSON\n"
    assert Path("said.JSON").read_text(encoding="utf-8") == printed


def test_a_file_is_replaced_only_by_force(xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray]) -> None:
    draw(Path("7.png"), clear_digits[7])
    Path("said.csv").write_text("mine", encoding="utf-8")
    code, out, err = xpmlp("predict", digits_run, "7.png", "-o", "said.csv")
    assert (code, out) == (1, "")
    assert "said.csv: already exists" in err
    assert "--force" in err
    assert Path("said.csv").read_text(encoding="utf-8") == "mine"
    assert xpmlp("predict", digits_run, "7.png", "-o", "said.csv", "--force").code == 0
    assert len(read_csv(Path("said.csv"))) == 1


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("said.txt", ["said.txt", ".csv or .json"]),
        ("said", ["said", ".csv or .json"]),
        ("no/such/said.csv", [str(Path("no/such")), "no such folder"]),
        ("folder.csv", ["folder.csv", "is a folder"]),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(
    xpmlp: Run, empty_folder: Path, output: str, words: list[str]
) -> None:
    Path("folder.csv").mkdir()
    for force in ((), ("--force",)):
        code, out, err = xpmlp("predict", "no model", "no picture", "-o", output, *force)
        assert (code, out) == (1, "")
        for word in words:
            assert word in err
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
    code, out, err = xpmlp("predict", digits_run, "pictures", "missing.png", "--json")
    assert code == 1
    assert [(Path(row["input"]).name, row["label"]) for row in json.loads(out)] == [("1.png", 7), ("4.png", 2)]
    said = err.splitlines()
    assert len(said) == 3
    for line, name in zip(said, ("2.txt", "3.png", "missing.png"), strict=True):
        assert line.startswith("Error: ")
        assert name in line

    code, out, _ = xpmlp("predict", digits_run, "pictures", "-o", "said.csv")
    assert (code, out) == (1, "2 predictions written to said.csv\n")


def check_refused(finished: Any, *words: str) -> None:
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith("Error: ")
    assert finished.err.count("\n") == 1
    for word in words:
        assert word in finished.err


def test_a_file_that_is_no_picture_is_named(xpmlp: Run, digits_run: Path) -> None:
    check_refused(xpmlp("predict", digits_run, "missing.png"), "missing.png", "no such file")
    Path("notes.txt").write_text("hello", encoding="utf-8")
    check_refused(xpmlp("predict", digits_run, "notes.txt"), "notes.txt", "PNG")
    Path("empty.png").write_bytes(b"")
    check_refused(xpmlp("predict", digits_run, "empty.png"), "empty.png")


def test_a_folder_without_files_is_named(xpmlp: Run, digits_run: Path) -> None:
    Path("empty/folder").mkdir(parents=True)
    check_refused(xpmlp("predict", digits_run, "empty"), "empty", "no files")


def test_a_folder_that_cannot_be_read_is_named(xpmlp: Run, digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    Path("locked").mkdir()
    monkeypatch.setattr(Path, "iterdir", refuse)
    check_refused(xpmlp("predict", digits_run, "locked"), "locked", "Permission denied")


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 64), (3, 8, 8, 1)])
def test_an_idx_file_of_another_shape_is_refused(
    xpmlp: Run, digits_run: Path, write_idx: Run, shape: tuple[int, ...]
) -> None:
    write_idx(Path("other.idx"), np.full(shape, 9, np.uint8))
    found = " × ".join(map(str, shape[1:]))
    check_refused(xpmlp("predict", digits_run, "other.idx"), "other.idx", f"shape {found},", "8 × 8")


def test_a_file_of_labels_is_refused(xpmlp: Run, digits_run: Path, write_idx: Run) -> None:
    write_idx(Path("t10k-labels-idx1-ubyte"), np.arange(9, dtype=np.uint8))
    check_refused(xpmlp("predict", digits_run, "t10k-labels-idx1-ubyte"), "t10k-labels-idx1-ubyte", "mixed up")


def test_an_idx_file_without_rows_is_refused(xpmlp: Run, digits_run: Path, write_idx: Run) -> None:
    write_idx(Path("none.idx"), np.empty((0, 8, 8), np.uint8))
    check_refused(xpmlp("predict", digits_run, "none.idx"), "none.idx", "(0, 8, 8)")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_found_where_it_is(
    xpmlp: Run, digits_run: Path, write_idx: Run, value: float
) -> None:
    images = np.zeros((5, 8, 8), np.float32)
    images[3, 2, 6] = value
    write_idx(Path("bad.idx"), images)
    check_refused(xpmlp("predict", digits_run, "bad.idx"), "bad.idx", "row 3, pixel row 2, pixel column 6")


@pytest.mark.parametrize("length", [0, 3, 10, 200])
def test_a_cut_idx_file_is_known_by_its_name(xpmlp: Run, digits_run: Path, write_idx: Run, length: int) -> None:
    path = write_idx(Path("t10k-images-idx3-ubyte"), np.full((5, 8, 8), 9, np.uint8))
    path.write_bytes(path.read_bytes()[:length])
    check_refused(xpmlp("predict", digits_run, path), path.name, "IDX" if length < 4 else "opy it again")


def test_a_gzip_file_that_holds_something_else_is_named(xpmlp: Run, digits_run: Path) -> None:
    import gzip

    Path("notes.gz").write_bytes(gzip.compress(b"hello"))
    check_refused(xpmlp("predict", digits_run, "notes.gz"), "notes.gz", "not an IDX file")


@pytest.mark.parametrize(("factor", "largest"), [(255, "255"), (1 / 16, "0.0625")])
def test_values_of_another_range_are_noted(
    xpmlp: Run, digits_run: Path, write_idx: Run, factor: float, largest: str
) -> None:
    images = np.zeros((2, 8, 8), np.float64)
    images[:, 2:6, 4] = factor
    write_idx(Path("other.idx"), images)
    code, out, err = xpmlp("predict", digits_run, "other.idx", "--json")
    assert code == 0
    assert len(json.loads(out)) == 2
    assert err.startswith(f"note: other.idx: its largest value is {largest}, but the model was trained on values up to")


def test_a_model_of_rows_is_not_shown_pictures_but_reads_rows(
    xpmlp: Run, digits_run: Path, write_idx: Run, clear_digits: dict[int, np.ndarray]
) -> None:
    model = load_model(digits_run / "model.safetensors")
    save_model(Path("rows.safetensors"), replace(model, input_shape=(64,), image_preprocessor=None))
    draw(Path("7.png"), clear_digits[7])
    check_refused(xpmlp("predict", "rows.safetensors", "7.png"), "7.png", "not trained on images", "shape 64")
    write_idx(Path("rows.idx"), np.round(clear_digits[7].reshape(1, 64) / 255 * 16).astype(np.uint8))
    assert json.loads(xpmlp("predict", "rows.safetensors", "rows.idx", "--json").out)[0]["label"] == 7


def test_without_pillow_the_remedy_is_said(
    xpmlp: Run, digits_run: Path, clear_digits: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(Path("7.png"), clear_digits[7])
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
    code, out, err = xpmlp("predict", digits_run, "7.png")
    assert (code, out) == (1, "")
    assert 'pip install "xpmlp[cli]"' in err
    assert "Traceback" not in err


def test_classes_that_are_names_are_answered_by_name(xpmlp: Run, clear_digits: dict[int, np.ndarray]) -> None:
    dataset = load_dataset("digits")
    model, _ = train(dataset, replace(RECIPES["default"], epochs=5))
    save_model(Path("named.safetensors"), replace(model, classes=tuple(f"[{label}]" for label in "abcdefghij")))
    draw(Path("7.png"), clear_digits[7])
    (row,) = json.loads(xpmlp("predict", "named.safetensors", "7.png", "--json").out)
    assert row["label"] == "[h]"
    assert "[a]" in row["probabilities"]
    assert "[h]" in xpmlp("predict", "named.safetensors", "7.png").out
