"""``xpmlp backends`` shows what is here and how to get what is not."""

import json
from typing import Any

import pytest

from xpmlp.backends import BackendStatus, Device
from xpmlp.backends.check import Trial


def show(xpmlp: Any, monkeypatch: pytest.MonkeyPatch, *statuses: BackendStatus) -> str:
    monkeypatch.setattr("xpmlp.cli.backends.check_backends", lambda: statuses)
    code, out, err = xpmlp("backends")
    assert (code, err) == (0, "")
    return str(out)


def test_numpy_is_shown_with_its_version_and_threads(xpmlp: Any) -> None:
    import numpy as np

    code, out, _ = xpmlp("backends")
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.strip().startswith("numpy"))
    assert np.__version__ in line
    assert "thread" in line
    assert "ok" in line


def test_as_json_every_backend_is_an_object(xpmlp: Any) -> None:
    code, out, _ = xpmlp("backends", "--json")
    assert code == 0
    assert [status["name"] for status in json.loads(out)] == ["numpy", "cupy", "torch", "jax"]


def test_what_is_missing_comes_with_the_command_that_brings_it(xpmlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = show(xpmlp, monkeypatch, BackendStatus("jax", install='pip install "xpmlp[jax]"'))
    assert "not installed" in out
    assert 'jax is not installed: pip install "xpmlp[jax]"' in out


def test_what_cannot_be_used_comes_with_the_reason(xpmlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = show(xpmlp, monkeypatch, BackendStatus("cupy", "14.2.0", problem="finds no GPU"))
    assert "does not work" in out
    assert "cupy: finds no GPU" in out


def test_every_device_has_a_line_with_its_memory_and_how_its_training_went(
    xpmlp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Device("cuda:0", "NVIDIA H200", 140 * 2**30, 100 * 2**30)
    trials = (Trial(gpu, 1e-6, None), Trial(Device("cpu", "processor"), None, "it is on fire"))
    out = show(xpmlp, monkeypatch, BackendStatus("torch", "2.13.0", linear_algebra="cuBLAS", trials=trials))
    first, second = (line for line in out.splitlines() if "cuda:0" in line or "processor" in line)
    assert "NVIDIA H200" in first
    assert "140 GiB, 100 GiB free" in first
    assert "as NumPy" in first
    assert "failed" in second
    assert "torch: it is on fire" in out
