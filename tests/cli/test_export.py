import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp import load_dataset, load_model, predict, save_model, train
from xpmlp.training import default_recipe

Run = Callable[..., Any]


def test_without_onnxruntime_a_graph_is_written_and_without_onnx_it_is_not(
    xpmlp: Run, refused: Run, digits_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    done = xpmlp("export", digits_run / "model.safetensors", "digits.onnx")
    assert "was checked but not run. Run: pip install onnxruntime" in done.err
    assert Path("digits.onnx").stat().st_size > 4 * 19_210
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused(("export", digits_run, "other.onnx"), 'pip install "xpmlp[onnx]"')
    assert not Path("other.onnx").exists()


@pytest.mark.parametrize("data", ["digits", "iris", "diabetes"])
@pytest.mark.parametrize("kind", ["onnx", "py"])
def test_models_are_exported(xpmlp: Run, data: str, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnx", reason="onnx is not installed")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    dataset = load_dataset(data)
    model, _ = train(dataset, replace(default_recipe(dataset), epochs=2))
    save_model(Path("model.safetensors"), model)
    done = xpmlp("export", "model.safetensors", f"out.{kind}")
    assert f"written to out.{kind}: " in done.out
    assert "agrees with predict" in done.out
    if (data, kind) == ("digits", "py"):
        namespace: dict[str, Any] = {"__name__": "reader"}
        exec(compile(Path("out.py").read_text(encoding="utf-8"), "out.py", "exec"), namespace)
        np.testing.assert_array_equal(namespace["predict"](dataset.test.x * 16), predict(model, dataset.test).labels)


def test_a_page_is_written_with_the_runs_history_and_test_images(xpmlp: Run, no_pictures: None) -> None:
    xpmlp("train", "digits", "--epochs", 2, "-o", "run", "-q")
    done = xpmlp("export", "run", "digits.html")
    assert (done.code, done.err) == (0, "")
    (text,) = re.findall(r'id="description">(.*?)</script>', Path("digits.html").read_text(encoding="utf-8"), re.DOTALL)
    description = json.loads(text)
    assert [row["epoch"] for row in description["history"]] == [1, 2]
    assert np.sum(description["report"]["confusion"]) == len(load_dataset("digits").test.labels)
    assert description["report"]["accuracy"] == json.loads(Path("run/run.json").read_bytes())["test_accuracy"]
    assert {str(digit) for digit in range(10)} <= set(description["examples"]["labels"])


def test_a_page_is_written_without_what_is_gone(xpmlp: Run, digits_run: Path) -> None:
    model = load_model(digits_run / "model.safetensors")
    save_model(Path("model.safetensors"), replace(model, training={}))
    done = xpmlp("export", "model.safetensors", "digits.html", "--small")
    assert "note: without examples and scores: the model does not record its training data" in done.err
    assert Path("digits.html").is_file()


def test_an_output_that_cannot_be_is_refused(xpmlp: Run, refused: Run, digits_run: Path) -> None:
    refused(("export", digits_run, "digits.tflite"), "digits.tflite", ".onnx or .py")
    refused(("export", "nowhere", "out.py"), "nowhere")
    refused(("export", digits_run, "digits.py", "--small"), "--small", ".html")
    Path("reader.py").write_text("mine", encoding="utf-8")
    refused(("export", digits_run, "reader.py"), "--force")
    assert Path("reader.py").read_text(encoding="utf-8") == "mine"
    xpmlp("export", digits_run, "reader.py", "--force")
    assert Path("reader.py").read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize("difference", [0.1, float("nan")])
def test_what_says_something_else_is_not_written(
    refused: Run, digits_run: Path, monkeypatch: pytest.MonkeyPatch, difference: float
) -> None:
    module = importlib.import_module("xpmlp.cli.export")
    monkeypatch.setattr(module, "largest_difference", lambda *arguments: difference)
    refused(("export", digits_run, "reader.py"), "not written")
    assert not Path("reader.py").exists()
