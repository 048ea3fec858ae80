import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

from xpmlp import Model, load_dataset, load_model, predict, save_model
from xpmlp.cli.console import make_console
from xpmlp.cli.evaluate import print_mistakes
from xpmlp.nn.layers import Layer
from xpmlp.training import ClassScore, Report

Run = Callable[..., Any]
Digits = tuple[np.ndarray, np.ndarray]


def test_json_agrees_with_scikit_learn(xpmlp: Run, digits_run: Path) -> None:
    code, out, err = xpmlp("evaluate", digits_run, "digits", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert said.keys() == {"loss", "accuracy", "per_class", "confusion"}

    test = load_dataset("digits").test
    prediction = predict(load_model(digits_run / "model.safetensors"), test.x)
    assert said["accuracy"] == accuracy_score(test.labels, prediction.labels)
    assert said["loss"] == pytest.approx(log_loss(test.labels, prediction.probabilities), rel=1e-4)
    assert said["confusion"] == confusion_matrix(test.labels, prediction.labels).tolist()
    expected = precision_recall_fscore_support(test.labels, prediction.labels, labels=range(10))
    for label, score in enumerate(said["per_class"]):
        assert score["label"] == label
        for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            assert score[name] == pytest.approx(values[label])


def test_the_tables_say_what_the_json_says(xpmlp: Run, digits_run: Path) -> None:
    said = json.loads(xpmlp("evaluate", digits_run, "digits", "--json").out)
    code, out, err = xpmlp("evaluate", digits_run, "digits")
    assert (code, err) == (0, "")
    first, *rest = out.splitlines()
    assert first == f"accuracy {100 * said['accuracy']:.2f} %, loss {said['loss']:.4f} on 360 test rows of digits"
    rows = [line.split() for line in rest]
    assert ["class", "precision", "recall", "F1", "rows"] in rows
    for score in said["per_class"]:
        numbers = [f"{score[name]:.4f}" for name in ("precision", "recall", "f1")]
        assert [str(score["label"]), *numbers, str(score["support"])] in rows
    for label, counts in enumerate(said["confusion"]):
        assert [str(label), *(str(count) if count else "·" for count in counts)] in rows


def test_a_model_may_be_named_by_its_file_or_its_folder(xpmlp: Run, digits_run: Path) -> None:
    by_folder = xpmlp("evaluate", digits_run, "digits")
    by_file = xpmlp("evaluate", digits_run / "model.safetensors", "digits")
    assert by_folder == by_file
    assert by_folder.code == 0


def test_other_data_of_the_same_kind_are_scaled_as_the_models_were(
    xpmlp: Run, digits_run: Path, write_idx_folder: Run, digit_images: Digits
) -> None:
    """The digits go from 0 to 16; here they are again, with the same values in bytes."""
    images, labels = digit_images
    bytes_of_16 = np.round(images / 255 * 16).astype(np.uint8)
    write_idx_folder(Path("data"), bytes_of_16, labels, test_rows=180)
    code, out, err = xpmlp("evaluate", digits_run, "data", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["accuracy"] > 0.95


def test_values_of_another_range_are_noted(
    xpmlp: Run, digits_run: Path, write_idx_folder: Run, digit_images: Digits
) -> None:
    write_idx_folder(Path("data"), *digit_images)
    code, out, err = xpmlp("evaluate", digits_run, "data", "--json")
    assert code == 0
    json.loads(out)
    assert err == (
        "note: data: its largest value is 255, but the model was trained on values up to about 16. "
        "Scale them in the same way, or the predictions are meaningless.\n"
    )


def test_what_is_to_be_known_of_the_data_is_said_beside_the_json(
    xpmlp: Run, digits_run: Path, write_idx_folder: Run, digit_images: Digits
) -> None:
    images, labels = digit_images
    write_idx_folder(
        Path("data"), np.round(images / 255 * 16).astype(np.uint8).swapaxes(1, 2), labels, prefix="emnist-"
    )
    code, out, err = xpmlp("evaluate", digits_run, "data", "--json")
    assert code == 0
    assert json.loads(out)["accuracy"] > 0.95
    assert err.startswith("note: EMNIST stores its images transposed")


def test_a_class_without_rows_scores_zero_and_is_listed(
    xpmlp: Run, digits_run: Path, write_idx_folder: Run, digit_images: Digits
) -> None:
    images, labels = np.round(digit_images[0] / 255 * 16).astype(np.uint8), digit_images[1]
    kept = labels != 4
    write_idx_folder(Path("data"), images[kept], labels[kept], test_rows=200)
    said = json.loads(xpmlp("evaluate", digits_run, "data", "--json").out)
    assert [score["support"] for score in said["per_class"]].index(0) == 4
    assert said["per_class"][4]["recall"] == 0.0


# What does not fit


def check_one_line(finished: Any, *words: str) -> None:
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith("Error: ")
    assert finished.err.count("\n") == 1
    assert "Traceback" not in finished.err
    for word in words:
        assert word in finished.err


def test_data_of_another_shape_are_refused(xpmlp: Run, digits_run: Path, write_idx_folder: Run) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    write_idx_folder(Path("large"), images, np.arange(40, dtype=np.uint8) % 10)
    check_one_line(xpmlp("evaluate", digits_run, "large"), "large", "28 × 28", "8 × 8")


def test_labels_that_the_model_does_not_know_are_refused(
    xpmlp: Run, digits_run: Path, write_idx_folder: Run, digit_images: Digits
) -> None:
    images, labels = np.round(digit_images[0] / 255 * 16).astype(np.uint8), digit_images[1]
    write_idx_folder(Path("data"), images, np.where(labels == 3, 77, labels).astype(np.uint8))
    check_one_line(xpmlp("evaluate", digits_run, "data"), "data: ", "77", "Use a model that was trained on these")


def test_a_missing_model_is_named(xpmlp: Run) -> None:
    check_one_line(xpmlp("evaluate", "[bold]nothing", "digits"), "[bold]nothing", "xpmlp train")


def test_a_folder_without_a_model_is_named(xpmlp: Run, tmp_path: Path) -> None:
    check_one_line(xpmlp("evaluate", tmp_path, "digits"), str(tmp_path), "folder")


def test_a_cut_model_is_named(xpmlp: Run, digits_run: Path) -> None:
    whole = (digits_run / "model.safetensors").read_bytes()
    # Of a few bytes it cannot be told whether they were a model's.
    for length, remedy in ((0, "xpmlp train"), (4, "xpmlp train"), (100, "Copy or download"), (len(whole) - 1, "Copy")):
        Path("cut.safetensors").write_bytes(whole[:length])
        check_one_line(xpmlp("evaluate", "cut.safetensors", "digits"), "cut.safetensors", remedy)


def test_a_foreign_file_is_named(xpmlp: Run) -> None:
    Path("text.txt").write_text("hello", encoding="utf-8")
    check_one_line(xpmlp("evaluate", "text.txt", "digits"), "text.txt")
    foreign = safetensors.numpy.save({"layers.0.weight": np.zeros((64, 10), np.float32)})
    Path("foreign.safetensors").write_bytes(foreign)
    check_one_line(xpmlp("evaluate", "foreign.safetensors", "digits"), "foreign.safetensors", "xpmlp")


def test_a_model_of_a_newer_version_is_named_with_the_remedy(xpmlp: Run, digits_run: Path) -> None:
    content = (digits_run / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["format_version"] = "3"
    text = json.dumps(header).encode()
    Path("newer.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    check_one_line(xpmlp("evaluate", "newer.safetensors", "digits"), "newer.safetensors", "pip install --upgrade xpmlp")


# Printing


def with_classes(model: Model, classes: tuple[int | str, ...]) -> Model:
    """The model with its last layer repeated for as many classes as are named."""
    last = model.layers[-1]
    columns = np.arange(len(classes)) % last.weight.shape[1]
    layers = (*model.layers[:-1], Layer(last.weight[:, columns], last.bias[:, columns]))
    return replace(model, layers=layers, classes=classes)


def test_classes_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    from xpmlp.cli.evaluate import print_scores

    names = ("[red]", ":smile:", "🚀[/]")
    judged = Report(
        loss=1.0,
        accuracy=0.5,
        per_class=tuple(ClassScore(name, 0.5, 0.5, 0.5, 2) for name in names),
        confusion=np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]]),
    )
    print_scores(make_console(), judged)
    print_mistakes(make_console(), judged)
    out = capsys.readouterr().out
    for name in names:
        assert out.count(name) == 3


def many_classes() -> Report:
    confusion = 1000 * np.eye(62, dtype=np.int64)
    confusion[5, 60], confusion[11, 2], confusion[61, 0] = 300, 20, 1
    scores = tuple(ClassScore(f"class {label}", 1.0, 1.0, 1.0, 1000) for label in range(62))
    return Report(loss=0.1, accuracy=0.9, per_class=scores, confusion=confusion)


def test_a_matrix_too_wide_for_a_terminal_becomes_a_list_of_the_commonest_mistakes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = make_console()
    console.width = 80
    print_mistakes(console, many_classes())
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("class")]
    assert rows == [
        ["class", "5", "class", "60", "300"],
        ["class", "11", "class", "2", "20"],
        ["class", "61", "class", "0", "1"],
    ]


def test_a_file_gets_the_whole_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    print_mistakes(make_console(), many_classes())
    out = capsys.readouterr().out
    (row,) = (line for line in out.splitlines() if line.strip().startswith("class 5 "))
    assert row.split()[-2:] == ["300", "·"]
    assert row.count("·") == 60


def test_many_classes_are_evaluated_from_end_to_end(xpmlp: Run, digits_run: Path) -> None:
    model = with_classes(load_model(digits_run / "model.safetensors"), tuple(range(62)))
    save_model(Path("wide.safetensors"), model)
    said = json.loads(xpmlp("evaluate", "wide.safetensors", "digits", "--json").out)
    confusion = np.asarray(said["confusion"])
    assert confusion.shape == (62, 62)
    # A class and its copies have the same probability to the last bits, in which BLAS may favour any of them.
    true, called = np.indices(confusion.shape) % 10
    assert confusion[true == called].sum() > 0.95 * confusion.sum()
