"""On an NVIDIA GPU: what is recorded is what is computed, nothing waits for the host, and no memory is lost.

Run it with ``nox -s gpu``, or ``python -m pytest -m gpu`` where CuPy, PyTorch and JAX are installed already.
"""

import dataclasses
import gc
import logging
from collections import Counter
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import Backend, load_backend
from xpmlp.data import StreamedSamples, place_samples
from xpmlp.data.placement import train_epoch
from xpmlp.datasets import Dataset, load_digits
from xpmlp.errors import BackendError, MissingDependencyError, SettingsError
from xpmlp.nn.samples import Samples
from xpmlp.nn.tree import tree_map
from xpmlp.training import Recipe, fit_dataset

pytestmark = pytest.mark.gpu

RECIPE = Recipe(hidden_layer_sizes=(32,), epochs=50, batch_size=100)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_digits()


@pytest.fixture(params=["cupy", "torch", "jax"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each library in turn on the first GPU; what a machine lacks is skipped by name."""
    try:
        return load_backend(request.param, "cuda")
    except MissingDependencyError:
        return pytest.skip(f"{request.param} is not installed")
    except (BackendError, SettingsError) as error:
        return pytest.skip(f"{request.param} finds no CUDA device: {error}")


@pytest.fixture
def work(backend: Backend, problem: Any) -> Any:
    """A network and random rows."""
    return make_work(problem, backend)


def make_work(problem: Any, backend: Backend, features: int = 200, models: tuple[int, ...] = ()) -> Any:
    shape = {"sizes": (features, 64, 10), "rows": 5000, "batch_size": 128, "models": models}
    work = problem(backend, **shape, activation="relu")
    work.rates[:] = 1e-3
    return work


def hold(work: Any) -> Any:
    """Return the initial state and the samples, where `place_samples` places them."""
    return tree_map(work.backend.asarray, work.state), place_samples(work.backend, work.samples, "float32")


def epoch(work: Any, state: Any, held: Any) -> Any:
    return train_epoch(work.backend, work.step, state, held, work.orders[0], work.rates, work.batch_size)


def eager_epoch(work: Any, state: Any, held: Samples) -> Any:
    order, rates = map(work.backend.asarray, (work.orders[0], work.rates))
    return Backend.run_epoch(work.backend, work.step, state, held, order, rates, work.batch_size)


def assert_same(backend: Backend, left: Any, right: Any) -> None:
    def compare(a: Any, b: Any) -> None:
        a, b = backend.to_numpy(a), backend.to_numpy(b)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(float(np.abs(b).max()), 1e-6))

    tree_map(compare, left, right)


def test_cupy_records_its_steps() -> None:
    pytest.importorskip("nvmath", reason="nvmath is not installed")
    try:
        backend = load_backend("cupy")
    except (MissingDependencyError, BackendError) as error:
        pytest.skip(str(error))
    with backend.scope():
        assert backend.records_steps


@pytest.mark.parametrize("models", [(), (3,)])
def test_the_recorded_epoch_is_the_eager_one(backend: Backend, problem: Any, models: tuple[int, ...]) -> None:
    work = make_work(problem, backend, models=models)
    with backend.scope():
        state, held = hold(work)
        assert isinstance(held, Samples)
        for _ in range(2):
            recorded = epoch(work, state, held)
            assert_same(backend, recorded, eager_epoch(work, state, held))
            state = recorded[0]


def count_recordings(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that will hold the batch size of each recording that the backend makes."""
    recorded = getattr(backend, "recorded", None)
    if recorded is None:
        pytest.skip(f"{backend.name} compiles; its own test counts that")
    recordings: list[int] = []
    capture = recorded.capture

    def counted(static: Any) -> Any:
        recordings.append(static.batches.shape[1])
        return capture(static)

    monkeypatch.setattr(recorded, "capture", counted)
    return recordings


@pytest.mark.parametrize("free", [None, 400_000])  # the rows take 425 kB: they are streamed
def test_fifty_epochs_take_two_recordings(
    backend: Backend, digits: Dataset, monkeypatch: pytest.MonkeyPatch, free: int | None
) -> None:
    recordings = count_recordings(backend, monkeypatch)
    if free is not None:
        monkeypatch.setattr(backend, "free_memory", lambda: free)
    fit_dataset(digits, RECIPE, backend=backend)
    assert recordings == [100, 37]


@pytest.mark.parametrize("backend", ["torch", "jax"], indirect=True)  # the emulated device counts CuPy's
def test_nothing_is_copied_and_nobody_waits_within_an_epoch(backend: Backend, work: Any) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: its profiler sees every library's copies")
    with backend.scope():
        state, held = hold(work)
        arguments = work.step, state, held, *map(backend.asarray, (work.orders[0], work.rates)), 128
        backend.synchronize(backend.run_epoch(*arguments)[0])
        activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities) as profile:
            state, _ = backend.run_epoch(*arguments)
            backend.synchronize(state)
    names = Counter(event.name for event in profile.events())
    copies = {name: count for name, count in names.items() if "HtoD" in name or "DtoH" in name}
    waits = {name: count for name, count in names.items() if "Synchronize" in name}
    print(f"{backend.name}: {sum(names.values())} events in an epoch, copies {copies}, waits {waits}")
    assert not copies
    assert sum(waits.values()) <= 3  # the one at the end, and the profiler's own


def test_data_that_do_not_fit_are_fed_and_train_the_same_network(
    backend: Backend, work: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with backend.scope():
        state, resident = hold(work)
        expected = epoch(work, state, resident)
        needed = work.samples.x.nbytes + work.samples.targets.nbytes
        monkeypatch.setattr(backend, "free_memory", lambda: needed)
        with caplog.at_level(logging.WARNING):
            _, fed = hold(work)
        assert isinstance(fed, StreamedSamples)
        assert "streamed in blocks" in caplog.text
        for _ in range(2):
            assert_same(backend, epoch(work, state, fed), expected)


def test_memory_does_not_grow_from_epoch_to_epoch_or_from_fit_to_fit(backend: Backend, digits: Dataset) -> None:
    def free_after(fits: int) -> int:
        for seed in range(fits):
            fit_dataset(digits, dataclasses.replace(RECIPE, epochs=3, seed=seed), backend=backend)
        gc.collect()
        free = backend.free_memory()
        if free is None:
            pytest.skip(f"{backend.name} does not tell how much memory is free")
        return free

    before = free_after(3)
    assert before - free_after(10) < 64 * 2**20


def test_too_little_memory_is_an_error_that_is_known_as_one(backend: Backend) -> None:
    def ask_for_too_much() -> None:
        backend.to_numpy(backend.xp.ones((2**22, 2**20), dtype=backend.xp.float64, device=backend.device)[:1, :1])

    with backend.scope(), pytest.raises((RuntimeError, MemoryError)) as caught:
        ask_for_too_much()
    assert backend.is_out_of_memory(caught.value), caught.value
    # And the device still computes.
    with backend.scope():
        assert float(backend.xp.sum(backend.asarray(np.ones(10)))) == 10.0


def test_float32_is_rounded_to_fewer_bits_on_request_only(backend: Backend, problem: Any) -> None:
    weights = {}
    for name, run in (("exact", eager_epoch), ("wide", epoch), ("narrow", epoch)):
        chosen = load_backend(backend.name, "cuda", tf32=True) if name == "narrow" else backend
        work = make_work(problem, chosen, features=2000)
        with chosen.scope():
            (layers, *_), _ = run(work, *hold(work))
            weights[name] = chosen.to_numpy(layers[0].weight)
    error, difference = (np.abs(weights[name] - weights["exact"]).max() for name in ("wide", "narrow"))
    print(f"{backend.name}: {error:.1e} in float32, {difference:.1e} with TF32")
    assert error < 0.1 * difference


def test_arrays_come_back_as_they_went(backend: Backend) -> None:
    for dtype in ("float32", "float64", "int64", "bool"):
        host = np.array([[0.0, 1.0], [3.0, 0.0]]).astype(dtype)
        with backend.scope():
            np.testing.assert_array_equal(backend.to_numpy(backend.asarray(host)), host, strict=True)
