import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp import load_dataset, load_model, predict

XpmlpCommand = Callable[..., Any]


def test_a_python_file_is_written_that_reads_digits(xpmlp: XpmlpCommand, digits_run: Path) -> None:
    done = xpmlp("export", digits_run, "reader.py")
    assert done.code == 0, done.err
    assert "written to reader.py" in done.out
    assert "agrees with predict" in done.out
    namespace: dict[str, Any] = {"__name__": "reader"}
    exec(compile(Path("reader.py").read_text(encoding="utf-8"), "reader.py", "exec"), namespace)
    x = load_dataset("digits").test.x
    expected = predict(load_model(digits_run / "model.safetensors"), x)
    np.testing.assert_array_equal(namespace["predict"](x * 16), expected.labels)


def test_a_graph_is_written_and_compared(xpmlp: XpmlpCommand, digits_run: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    done = xpmlp("export", digits_run / "model.safetensors", "digits.onnx")
    assert done.code == 0, done.err
    assert "agrees with predict" in done.out
    assert Path("digits.onnx").stat().st_size > 4 * 19_210


def test_without_onnxruntime_the_graph_is_written_and_it_is_said_that_it_was_not_run(
    xpmlp: XpmlpCommand, digits_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    done = xpmlp("export", digits_run, "digits.onnx")
    assert done.code == 0
    assert "pip install onnxruntime" in done.err
    assert Path("digits.onnx").exists()


def test_without_onnx_the_remedy_is_said(
    xpmlp: XpmlpCommand, digits_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = xpmlp("export", digits_run, "digits.onnx")
    assert done.code == 1
    assert 'pip install "xpmlp[onnx]"' in done.err
    assert not Path("digits.onnx").exists()


@pytest.mark.parametrize("data", ["iris", "diabetes"])
@pytest.mark.parametrize("kind", ["onnx", "py"])
def test_models_of_tables_are_exported(xpmlp: XpmlpCommand, data: str, kind: str, no_pictures: None) -> None:
    if kind == "onnx":
        pytest.importorskip("onnx", reason="onnx is not installed")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert xpmlp("train", data, "--epochs", 2, "-o", "run", "-q").code == 0
    done = xpmlp("export", "run", f"out.{kind}")
    assert done.code == 0, done.err
    assert "agrees with predict" in done.out


def test_another_ending_is_refused_with_the_two_that_are_known(xpmlp: XpmlpCommand, digits_run: Path) -> None:
    done = xpmlp("export", digits_run, "digits.tflite")
    assert done.code == 1
    assert "digits.tflite" in done.err
    assert ".onnx or .py" in done.err


def test_a_file_is_replaced_only_by_force(xpmlp: XpmlpCommand, digits_run: Path) -> None:
    Path("reader.py").write_text("mine", encoding="utf-8")
    done = xpmlp("export", digits_run, "reader.py")
    assert done.code == 1
    assert "--force" in done.err
    assert Path("reader.py").read_text(encoding="utf-8") == "mine"
    assert xpmlp("export", digits_run, "reader.py", "--force").code == 0
    assert Path("reader.py").read_text(encoding="utf-8") != "mine"


def test_a_missing_model_is_said(xpmlp: XpmlpCommand) -> None:
    done = xpmlp("export", "nowhere", "out.py")
    assert done.code == 1
    assert "nowhere" in done.err


@pytest.mark.parametrize("difference", [0.1, float("nan")])
def test_what_says_something_else_is_not_written(
    xpmlp: XpmlpCommand, digits_run: Path, monkeypatch: pytest.MonkeyPatch, difference: float
) -> None:
    from xpmlp.cli import export

    monkeypatch.setattr(sys.modules["xpmlp.cli.export"], "largest_difference", lambda *arguments: difference)
    assert export is not None
    done = xpmlp("export", digits_run, "reader.py")
    assert done.code == 1
    assert "not written" in done.err
    assert not Path("reader.py").exists()
