"""PyTorch computes; its autograd sleeps."""

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import NumpyBackend, load_backend
from xpmlp.errors import SettingsError
from xpmlp.nn.tree import tree_map
from xpmlp.threads import use_threads

torch = pytest.importorskip("torch", reason="torch is not installed")

from xpmlp.backends.torch.backend import capture  # noqa: E402


def test_autograd_records_nothing() -> None:
    backend = load_backend("torch", "cpu")
    weight = torch.ones(3, requires_grad=True)
    with backend.scope():
        assert not (weight * 2.0).requires_grad
        assert not backend.asarray(weight).requires_grad
        assert backend.to_numpy(backend.asarray(weight, "float64")).tolist() == [1.0] * 3
    assert (weight * 2.0).requires_grad


def test_float32_is_as_wide_as_was_asked_and_left_as_it_was() -> None:
    setting = torch.backends.cuda.matmul
    backend = load_backend("torch", "cpu")
    for before in (False, True):
        setting.allow_tf32 = before
        with backend.scope():
            assert setting.allow_tf32 is False
        assert setting.allow_tf32 is before
    setting.allow_tf32 = False


def test_the_number_of_threads_holds_during_a_run_in_its_python_thread() -> None:
    backend, before = load_backend("torch", "cpu"), torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before
        with backend.run_threads((), 1, 3) as number:
            assert number == torch.get_num_threads() == 3
            assert pool.submit(torch.get_num_threads).result() == before
    with use_threads(2), backend.threads_for((), 1):
        assert torch.get_num_threads() == 2
    with backend.run_threads((), 1, None) as number, backend.threads_for((), 1):
        assert number == torch.get_num_threads() <= before
    assert torch.get_num_threads() == before


def test_read_only_memory_is_moved_without_a_warning() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    np.testing.assert_array_equal(load_backend("torch", "cpu").asarray(array).numpy(), [0.0, 1.0, 2.0])


@pytest.mark.parametrize("device", ["cuda:99", "xpu", "cpu:1", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(SettingsError, match=f"device '{device}'"):
        load_backend("torch", device)


def test_without_a_name_the_device_is_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert load_backend("torch").device.type == expected


class RecordedStream:
    """Stands for a stream of the current device."""

    current = "cuda:0"

    def __init__(self, *_: Any) -> None:
        self.device = self.current

    def wait_stream(self, other: Any) -> None:
        """Do nothing."""


@contextmanager
def no_device(device: Any) -> Iterator[None]:
    """Make a device current, so that streams belong to it."""
    before, RecordedStream.current = RecordedStream.current, str(device)
    yield
    RecordedStream.current = before


def test_results_can_be_passed_to_autograd(problem: Any) -> None:
    case = problem(load_backend("torch", "cpu"))
    state, samples = case.start()
    result = case.backend.run_epoch(case.step, state, samples, *map(torch.asarray, (case.orders[0], case.rates)), 32)
    tree_map(lambda array: pytest.fail("of inference mode") if array.is_inference() else array, result)


def test_a_failed_capture_is_taken_eagerly(
    problem: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def refuse(graph: Any, *, stream: Any = None, capture_error_mode: str) -> Any:
        tried.append("cuda:0" if stream is None else stream.device)  # PyTorch's own stream is on the first GPU
        raise RuntimeError("operation not permitted when stream is capturing")

    fakes = {"device": no_device, "Stream": RecordedStream, "current_stream": RecordedStream, "stream": nullcontext}
    for name, fake in (fakes | {"CUDAGraph": SimpleNamespace, "graph": refuse}).items():
        monkeypatch.setattr(torch.cuda, name, fake)
    backend: Any = load_backend("torch", "cpu")
    backend.records_steps = True
    backend.recorded.capture = functools.partial(capture, torch.device("cuda:1"))
    found, expected = (problem(where).epochs() for where in (backend, NumpyBackend()))
    tree_map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)
    assert tried == ["cuda:1", "cuda:1"]
    assert "torch: this step cannot be captured (RuntimeError: operation not permitted" in caplog.text
