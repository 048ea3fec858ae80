"""``xpmlp backends`` shows what is here and how to get what is not."""

import json
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import BackendStatus, Device
from xpmlp.backends.check import Trial, check_backend


def show(xpmlp: Any, monkeypatch: pytest.MonkeyPatch, *statuses: BackendStatus) -> str:
    monkeypatch.setattr("xpmlp.cli.backends.check_backends", lambda: statuses)
    code, out, err = xpmlp("backends")
    assert (code, err) == (0, "")
    return str(out)


def test_numpy_is_shown_with_its_version_and_threads(xpmlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = (check_backend("numpy"), BackendStatus("jax", install='pip install "xpmlp[jax]"'))
    (line,) = (line for line in show(xpmlp, monkeypatch, *statuses).splitlines() if line.split()[:1] == ["numpy"])
    for word in (np.__version__, "thread", "ok"):
        assert word in line
    listed = json.loads(xpmlp("backends", "--json").out)
    assert [status["name"] for status in listed] == ["numpy", "jax"]


def test_what_cannot_be_used_comes_with_the_reason_or_the_command_that_brings_it(
    xpmlp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = BackendStatus("jax", install='pip install "xpmlp[jax]"')
    out = show(xpmlp, monkeypatch, missing, BackendStatus("cupy", "14.2.0", problem="finds no GPU"))
    for words in ("not installed", 'jax is not installed: pip install "xpmlp[jax]"'):
        assert words in out
    for words in ("does not work", "cupy: finds no GPU"):
        assert words in out


def test_every_device_has_a_line_with_its_memory_and_how_its_training_went(
    xpmlp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Device("cuda:0", "NVIDIA H200", 141 * 10**9, 100 * 10**9)
    trials = (Trial(gpu, 1e-6, None), Trial(Device("cpu", "processor"), None, "it is on fire"))
    out = show(xpmlp, monkeypatch, BackendStatus("torch", "2.13.0", linear_algebra="cuBLAS", trials=trials))
    first, second = (line for line in out.splitlines() if "cuda:0" in line or "processor" in line)
    assert "NVIDIA H200" in first
    assert "141 GB, 100 GB free" in first
    assert "as NumPy" in first
    assert "failed" in second
    assert "torch: it is on fire" in out
