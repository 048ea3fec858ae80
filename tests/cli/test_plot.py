import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xpmlp import Model, load_dataset, load_model, save_model, train
from xpmlp.cli.evaluation_data import find_provenance
from xpmlp.cli.figures import FIGURES, MOST_CLASSES, run_figures
from xpmlp.cli.run_folder import read_history
from xpmlp.datasets import Provenance, Split
from xpmlp.errors import DataError
from xpmlp.nn.layers import Layer
from xpmlp.training import EpochRow, Recipe, history_to_csv

Run = Callable[..., Any]
OF_IMAGES = set(FIGURES) - {"predicted.png", "residuals.png"}


@pytest.fixture
def digits(xpmlp: Run, no_pictures: None) -> Path:
    """A run on digits whose pictures are no pictures."""
    assert xpmlp("train", "digits", "--epochs", 2, "-o", "run", "-q").code == 0
    return Path("run")


def drawn_anew(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.png") if path.read_bytes() != b"a picture"}


def test_a_runs_pictures_are_drawn_again(xpmlp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("xpmlp.cli.saving.run_figures", lambda *arguments: run_figures_of_nothing())
        assert xpmlp("train", "digits", "--epochs", 2, "-o", "run", "-q").code == 0
    assert drawn_anew(Path("run")) == set()
    done = xpmlp("plot", "run")
    assert (done.code, done.err) == (0, "")
    assert drawn_anew(Path("run")) == OF_IMAGES
    for name in OF_IMAGES:
        assert name in done.out
        with Image.open(Path("run", name)) as picture:
            assert min(picture.size) > 200


def run_figures_of_nothing() -> Any:
    from xpmlp.cli.figures import RunFigures

    return RunFigures()


def test_they_are_those_that_training_drew(xpmlp: Run) -> None:
    assert xpmlp("train", "iris", "--epochs", 2, "-o", "run", "-q").code == 0
    before = {path.name: path.read_bytes() for path in Path("run").glob("*.png")}
    assert before.keys() == {"curves.png", "confusion.png", "calibration.png"}
    done = xpmlp("plot", "run")
    assert done.code == 0
    assert "gallery.png, mistakes.png, weights.png (the samples are not gray images)" in done.err
    assert {path.name: path.read_bytes() for path in Path("run").glob("*.png")} == before


def test_a_regression_shows_its_predictions_and_residuals(xpmlp: Run) -> None:
    assert xpmlp("train", "diabetes", "--epochs", 2, "-o", "run", "-q").code == 0
    assert xpmlp("plot", "run", "-o", "elsewhere/pictures").code == 0
    expected = {"curves.png", "predicted.png", "residuals.png"}
    assert {path.name for path in Path("elsewhere/pictures").iterdir()} == expected


def test_several_runs_are_laid_over_one_another(xpmlp: Run, monkeypatch: pytest.MonkeyPatch, no_pictures: None) -> None:
    for folder, epochs in (("a/run", 2), ("b/run", 3)):
        assert xpmlp("train", "digits", "--epochs", epochs, "-o", folder, "-q").code == 0
    seen: list[Any] = []

    kept_epochs: list[Any] = []

    def keep(runs: Any, title: str, kept: Any) -> bytes:
        seen.append(runs)
        kept_epochs.append(kept)
        return b"a picture"

    monkeypatch.setattr("xpmlp.plots.draw_comparison", keep)
    done = xpmlp("plot", "a/run", "b/run/model.safetensors")
    assert done.code == 0, done.err
    assert Path("comparison.png").read_bytes() == b"a picture"
    (runs,) = seen
    # The names as short as tells them apart.
    assert {name: len(history) for name, history in runs.items()} == {"a/run": 2, "b/run": 3}
    refused = xpmlp("plot", "a/run", "b/run")
    assert refused.code == 1
    assert "--force" in refused.err
    Path("b/run/model.safetensors").unlink()  # as it is when a run was killed
    assert xpmlp("plot", "a/run", "b/run", "--force").code == 0
    assert kept_epochs == [{"a/run": 2, "b/run": 3}, {"a/run": 2}]
    twice = xpmlp("plot", "a/run", "a/run", "--force")
    assert twice.code == 1
    assert "given twice" in twice.err


def test_pictures_elsewhere_are_replaced_only_by_force(xpmlp: Run, digits: Path) -> None:
    Path("mine").mkdir()
    Path("mine/curves.png").write_bytes(b"mine")
    done = xpmlp("plot", digits, "-o", "mine")
    assert done.code == 1
    assert "curves.png" in done.err
    assert Path("mine/curves.png").read_bytes() == b"mine"
    assert xpmlp("plot", digits, "-o", "mine", "--force").code == 0
    assert Path("mine/curves.png").read_bytes() != b"mine"


# The data


@pytest.mark.parametrize("name", ["digits", "iris", "diabetes"])
def test_data_with_a_name_is_found_again(name: str) -> None:
    model, _ = train(load_dataset(name), Recipe(hidden_layer_sizes=(4,), epochs=1))
    assert find_provenance(model) == Provenance("scikit-learn", name)


def test_folders_and_tables_are_found_again(
    xpmlp: Run, no_pictures: None, write_idx_folder: Run, digit_images: tuple[np.ndarray, np.ndarray]
) -> None:
    write_idx_folder(Path("plain"), *digit_images)
    write_idx_folder(Path("several"), *digit_images, prefix="emnist-a-")
    table = load_dataset("iris")
    lines = [
        ",".join([*(f"{value:.6f}" for value in row), str(label)]) for row, label in zip(*parts(table), strict=True)
    ]
    Path("flowers.csv").write_text("\n".join(["a,b,c,d,label", *lines]) + "\n", encoding="utf-8")
    for data in ("plain", "several/emnist-a", "flowers.csv"):
        assert xpmlp("train", data, "--epochs", 1, "-o", "run", "-q", "--force").code == 0
        model = load_model("run/model.safetensors")
        assert find_provenance(model).data == str(Path.cwd() / data)
        # Models of earlier versions have a sentence instead of a provenance.
        found = find_provenance(without_provenance(model))
        assert found == replace(find_provenance(model), options={})
        done = xpmlp("plot", "run")
        assert "--data" not in done.err
        assert "confusion.png" in done.out


def parts(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([dataset.train.x, dataset.test.x]), np.concatenate(
        [dataset.train.labels, dataset.test.labels]
    )


def without_provenance(model: Model) -> Model:
    return replace(model, training={key: value for key, value in model.training.items() if key != "provenance"})


def test_mnist_is_found_in_its_folder(digits_run: Path, tmp_path: Path) -> None:
    model = load_model(digits_run / "model.safetensors")
    for source, expected in (
        (f"MNIST from the folder {tmp_path}", str(tmp_path)),
        (f"MNIST from the cache {tmp_path}", None),
        (f"MNIST, downloaded from somewhere into {tmp_path}", None),
    ):
        model.training.update(data="mnist", source=source, provenance=None)
        assert find_provenance(model) == Provenance("mnist", "mnist", expected)


def test_without_its_data_a_run_shows_what_it_can_and_says_what_to_do(
    xpmlp: Run, no_pictures: None, write_idx_folder: Run, digit_images: tuple[np.ndarray, np.ndarray]
) -> None:
    write_idx_folder(Path("images"), *digit_images)
    assert xpmlp("train", "images", "--epochs", 1, "-o", "run", "-q").code == 0
    shutil.move("images", "moved")
    done = xpmlp("plot", "run", "-o", "out")
    assert done.code == 0
    assert "images, which does not exist; give the data with --data" in done.err
    assert {path.name for path in Path("out").iterdir()} == {"curves.png", "weights.png"}
    assert xpmlp("plot", "run", "-o", "out", "--force", "--data", "moved").code == 0
    assert {path.name for path in Path("out").iterdir()} == OF_IMAGES


def test_rows_that_it_was_trained_on_are_not_evaluated_on(xpmlp: Run, no_pictures: None) -> None:
    """Models of earlier versions do not record a file of test rows."""
    lines = [f"{index % 7},{index % 5},{'yes' if index % 7 > 3 else 'no'}" for index in range(60)]
    for name in ("train.csv", "test.csv"):
        Path(name).write_text("\n".join(["a,b,label", *lines]) + "\n", encoding="utf-8")
    assert xpmlp("train", "train.csv", "--test", "test.csv", "--epochs", 1, "-o", "run", "-q").code == 0
    assert xpmlp("plot", "run", "-o", "out").err.count("note:") == 1
    assert Path("out/confusion.png").exists()
    save_model(Path("run/model.safetensors"), without_provenance(load_model("run/model.safetensors")))
    done = xpmlp("plot", "run", "-o", "old")
    assert "it is unknown which rows" in done.err
    assert {path.name for path in Path("old").iterdir()} == {"curves.png"}
    assert xpmlp("plot", "run", "-o", "old", "--force", "--data", "test.csv").code == 0
    assert Path("old/confusion.png").exists()


# What bad input gets


def test_what_is_no_run_is_said(xpmlp: Run, digits: Path) -> None:
    for arguments, said in (
        (["nowhere"], "nowhere"),
        ([digits, "nowhere"], "nowhere/history.csv: cannot be read"),
        ([digits, "--data", "iris"], "Use a model trained on data of this shape"),
        ([digits, digits, "--data", "digits"], "--data: comparing several runs"),
    ):
        done = xpmlp("plot", *arguments)
        assert done.code == 1
        assert said in done.err
        assert "Traceback" not in done.err


def test_a_run_without_history_shows_the_rest(xpmlp: Run, digits: Path) -> None:
    (digits / "history.csv").unlink()
    done = xpmlp("plot", digits, "-o", "out")
    assert done.code == 0
    assert "history.csv: cannot be read" in done.err
    assert {path.name for path in Path("out").iterdir()} == OF_IMAGES - {"curves.png"}


@pytest.mark.parametrize("loss", [0.5, None])
def test_a_history_is_read_as_it_was_written(loss: float | None) -> None:
    history = [EpochRow(epoch, 1.0 / 3.0, loss, loss, 1e-5, 0.25, 1234.5) for epoch in (1, 2)]
    Path("history.csv").write_text(history_to_csv(history), encoding="utf-8")
    assert read_history(Path("history.csv")) == history


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no column epoch"),
        ("epoch,train_loss\n1,2\n", "no column test_loss"),
        (history_to_csv([]), "has no epochs"),
        (history_to_csv([EpochRow(1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)]) + "2,x,,,1,1,1\n", "line 3"),
        (history_to_csv([EpochRow(1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)]) + "2,1\n", "line 3"),
    ],
)
def test_a_damaged_history_is_refused_with_its_line(content: str, said: str) -> None:
    Path("history.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_history(Path("history.csv"))


# What is left out, and why


def network(classes: int, input_shape: tuple[int, ...]) -> Model:
    rng = np.random.default_rng(0)
    inputs = int(np.prod(input_shape))
    layer = Layer(rng.standard_normal((inputs, classes)).astype(np.float32), np.zeros((1, classes), np.float32))
    return Model((layer,), "relu", "softmax_cross_entropy", tuple(range(classes)), input_shape, 1.0)


def rows_of(count: int, classes: int, inputs: int) -> Split:
    rng = np.random.default_rng(1)
    return Split(rng.random((count, inputs)).astype(np.float32), rng.integers(0, classes, count))


EPOCHS = [EpochRow(1, 1.0, 1.0, 0.5, 0.1, 1.0, 1.0)]


def test_too_many_classes_have_no_matrix_and_all_else() -> None:
    count = MOST_CLASSES + 1
    pictures = run_figures(network(count, (4, 6)), EPOCHS, rows_of(500, count, 24), "many")
    assert set(pictures.drawn) == OF_IMAGES - {"confusion.png"}
    assert "classes would be unreadable" in pictures.omitted["confusion.png"]
    assert all(draw().startswith(b"\x89PNG") for draw in pictures.drawn.values())


@pytest.mark.parametrize("rows", [None, Split(np.empty((0, 24), np.float32), np.empty(0, np.int64))])
def test_without_test_rows_there_are_curves_and_weights(rows: Split | None) -> None:
    pictures = run_figures(network(3, (4, 6)), EPOCHS, rows, "untested")
    assert list(pictures.drawn) == ["curves.png", "weights.png"]
    assert set(pictures.omitted.values()) == {"there are no test rows"}
    assert all(draw().startswith(b"\x89PNG") for draw in pictures.drawn.values())


def test_images_of_several_colors_are_no_grey_images() -> None:
    pictures = run_figures(network(3, (4, 2, 3)), EPOCHS, rows_of(50, 3, 24), "colors")
    assert set(pictures.drawn) == {"curves.png", "confusion.png", "calibration.png"}
    assert pictures.omitted["weights.png"] == "the samples are not gray images"


def test_a_run_without_mistakes_has_no_picture_of_them() -> None:
    model = network(3, (4, 6))
    rows = rows_of(50, 3, 24)
    from xpmlp import predict

    right = Split(rows.x, predict(model, rows.x).labels)
    pictures = run_figures(model, EPOCHS, right, "perfect")
    assert pictures.omitted == {"mistakes.png": "there are no mistakes"}
