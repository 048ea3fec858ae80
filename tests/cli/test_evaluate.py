import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp import load_model, training
from xpmlp.cli.console import make_console, print_first_that_fits
from xpmlp.cli.evaluate import mistake_tables
from xpmlp.training import ClassScore, Report

Run = Callable[..., Any]
Digits = tuple[np.ndarray, np.ndarray]


def test_the_report_is_printed_as_json_and_as_tables(xpmlp: Run, digits_run: Path) -> None:
    code, out, err = xpmlp("evaluate", digits_run, "digits", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    # Which is scikit-learn's: tests/training/test_evaluation.py.
    model = load_model(digits_run / "model.safetensors")
    expected = json.loads(json.dumps(training.evaluate(model, "digits").to_json()))
    assert said == expected | {"linear_model": said["linear_model"]}
    # And the tables say the same.
    code, out, err = xpmlp("evaluate", digits_run / "model.safetensors")  # on the data of its training
    assert (code, err) == (0, "")
    first, *rest = out.splitlines()
    accuracy, balanced, constant, linear = (
        f"{100 * said[name]:.2f} %" for name in ("accuracy", "balanced_accuracy", "constant_accuracy", "linear_model")
    )
    loss = f"loss {said['loss']:.4f} on 360 test rows of digits"
    assert first == f"accuracy {accuracy}, balanced accuracy {balanced}, {loss}"
    commonest = np.argmax(np.sum(said["confusion"], 1))
    assert rest[0] == f"for comparison: {constant} by always predicting {commonest}, {linear} by a linear model"
    rows = [line.split() for line in rest]
    assert ["class", "precision", "recall", "F1", "rows"] in rows
    for score in said["per_class"]:
        numbers = [f"{score[name]:.4f}" for name in ("precision", "recall", "f1")]
        assert [str(score["label"]), *numbers, str(score["support"])] in rows
    for label, counts in enumerate(said["confusion"]):
        assert [str(label), *(str(count) if count else "·" for count in counts)] in rows


def test_other_data_of_the_same_kind_are_scaled_as_the_models_were(
    xpmlp: Run, digits_run: Path, write_idx_folder: Run, digit_images: Digits, digits_of_16: Digits
) -> None:
    """The digits go from 0 to 16; here they are again, with the same values in bytes, and with larger ones."""

    def evaluate(images: np.ndarray, labels: np.ndarray, **options: Any) -> tuple[Any, str]:
        write_idx_folder(Path("data"), images, labels, **options)
        _, out, err = xpmlp("evaluate", digits_run, "data", "--json")
        shutil.rmtree("data")
        return json.loads(out), err

    images, labels = digits_of_16
    said, err = evaluate(images, labels, test_rows=180)
    assert said["accuracy"] > 0.95
    assert err == ""
    said, err = evaluate(images.swapaxes(1, 2), labels, prefix="emnist-")
    assert said["accuracy"] > 0.95
    assert err.startswith("note: EMNIST stores its images transposed")
    _, err = evaluate(*digit_images)
    assert err == (
        "note: data: its largest value is 255, but the model was trained on values up to about 16. "
        "Scale them in the same way, or the predictions are meaningless.\n"
    )
    said, _ = evaluate(images[labels != 4], labels[labels != 4], test_rows=200)
    assert [score["support"] for score in said["per_class"]].index(0) == 4
    assert said["per_class"][4]["recall"] == 0.0


def test_what_does_not_fit_is_refused(
    refused: Run, digits_run: Path, write_idx_folder: Run, digits_of_16: Digits
) -> None:
    images, labels = digits_of_16
    write_idx_folder(Path("large"), np.zeros((40, 28, 28), np.uint8), np.arange(40, dtype=np.uint8) % 5)
    refused(("evaluate", digits_run, "large"), "large", "28 × 28", "8 × 8")
    write_idx_folder(Path("data"), images, np.where(labels == 3, 77, labels).astype(np.uint8))
    refused(("evaluate", digits_run, "data"), "data: ", "77", "Use a model that was trained on these classes")


def test_what_is_no_model_is_named_with_the_remedy(refused: Run, digits_run: Path, tmp_path: Path) -> None:
    """Other damage is that of tests/model/test_model.py."""
    refused(("evaluate", "[bold]nothing", "digits"), "[bold]nothing", "xpmlp train")
    refused(("evaluate", tmp_path, "digits"), str(tmp_path), "folder")
    Path("half.safetensors").write_bytes((digits_run / "model.safetensors").read_bytes()[:100])
    refused(("evaluate", "half.safetensors", "digits"), "half.safetensors", "Copy or download")


def test_a_matrix_too_wide_for_a_terminal_becomes_a_list_of_the_commonest_mistakes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    confusion = 1000 * np.eye(62, dtype=np.int64)
    confusion[5, 60], confusion[11, 2], confusion[61, 0] = 300, 20, 1
    scores = tuple(ClassScore(f"class {label}", 1.0, 1.0, 1.0, 1000) for label in range(62))
    report = Report(loss=0.1, accuracy=0.9, per_class=scores, confusion=confusion)
    console = make_console()
    console.width = 80
    print_first_that_fits(console, mistake_tables(report))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("class")]
    assert rows == [
        ["class", "5", "class", "60", "300"],
        ["class", "11", "class", "2", "20"],
        ["class", "61", "class", "0", "1"],
    ]
    # A file gets the whole matrix.
    print_first_that_fits(make_console(), mistake_tables(report))
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("class 5 "))
    assert row.split()[-2:] == ["300", "·"]
    assert row.count("·") == 60
