import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp import Model, load_model, predict, save_model
from xpmlp.cli.figures import CLASSIFICATION, FIGURES, MOST_CLASSES, NO_IMAGES, run_figures
from xpmlp.cli.run_folder import read_history
from xpmlp.datasets import Split
from xpmlp.datasets.load import NAMES
from xpmlp.datasets.tables.loading import named_table
from xpmlp.errors import DataError
from xpmlp.nn.layers import Layer
from xpmlp.training import EpochRow, history_to_csv
from xpmlp.training.evaluation_rows import find_provenance

Run = Callable[..., Any]
OF_IMAGES = set(FIGURES) - {"predicted.png", "residuals.png"}
EPOCHS = [EpochRow(1, 1.0, 1.0, 0.5, 0.1, 1.0, 1.0)]


def files_of(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_several_runs_are_laid_over_one_another(
    xpmlp: Run, refused: Run, monkeypatch: pytest.MonkeyPatch, no_pictures: None
) -> None:
    for folder, epochs in (("a/run", 2), ("b/run", 3)):
        xpmlp("train", "digits", "--epochs", epochs, "-o", folder, "-q")
    seen: list[Any] = []

    def keep(runs: Any, title: str, kept: Any) -> bytes:
        seen.append(({name: len(history) for name, history in runs.items()}, kept))
        return b"a picture"

    monkeypatch.setattr("xpmlp.plots.draw_comparison", keep)
    xpmlp("plot", "a/run", "b/run/model.safetensors")
    assert Path("comparison.png").read_bytes() == b"a picture"
    refused(("plot", "a/run", "b/run"), "--force")
    Path("b/run/model.safetensors").unlink()  # as it is when a run was killed
    xpmlp("plot", "a/run", "b/run", "--force")
    # The names are as short as tells them apart.
    assert seen == [({"a/run": 2, "b/run": 3}, kept) for kept in ({"a/run": 2, "b/run": 3}, {"a/run": 2})]
    refused(("plot", "a/run", "a/run", "--force"), "given twice")
    assert xpmlp("plot", "a/run", "b/run", "-o", "both.png").out == "drawn: both.png\n"
    assert Path("both.png").is_file()
    refused(("plot", "a/run", "b/run", "-o", "both.png"), "already exists")
    refused(
        ("plot", "a/run", "-o", "one.png"),
        "one.png is named like a file, but several files are written. Name a folder.",
    )


# The data


def test_data_are_found_again_or_a_run_shows_what_it_can_and_says_what_to_do(
    xpmlp: Run, no_pictures: None, write_idx_folder: Run, digit_images: tuple[np.ndarray, np.ndarray]
) -> None:
    write_idx_folder(Path("several"), *digit_images, prefix="emnist-a-")
    write_idx_folder(Path("images"), *digit_images)
    named_table("iris").frame.collect().write_csv("flowers.csv")
    of_numbers, of_classes = {"predicted.png", "residuals.png"}, {"confusion.png", "calibration.png"}
    no_images = "(the samples are not images)\n"
    for data, figures, note in (
        ("digits", OF_IMAGES, ""),
        ("several/emnist-a", OF_IMAGES, ""),
        ("diabetes", {"curves.png"} | of_numbers, f"note: not drawn: weights.png {no_images}"),
        ("iris", {"curves.png"} | of_classes, f"note: not drawn: gallery.png, mistakes.png, weights.png {no_images}"),
        ("flowers.csv", {"curves.png"} | of_classes, no_images),
        ("images", OF_IMAGES, ""),
    ):
        xpmlp("train", data, "--epochs", 1, "-o", "run", "-q", "--force")
        place = data if data in NAMES else str(Path.cwd() / data)
        assert find_provenance(load_model("run/model.safetensors")).data == place
        done = xpmlp("plot", "run", "-o", f"figures/{Path(data).stem}")
        assert done.err.endswith(note)
        assert bool(done.err) == bool(note)
        assert files_of(f"figures/{Path(data).stem}") == figures
    shutil.move("images", "moved")
    done = xpmlp("plot", "run", "-o", "out")
    assert "images, which does not exist; name the data, as DATA or with --data" in done.err
    assert files_of("out") == {"curves.png", "weights.png"}
    xpmlp("plot", "run", "-o", "out", "--force", "--data", "moved")
    assert files_of("out") == OF_IMAGES


def test_rows_that_it_was_trained_on_are_not_evaluated_on(xpmlp: Run, no_pictures: None) -> None:
    lines = [f"{index % 7},{index % 5},{'yes' if index % 7 > 3 else 'no'}" for index in range(60)]
    for name in ("train.csv", "test.csv"):
        Path(name).write_text("\n".join(["a,b,label", *lines]) + "\n", encoding="utf-8")
    xpmlp("train", "train.csv", "--test", "test.csv", "--epochs", 1, "-o", "run", "-q")
    assert xpmlp("plot", "run", "-o", "out").err.count("note:") == 1
    assert Path("out/confusion.png").exists()
    xpmlp("train", "train.csv", "--epochs", 1, "-o", "run", "-q", "--force")
    model = load_model("run/model.safetensors")
    Path("train.csv").write_text("\n".join(["a,b,label", *lines[1:]]) + "\n", encoding="utf-8")
    done = xpmlp("plot", "run", "-o", "old")
    assert "it is unknown which rows" in done.err
    assert files_of("old") == {"curves.png"}
    xpmlp("plot", "run", "-o", "old", "--force", "--data", "test.csv")
    assert Path("old/confusion.png").exists()
    del model.training["provenance"]  # models of early versions have none
    save_model(Path("run/model.safetensors"), model)
    assert "train.csv, which cannot be found again; name the data" in xpmlp("plot", "run", "-o", "old", "--force").err


# What bad input gets


def test_what_is_no_run_is_said(xpmlp: Run, refused: Run, no_pictures: None) -> None:
    xpmlp("train", "digits", "--epochs", 2, "-o", "run", "-q")
    refused(("plot", "nowhere"), "nowhere")
    refused(("plot", "run", "nowhere"), "nowhere/history.csv: cannot be read")
    refused(("plot", "run", "--data", "iris"), "Use a model trained on data of this shape")
    refused(("plot", "run", "run", "--data", "digits"), "--data: comparing several runs")
    Path("mine").mkdir()
    Path("mine/weights.png").write_bytes(b"mine")
    refused(("plot", "run", "-o", "mine"), "weights.png")
    assert Path("mine/weights.png").read_bytes() == b"mine"
    # Without its history a run shows the rest.
    Path("run/history.csv").unlink()
    done = xpmlp("plot", "run", "-o", "mine", "--force")
    assert "history.csv: cannot be read" in done.err
    assert files_of("mine") == OF_IMAGES - {"curves.png"}
    assert Path("mine/weights.png").read_bytes() == b"a picture"


def test_a_history_is_read_as_it_was_written_or_refused_with_its_damaged_line() -> None:
    for loss in (0.5, None):
        history = [EpochRow(epoch, loss, loss, loss, 1e-5, 0.25, 1234.5, 1.0 / 3.0, loss, loss) for epoch in (1, 2)]
        Path("history.csv").write_text(history_to_csv(history), encoding="utf-8")
        assert read_history(Path("history.csv")) == history
    # Those of earlier versions have fewer columns, and the objective under another name.
    old = "epoch,train_loss,test_loss,test_accuracy,learning_rate,seconds,samples_per_second\n1,0.5,0.25,,0.1,1.0,2.0\n"
    Path("history.csv").write_text(old, encoding="utf-8")
    assert read_history(Path("history.csv")) == [EpochRow(1, None, 0.25, None, 0.1, 1.0, 2.0, 0.5)]
    for content, said in (
        ("", "no column epoch"),
        ("epoch,train_loss\n1,2\n", "no column test_loss"),
        (history_to_csv([]), "has no epochs"),
        (history_to_csv(EPOCHS) + "2,x,,,1,1,1\n", "line 3"),
        (history_to_csv(EPOCHS) + "2,1\n", "line 3"),
    ):
        Path("history.csv").write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=said):
            read_history(Path("history.csv"))


