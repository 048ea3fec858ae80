"""The survey says what is here, what is not, and what went wrong, of every backend."""

import json
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import BACKENDS, NumpyBackend, check_backends
from xpmlp.backends.survey import check_backend, largest_difference, train_a_little, try_device
from xpmlp.errors import BackendError, SettingsError
from xpmlp.nn.tree import tree_map


def test_every_backend_is_there_and_numpy_is_usable() -> None:
    statuses = {status.name: status for status in check_backends()}
    assert list(statuses) == list(BACKENDS)
    numpy = statuses["numpy"]
    assert numpy.usable
    assert numpy.version == np.__version__
    assert numpy.install is None
    assert numpy.problem is None
    assert "thread" in (numpy.linear_algebra or "")


def test_each_is_either_missing_broken_or_tried_on_its_devices() -> None:
    for status in check_backends():
        if status.install is not None:
            assert "pip install" in status.install
            assert status.version is None
            assert not status.trials
            assert not status.usable
        elif status.problem is None:
            assert status.trials
            for trial in status.trials:
                assert trial.problem is None, trial
                assert trial.difference is not None
                assert trial.difference < 1e-4


def test_it_can_be_written_as_json() -> None:
    written = json.loads(json.dumps([status.to_json() for status in check_backends()]))
    assert written[0]["name"] == "numpy"
    assert written[0]["usable"] is True
    assert written[0]["trials"][0]["device"] == {
        "name": "cpu",
        "description": "processor",
        "total_memory": None,
        "free_memory": None,
    }


def test_a_device_that_computes_something_else_is_told_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(NumpyBackend):
        def to_numpy(self, array: Any) -> Any:
            return array * np.float32(1.001)

    (device,) = NumpyBackend.list_devices()
    monkeypatch.setattr("xpmlp.backends.survey.load_backend", lambda name, device: Wrong())
    trial = try_device("numpy", device)
    assert trial.difference == pytest.approx(1e-3, rel=0.1)
    assert trial.problem == "its weights differ from NumPy's by 0.001"


@pytest.mark.parametrize("error", [SettingsError("no such device"), RuntimeError("the driver is on fire")])
def test_a_device_that_fails_is_told_on(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("xpmlp.backends.survey.load_backend", fail)
    (device,) = NumpyBackend.list_devices()
    trial = try_device("numpy", device)
    assert trial.difference is None
    assert str(error) in (trial.problem or "")


def test_a_library_that_cannot_be_imported_or_used_does_not_end_the_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise BackendError("torch cannot be imported")

    monkeypatch.setattr("xpmlp.backends.survey.backend_class", broken)
    assert check_backend("torch").problem == "torch cannot be imported"

    class Unusable(NumpyBackend):
        @classmethod
        def list_devices(cls) -> Any:
            raise BackendError("there is no GPU")

    monkeypatch.setattr("xpmlp.backends.survey.backend_class", lambda name: Unusable)
    status = check_backend("numpy")
    assert (status.problem, status.usable) == ("there is no GPU", False)


def test_the_small_training_learns_and_ends_with_a_smaller_batch() -> None:
    layers = train_a_little(NumpyBackend())
    assert largest_difference(layers, layers) == 0.0
    halves = tree_map(lambda array: array / 2, layers)
    assert largest_difference(halves, layers) == pytest.approx(0.5)
