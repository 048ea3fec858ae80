"""Each backend is missing, broken, or tried on each of its devices, and the check goes on."""

import json
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import BACKENDS, NumpyBackend, check_backends
from xpmlp.backends.check import check_backend, try_device
from xpmlp.errors import BackendError, SettingsError


def test_each_is_missing_or_computes_what_numpy_does() -> None:
    statuses = check_backends()
    assert [status.name for status in statuses] == list(BACKENDS)
    for status in statuses:
        if status.install is not None:
            assert "pip install" in status.install
            assert (status.version, status.trials) == (None, ())
        elif status.problem is None:
            assert status.trials
            assert all(trial.problem is None and (trial.difference or 0.0) < 1e-4 for trial in status.trials)
    numpy = json.loads(json.dumps(statuses[0].to_json()))
    assert "thread" in numpy.pop("linear_algebra")
    device = {"name": "cpu", "description": "processor", "total_memory": None, "free_memory": None}
    assert numpy == {
        "name": "numpy",
        "version": np.__version__,
        "install": None,
        "problem": None,
        "trials": [{"device": device, "difference": 0.0, "problem": None}],
        "installed": True,
        "usable": True,
    }


class Wrong(NumpyBackend):
    def to_numpy(self, array: Any) -> Any:
        return array * np.float32(1.001)


@pytest.mark.parametrize("outcome", [Wrong, SettingsError("no such device"), RuntimeError("the driver is on fire")])
def test_a_device_that_fails_or_computes_something_else_is_reported(monkeypatch: Any, outcome: Any) -> None:
    def load(name: str, device: Any = None) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome() if device else NumpyBackend()

    (device,) = NumpyBackend.list_devices()
    monkeypatch.setattr("xpmlp.backends.check.load_backend", load)
    trial = try_device("numpy", device)
    assert trial.difference == (pytest.approx(1e-3, rel=0.1) if outcome is Wrong else None)
    expected = "its weights differ from NumPy's by 0.001" if outcome is Wrong else str(outcome)
    assert expected in (trial.problem or "")


def test_a_library_that_does_not_work_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise BackendError("torch cannot be imported")

    class Unusable(NumpyBackend):
        @classmethod
        def list_devices(cls) -> Any:
            raise BackendError("there is no GPU")

    monkeypatch.setattr("xpmlp.backends.check.backend_class", broken)
    assert check_backend("torch").problem == "torch cannot be imported"
    monkeypatch.setattr("xpmlp.backends.check.backend_class", lambda name: Unusable)
    status = check_backend("numpy")
    assert (status.version, status.problem, status.trials) == (np.__version__, "there is no GPU", ())
