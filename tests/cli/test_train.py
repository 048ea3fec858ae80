import csv
import io
import json
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xpmlp import RECIPES, Recipe, load_model
from xpmlp.cli import train as train_module
from xpmlp.cli.run_folder import RUN_FILES
from xpmlp.environment import describe_machine, describe_versions
from xpmlp.training.progress import EpochLines

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("no_pictures")

# What a run on images leaves.
OF_IMAGES = {*RUN_FILES} - {"predicted.png", "residuals.png"}


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def settings_of(folder: Path) -> Recipe:
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return Recipe.from_json(record["settings"])


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


# What a newcomer gets


def test_a_newcomer_gets_a_model_its_history_and_its_pictures(command: Run, empty_folder: Path) -> None:
    code, out, err = command("train", "digits")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "\r" not in out
    (runs,) = empty_folder.iterdir()
    (run,) = runs.iterdir()
    assert runs.name == "runs"
    assert run.name.startswith("digits-")
    assert files_of(run) == OF_IMAGES
    assert str(run.relative_to(empty_folder)) in out

    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["test_accuracy"] >= 0.96
    assert 0.0 < record["test_loss"] < 0.3
    assert record["seconds"] > 0.0
    assert (record["epochs"], record["stop_reason"]) == (10, None)
    assert record["settings"] == RECIPES["default"].to_json()
    assert record["layer_sizes"] == [64, 256, 10]
    assert record["data"]["name"] == "digits"
    assert (record["data"]["train_rows"], record["data"]["test_rows"]) == (1437, 360)
    assert record["versions"] == describe_versions()
    assert record["machine"].keys() == describe_machine().keys()
    assert record["compute"]["backend"] == "numpy"
    assert f"test accuracy {100 * record['test_accuracy']:.2f} %" in out

    text = (run / "history.csv").read_text(encoding="utf-8")
    assert text.startswith(
        "epoch,train_loss,test_loss,test_accuracy,learning_rate,seconds,samples_per_second,objective,"
    )
    rows = read_csv(run / "history.csv")
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, 11)]
    assert all(math.isfinite(float(value or 0)) for row in rows for value in row.values())
    assert float(rows[-1]["test_accuracy"]) == record["test_accuracy"]

    drawn = {path.name: path.read_bytes() for path in run.glob("*.png")}
    for name, content in drawn.items():
        grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        assert min(grey.shape) >= 300
        assert grey.std() > 5.0, f"{name} is blank"
        (run / name).unlink()
    code, out, err = command("plot", run)  # draws them again
    assert (code, err) == (0, "")
    assert {path.name: path.read_bytes() for path in run.glob("*.png")} == drawn
    assert all(name in out for name in drawn)

    model = load_model(run / "model.safetensors")
    assert model.layer_sizes == (64, 256, 10)


