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
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
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


class Work:
    """A network and random rows on a device, and how to train an epoch."""

    def __init__(
        self, backend: Backend, *, rows: int = 5000, features: int = 200, models: tuple[int, ...] = ()
    ) -> None:
        generator = np.random.default_rng(0)
        self.backend = backend
        self.samples = Samples(
            generator.normal(size=(rows, features)).astype(np.float32),
            np.eye(10, dtype=np.float32)[generator.integers(10, size=rows)],
        )
        self.optimizer = adam()
        self.step = make_step(
            activation=ACTIVATIONS["relu"], loss=LOSSES["softmax_cross_entropy"], optimizer=self.optimizer
        )
        layers = init_layers(np, generator, (features, 64, 10), glorot_uniform(), dtype=np.float32)
        layers = tuple(Layer(*(np.broadcast_to(a, (*models, *a.shape)) for a in layer)) for layer in layers)
        device_layers = tree_map(backend.asarray, layers)
        self.state = TrainingState(device_layers, self.optimizer.init(backend.xp, device_layers))
        self.order = generator.permutation(rows)
        self.rates = np.full(-(-rows // 128), 1e-3)

    def epoch(self, held: Any) -> Any:
        return train_epoch(self.backend, self.step, self.state, held, self.order, self.rates, 128)

    def eager_epoch(self, held: Samples) -> Any:
        move = self.backend.asarray
        return Backend.run_epoch(
            self.backend, self.step, self.state, held, move(self.order), move(self.rates, "float32"), 128
        )


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
def test_the_recorded_epoch_is_the_eager_one(backend: Backend, models: tuple[int, ...]) -> None:
    with backend.scope():
        work = Work(backend, models=models)
        held = place_samples(backend, work.samples, "float32")
        assert isinstance(held, Samples)
        for _ in range(2):
            recorded, eager = work.epoch(held), work.eager_epoch(held)
            assert_same(backend, recorded, eager)
            work.state = recorded[0]


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
def test_nothing_is_copied_and_nobody_waits_within_an_epoch(backend: Backend) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: its profiler sees every library's copies")
    with backend.scope():
        work = Work(backend)
        held: Any = place_samples(backend, work.samples, "float32")
        order, rates = backend.asarray(work.order), backend.asarray(work.rates, "float32")
        arguments = (work.step, work.state, held, order, rates, 128)
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
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with backend.scope():
        work = Work(backend)
        resident = place_samples(backend, work.samples, "float32")
        expected = work.epoch(resident)
        needed = work.samples.x.nbytes + work.samples.targets.nbytes
        monkeypatch.setattr(backend, "free_memory", lambda: needed)
        with caplog.at_level(logging.WARNING):
            fed = place_samples(backend, work.samples, "float32")
        assert isinstance(fed, StreamedSamples)
        assert "streamed in blocks" in caplog.text
        for _ in range(2):
            assert_same(backend, work.epoch(fed), expected)


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


def test_float32_is_rounded_to_fewer_bits_on_request_only(backend: Backend) -> None:
    with backend.scope():
        work = Work(backend, features=2000)
        held = place_samples(backend, work.samples, "float32")
        assert isinstance(held, Samples)
        exact = work.eager_epoch(held)[0].layers[0].weight
        wide = work.epoch(held)[0].layers[0].weight
        error = float(backend.xp.max(backend.xp.abs(wide - exact)))
    rounding = load_backend(backend.name, "cuda", tf32=True)
    with rounding.scope():
        work = Work(rounding, features=2000)
        narrow = rounding.to_numpy(work.epoch(place_samples(rounding, work.samples, "float32"))[0].layers[0].weight)
    difference = np.abs(narrow - backend.to_numpy(exact)).max()
    print(f"{backend.name}: {error:.1e} in float32, {difference:.1e} with TF32")
    assert error < 0.1 * difference


def test_arrays_come_back_as_they_went(backend: Backend) -> None:
    for dtype in ("float32", "float64", "int64", "bool"):
        host = np.array([[0.0, 1.0], [3.0, 0.0]]).astype(dtype)
        with backend.scope():
            np.testing.assert_array_equal(backend.to_numpy(backend.asarray(host)), host, strict=True)
