"""``xpmlp backends`` shows what is here and how to get what is not."""

import json
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import BackendStatus, Device
from xpmlp.backends.check import Trial, check_backend


def test_every_device_has_a_line_and_what_cannot_be_used_a_reason_or_a_remedy(
    xpmlp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Device("cuda:0", "NVIDIA H200", 141 * 10**9, 100 * 10**9)
    trials = (Trial(gpu, 1e-6, None), Trial(Device("cpu", "processor"), None, "it is on fire"))
    statuses = (
        check_backend("numpy"),
        BackendStatus("jax", install='pip install "xpmlp[jax]"'),
        BackendStatus("cupy", "14.2.0", problem="finds no GPU"),
        BackendStatus("torch", "2.13.0", linear_algebra="cuBLAS", trials=trials),
    )
    monkeypatch.setattr("xpmlp.cli.backends.check_backends", lambda: statuses)
    code, out, err = xpmlp("backends")
    assert (code, err) == (0, "")
    _, numpy, jax, cupy, first, second, *reasons = (line for line in out.splitlines() if line.strip(" ─"))
    for line, words in (
        (numpy, ("numpy", np.__version__, "thread", "ok")),
        (jax, ("jax", "not installed")),
        (cupy, ("cupy", "does not work")),
        (first, ("torch", "cuda:0", "NVIDIA H200", "141 GB, 100 GB free", "as NumPy")),
        (second, ("processor", "failed")),
    ):
        for word in words:
            assert word in line
    assert "".join(reasons) == ('jax is not installed: pip install "xpmlp[jax]"cupy: finds no GPUtorch: it is on fire')
    listed = json.loads(xpmlp("backends", "--json").out)
    assert [status["name"] for status in listed] == ["numpy", "jax", "cupy", "torch"]