def test_it_says_what_it_is_about_to_do(xpmlp: Run) -> None:
    out = xpmlp("train", "digits", "--epochs", 2, "--hidden", "32,16", "-o", "some/where/new").out
    first, second, *epochs = out.splitlines()
    assert first == "digits: 1,437 training rows, 360 test rows, 8 × 8 inputs, 10 classes"
    assert second.startswith("64-32-16-10 network: 2,778 parameters, relu, float32; nesterov, learning rate 0.1 (warm")
    assert [line[:9] for line in epochs[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert files_of(Path("some/where/new")) == OF_IMAGES
    # Without hidden layers there is no activation.
    out = xpmlp("train", "digits", "--epochs", 1, "--hidden", "none", "--batch-size", 5000).out
    assert "\n64-10 network: 650 parameters, float32; nesterov" in out
    assert "batch size 5,000, seed 0" in out


# Settings


@pytest.mark.parametrize("recipe", ["default", "notebook"])
def test_options_override_the_recipe_and_nothing_else(xpmlp: Run, recipe: str) -> None:
    changed = {
        "hidden_layer_sizes": (8, 16),
        "activation": "logistic",
        "initializer": "glorot_uniform",
        "dtype": "float64",
        "optimizer": "adam",
        "learning_rate": 0.003,
        "schedule": "warmup_cosine" if recipe == "notebook" else "constant",
        "batch_size": 100,
        "epochs": 1,
        "penalty": 0.001,
        "class_weight": "balanced",
        "dropout": 0.1,
        "max_grad_norm": 1.0,
        "label_smoothing": 0.1,
        "loss": "softmax_cross_entropy",
        "ensemble": 2,
        "seed": 7,
    }
    assert changed.keys() == RECIPES[recipe].to_json().keys()

    def option(name: str) -> list[Any]:
        if name == "hidden_layer_sizes":
            return ["--hidden", " 8 , 16"]
        return [f"--{name.replace('_', '-')}", changed[name]]

    for names in ([*changed][::2], [*changed][1::2]):
        arguments = [part for name in {"epochs": 1, **dict.fromkeys(names)} for part in option(name)]
        out = xpmlp("train", "digits", "--recipe", recipe, *arguments, "-o", "run", "--force").out
        assert ("without class weights, trained in" in out) == ("class_weight" in names)
        expected = RECIPES[recipe].to_json() | {name: changed[name] for name in ("epochs", *names)}
        assert settings_of(Path("run")) == Recipe.from_json(expected)


def test_folds_are_scored_beside_the_run_which_they_do_not_change(xpmlp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ("train", "iris", "--epochs", 5, "-o", "plain")
    xpmlp(*plain)
    out = xpmlp("train", "iris", "--epochs", 5, "--folds", 4, "-o", "run").out
    scores = json.loads(Path("run/run.json").read_text(encoding="utf-8"))["folds"]
    assert re.findall(r"fold \d/4: accuracy (.*) %", out) == [f"{100 * score:.2f}" for score in scores]
    spread = f"{100 * statistics.mean(scores):.2f} % ± {100 * statistics.stdev(scores):.2f} %"
    assert f"cross-validation, 4 folds of the training rows: accuracy {spread}\n" in out
    assert (
        Path("run/history.csv").read_text().splitlines()[5].split(",")[:4]
        == (Path("plain/history.csv").read_text().splitlines()[5].split(",")[:4])
    )
    # Ctrl-C costs the folds that are not done.
    found = iter([0.5])

    def interrupted(*arguments: Any, **options: Any) -> Any:
        yield next(found)
        raise KeyboardInterrupt

    monkeypatch.setattr("xpmlp.cli.train.cross_validate", interrupted)
    out = xpmlp("train", "iris", "--epochs", 5, "--folds", 4, "-o", "run", "--force").out
    assert "fold 2/4: interrupted\ncross-validation, 1 folds" in out
    assert json.loads(Path("run/run.json").read_text(encoding="utf-8"))["folds"] == [0.5]
    xpmlp("train", "iris", "--folds", 1, status=2)


SETTINGS = [
    ("hidden", "12x", "'12x'", "256,128", "none"),
    ("hidden", "", "''"),
    ("hidden", "16,,8", "'16,,8'"),
    ("hidden", "16,-5", "'16,-5'", "1"),
    ("hidden", "9" * 20, "9" * 20, "100,000,000"),
    ("epochs", "0", "0", "at least 1"),
    ("ensemble", "0", "0 is not a whole number of at least 1"),
    ("ensemble", "-3", "-3 is not"),
    ("learning-rate", "nan", "nan", "above 0"),
    ("penalty", "-0.1", "-0.1", "at least 0"),
    ("optimizer", "[red]lion", "'[red]lion'", "adam"),
    ("dtype", "float16", "'float16'", "float32"),
    ("recipe", "foo", "'foo'", "default", "notebook"),
    ("patience", "0", "0 is not a number above 0"),
    ("checkpoint-every", "0", "0 is not a number above 0"),
]
DIVERGED = ("Error: Training diverged in epoch 1:", "use a smaller one. Nothing is saved.\n")
EMPTY_NAME = "--output: the name is empty. Give a name, or leave the option out."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *((("train", "digits", f"--{name}", value), (f"--{name}: ", *words)) for name, value, *words in SETTINGS),
        *((("train", data), (data, "digits, mnist")) for data in ("digit", "[red]nothing[/red]", "no/such/folder 🚀")),
        *(((*command, "-o", ""), (EMPTY_NAME,)) for command in (("train", "digits"), ("plot", "run"), ("bench",))),
        (("train", "iris", "--folds", 121), ("--folds: 121 is not from 2 to 120, the number of training rows.",)),
        (("train", "iris", "--folds", 41), ("--folds: 41 is more than the rows of every class. Use fewer folds.",)),
        (("train", "diabetes", "--class-weight", "balanced"), ("balanced is for classes, but a number is",)),
        (("train", "digits", "--mpi"), ("--mpi: no MPI launcher has started", "Run: mpiexec -n 2 xpmlp train")),
        (("train", "digits", "--target", "label"), ("digits: is no table, so --target cannot be used",)),
        (("train", "digits", "--memory", "2GB"), ("digits: is no table, so --memory cannot be used. Leave it out.",)),
        (("train", "digits", "-q", "--ensemble", 10**9), ("ensemble: training 1,000,000,000 networks takes about",)),
        (("train", "iris", "--missing", "guess"), ("--missing: 'guess' is not one of",)),
        (("train", "iris", "--target", "specis"), ("there is no column 'specis'",)),
        (("train", "iris", "--test", "x.csv", "--test-fraction", "0.5"), ("--test and --test-fraction: give one",)),
        (("train", "iris", "--test", "x.csv"), ("x.csv: there is no such file",)),
        (("train", "missing.csv"), ("missing.csv: there is no such file",)),
        # Warnings are errors here, so NumPy's own complaints would fail this.
        *(
            (("train", "digits", "--learning-rate", rate, "--schedule", "constant", "-q"), DIVERGED)
            for rate in ("1e18", "1e300")
        ),
    ],
)
def test_what_cannot_be_is_one_line_with_the_value_and_the_remedy_and_leaves_nothing(
    refused: Run, empty_folder: Path, arguments: tuple[Any, ...], words: tuple[str, ...]
) -> None:
    err = refused(arguments, *words)
    assert err.startswith("Error: --") or not words[0].startswith("--")
    assert list(empty_folder.iterdir()) == []


# Other data than pictures of digits


def test_rows_that_are_no_pictures_are_trained_on_without_a_gallery(xpmlp: Run, write_idx_folder: Run) -> None:
    """A folder holds one run: a gallery beside a model that never saw an image would be another's."""
    labels = np.arange(120, dtype=np.uint8) % 3
    rows = (np.random.default_rng(0).normal(size=(120, 5)) + 3.0 * labels[:, None]).astype(np.float32)
    name = "[bold]my $digits_ :rocket: 🚀"  # printed as it is
    write_idx_folder(Path(name), rows, labels)
    code, out, err = xpmlp("train", f"./{name}", "--epochs", 1)
    assert (code, err) == (0, "")
    assert out.startswith(f"{name}: 90 training rows, 30 test rows, 5 inputs, 3 classes\n")
    (run,) = Path("runs").iterdir()
    assert run.name.startswith(f"{name}-")
    assert f"saved in {run}: model.safetensors" in out
    for file in (*RUN_FILES, "notes.txt"):
        Path(run, file).write_text("old", encoding="utf-8")
    xpmlp("train", name, "--epochs", 3, "-o", run, "--force")
    assert files_of(run) == (OF_IMAGES - {"gallery.png", "mistakes.png", "weights.png"}) | {"notes.txt"}
    assert [path.name for path in run.iterdir() if path.read_bytes() == b"old"] == ["notes.txt"]


# Where the run goes


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(refused: Run, empty_folder: Path) -> None:
    Path("run").mkdir()
    Path("run/history.csv").write_text("mine", encoding="utf-8")
    Path("file").write_text("mine", encoding="utf-8")
    refused(("train", "no such data", "-o", "run"), "run: already holds a run (history.csv)", "--force")
    refused(("train", "no such data", "-o", "file"), "file: is a file, not a folder", "--output")
    refused(("train", "no such data", "-o", "file/run"), f"{Path('file/run')}: cannot be written", "--output")
    refused(("train", "no such data", "-o", "x" * 400), "xxx: cannot be written (", "--output")
    if Path("/proc/self").is_dir():  # where nobody can make a folder
        refused(("train", "no such data", "-o", "/proc/runs/run"), "Error: /proc/runs/run: cannot be written (")
    assert [path.read_text(encoding="utf-8") for path in (Path("run/history.csv"), Path("file"))] == ["mine", "mine"]
    assert files_of(empty_folder) == {"run", "file"}


def test_a_forced_run_that_comes_to_nothing_leaves_the_old_one(xpmlp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("run").mkdir()
    for name in RUN_FILES:
        Path("run", name).write_text("old", encoding="utf-8")

    def all_old() -> bool:
        return all(Path("run", name).read_text(encoding="utf-8") == "old" for name in RUN_FILES)

    seen = []
    monkeypatch.setattr(EpochLines, "on_epoch_end", lambda self, run: seen.append(all_old()))
    diverging = ("--learning-rate", "1e30", "--schedule", "constant")
    xpmlp("train", "digits", "-o", "run", "--force", *diverging, status=1)
    assert all_old()

    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "fit_dataset", interrupt)
        xpmlp("train", "digits", "-o", "run", "--force", status=130)
    assert all_old()

    # While it trains, and until it has something better, the old run is all there.
    monkeypatch.setattr(train_module, "save_run", lambda *arguments, **options: seen.append(all_old()))
    xpmlp("train", "digits", "-o", "run", "--force", "--epochs", 2)
    assert seen == [True, True, True]


# The real thing


@pytest.mark.slow
def test_mnist_end_to_end(command: Run, xpmlp: Run, mnist_dir: Path) -> None:
    """One epoch above 94 %, and the peak memory of the whole process below 700 MB."""
    pytest.importorskip("resource", reason="peak memory is read through the module resource, POSIX only")
    code = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "xpmlp", *sys.argv[1:]])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print("peak", peak // (1024 if sys.platform != "darwin" else 1024**2), "MB")
sys.exit(done.returncode)
"""
    status, out, err = command("train", "mnist", "--data-dir", mnist_dir, "--epochs", 1, "-o", "run", code=code)
    assert (status, err) == (0, "")
    assert int(out.rpartition("peak ")[2].split()[0]) <= 700
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert record["test_accuracy"] > 0.94
    assert record["data"]["train_rows"] == 60_000

    (images,) = mnist_dir.glob("t10k-images*")
    xpmlp("predict", "run", images, "-o", "predictions.csv")
    rows = read_csv(Path("predictions.csv"))
    assert [row["row"] for row in rows] == [str(row) for row in range(10_000)]
    evaluated = json.loads(xpmlp("evaluate", "run", "mnist", "--data-dir", mnist_dir, "--json").out)
    assert evaluated["accuracy"] == record["test_accuracy"]
    counts = np.bincount([int(row["label"]) for row in rows], minlength=10)
    np.testing.assert_array_equal(np.sum(evaluated["confusion"], axis=0), counts)
