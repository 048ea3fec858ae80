"""What a notebook shows of datasets, models, runs and reports, and what `repr` says of them."""

import html.parser
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import classification_report

import xpmlp
from xpmlp.model import ModelError


class Cells(html.parser.HTMLParser):
    """The texts of a table's cells, row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1].append(data)


@pytest.fixture(scope="module")
def digits() -> tuple[xpmlp.Dataset, xpmlp.Model, Any, Any]:
    """The digits, a model of them, its run and its report."""
    data = xpmlp.load_dataset("digits")
    model, result = xpmlp.train(data, hidden_layer_sizes=(16, 12), epochs=2, verbose=False)
    return data, model, result, xpmlp.evaluate(model, data)


def test_reprs_are_one_short_line(digits: Any) -> None:
    data, model, result, report = digits
    accuracy = result.history[-1].test_accuracy
    assert repr(data) == "Dataset('digits': 1,437 training rows, 360 test rows, 8 × 8 inputs, 10 classes)"
    assert repr(data.test) == "Split(360 rows)"
    assert repr(model) == "Model(64-16-12-10, relu, multiclass: 10 classes)"
    assert re.fullmatch(
        rf"FitResult\(2 epochs, \d+\.\d s, loss \S+, test loss \S+, test accuracy {accuracy:.4f}\)", repr(result)
    )
    assert repr(report) == f"Report(accuracy {100 * accuracy:.2f} %, loss {report.loss:.4f}, 360 rows)"
    assert re.fullmatch(r"Prediction\(360 rows, labels \[.{,60}\)", repr(xpmlp.predict(model, data.test)))


def test_notebooks_show_layers_classes_scores_and_curves(digits: Any) -> None:
    data, model, result, report = digits
    header, *layers = Cells(model._repr_html_()).rows
    assert header == ["layer", "inputs", "units", "activation", "parameters"]
    assert layers[-1] == ["3", "12", "10", "softmax", "130"]
    assert sum(int(row[-1].replace(",", "")) for row in layers) == model.parameters == 64 * 16 + 16 + 204 + 130
    assert f"test accuracy: {100 * report.accuracy:.2f} %" in model._repr_html_()
    rows = Cells(data._repr_html_()).rows
    assert rows[4] == ["3", str(np.sum(data.train.labels == 3)), str(np.sum(data.test.labels == 3))]
    assert Cells(xpmlp.load_dataset("iris")._repr_html_()).rows[1] == ["setosa", "40", "10"]  # a class of text
    scores = Cells(report._repr_html_()).rows
    truth = classification_report(data.test.labels, xpmlp.predict(model, data.test).labels, output_dict=True)
    assert float(scores[1 + 7][1]) == pytest.approx(truth["7"]["precision"], abs=1e-4)
    assert [cell for cell in scores[12 + 7][1:] if cell != "·"] == [str(n) for n in report.confusion[7] if n]
    assert "data:image/png;base64," in result._repr_html_()


def test_pictures_are_at_hand_and_can_be_saved(digits: Any, tmp_path: Path) -> None:
    _, model, result, report = digits
    for picture in (model.plot_weights("the weights"), result.plot_curves(), report.plot_confusion()):
        picture.save(tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes() == picture._repr_png_() == picture
        assert picture.startswith(b"\x89PNG")
        assert len(repr(picture)) < 60


def test_a_regression_of_a_table_shows_its_errors_and_has_no_weights_to_draw() -> None:
    x, y = load_diabetes(return_X_y=True)
    lowest, *_ = Cells(xpmlp.load_dataset("diabetes")._repr_html_()).rows[1:]
    assert (lowest[0], min(map(float, lowest[1:]))) == ("minimum", y.min())
    model, _ = xpmlp.train({"<b>": x[:, 2], "b": x[:, 8]}, y, epochs=2, verbose=False)
    assert repr(model).endswith("regression: y)")
    report = xpmlp.evaluate(model, {"<b>": x[:, 2], "b": x[:, 8]}, y)
    assert f"R² {report.r2:.4f}" in repr(report)  # type: ignore[union-attr]
    assert max(len(repr(value)) for value in (report, xpmlp.predict(model, {"<b>": x[:, 2], "b": x[:, 8]}))) < 100
    shown = dict(Cells(report._repr_html_()).rows)
    assert float(shown["RMSE"]) == pytest.approx(report.rmse, rel=1e-3)  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="not images"):
        model.plot_weights()


def test_dir_lists_the_public_names_only() -> None:
    code = "import xpmlp; print(*dir(xpmlp)); assert xpmlp.plots.draw_curves and xpmlp.export.to_onnx"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in found if name.startswith("_") and name != "__version__"]
    assert {*xpmlp.__all__, "plots", "export", "training", "nn", "backends"} <= set(found)
    assert "importlib" not in found