# What is left out, and why


def network(classes: int, input_shape: tuple[int, ...]) -> tuple[Model, Split]:
    """A model and rows that it could have been trained on."""
    rng = np.random.default_rng(0)
    inputs = int(np.prod(input_shape))
    layer = Layer(rng.standard_normal((inputs, classes)).astype(np.float32), np.zeros((1, classes), np.float32))
    rows = Split(rng.random((500, inputs)).astype(np.float32), rng.integers(0, classes, 500))
    return Model((layer,), "relu", "softmax_cross_entropy", tuple(range(classes)), input_shape, 1.0), rows


@pytest.mark.parametrize(
    ("classes", "shape", "rows", "reasons"),
    [
        (3, (4, 2, 3), "all", {}),
        (MOST_CLASSES + 1, (4, 6), "all", {"confusion.png": "a matrix of 101 classes would be unreadable"}),
        (3, (4, 3, 2), "all", dict.fromkeys(("gallery.png", "mistakes.png", "weights.png"), NO_IMAGES)),
        (3, (4, 6), "right", {"mistakes.png": "there are no mistakes"}),
        (3, (4, 6), "none", dict.fromkeys(CLASSIFICATION, "there are no test rows")),
        (3, (4, 6), "empty", dict.fromkeys(CLASSIFICATION, "there are no test rows")),
    ],
)
def test_figures_that_would_show_nothing_are_left_out_with_the_reason(
    classes: int, shape: tuple[int, ...], rows: str, reasons: dict[str, str]
) -> None:
    model, whole = network(classes, shape)
    right, empty = Split(whole.x, predict(model, whole).labels), Split(whole.x[:0], whole.labels[:0])
    given = {"all": whole, "right": right, "none": None, "empty": empty}
    figures = run_figures(model, EPOCHS, given[rows], "some")
    assert {file: reason for file, reason in figures.items() if isinstance(reason, str)} == reasons
    drawn = {file: draw for file, draw in figures.items() if callable(draw)}
    assert drawn.keys() == OF_IMAGES - reasons.keys()
    assert all(draw().startswith(b"\x89PNG") for draw in drawn.values() if not reasons)
