"""Streamed samples train the same network as samples on the device."""

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import Backend, NumpyBackend, load_backend
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import DeviceStep
from xpmlp.data import StreamedSamples, place_samples
from xpmlp.data.placement import rows_on_device, train_epoch
from xpmlp.datasets.memory import format_bytes
from xpmlp.errors import MissingDependencyError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import Optimizer, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState, make_step
from xpmlp.nn.tree import tree_map

ROWS, FEATURES, OUTPUTS = 1000, 20, 3
ROW_BYTES = (FEATURES + OUTPUTS + 1) * 8
SGD = sgd()


def host_samples() -> Samples:
    generator = np.random.default_rng(0)
    targets = np.eye(OUTPUTS)[generator.integers(OUTPUTS, size=ROWS)]
    return Samples(generator.normal(size=(ROWS, FEATURES)), targets, generator.uniform(0.5, 2.0, ROWS))


def training(optimizer: Optimizer = SGD, sizes: tuple[int, ...] = (FEATURES, OUTPUTS)) -> tuple[Step, Layers]:
    """A step, and the weights that it begins with."""
    step = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=optimizer)
    return step, init_layers(np, np.random.default_rng(0), sizes, glorot_uniform(), dtype=np.float64)


@pytest.fixture(params=["numpy", "torch", "jax"])
def backend(request: pytest.FixtureRequest) -> Backend:
    try:
        return load_backend(request.param, "cpu")
    except MissingDependencyError:
        return pytest.skip(f"{request.param} is not installed")


def with_memory(backend: Backend, monkeypatch: pytest.MonkeyPatch, free: int) -> Backend:
    monkeypatch.setattr(backend, "free_memory", lambda: free)
    return backend


@pytest.mark.parametrize("records", [False, True])
@pytest.mark.parametrize("batch_size", [64, 100, 1000, 5000])
def test_epochs_are_the_same(backend: Backend, batch_size: int, records: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if records and backend.name == "jax":
        pytest.skip("arrays of jax cannot be written to")
    samples = host_samples()
    optimizer = sgd(momentum=0.9)
    step, layers = training(optimizer, (FEATURES, 8, OUTPUTS))
    order = np.random.default_rng(1).permutation(ROWS)
    rates = np.linspace(0.1, 0.01, -(-ROWS // batch_size))
    # About four blocks, or one for each batch.
    with_memory(backend, monkeypatch, int(ROWS * ROW_BYTES * 0.9))
    monkeypatch.setattr(backend, "records_steps", records)
    monkeypatch.setattr(backend, "recorded", CapturedEpoch(backend.xp, lambda static: static.run), raising=False)
    with backend.scope():
        device_layers = tree_map(backend.asarray, layers)
        state = TrainingState(device_layers, optimizer.init(backend.xp, device_layers))
        held = place_samples(backend, samples, "float64")
        assert isinstance(held, StreamedSamples)
        everything = samples.map(backend.asarray)
        results = [train_epoch(backend, step, state, data, order, rates, batch_size) for data in (held, everything)]
        fed, resident = (tree_map(backend.to_numpy, result) for result in results)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), fed, resident)


def test_streamed_samples_are_captured_twice_and_while_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = with_memory(NumpyBackend(), monkeypatch, int(ROWS * ROW_BYTES * 0.9))
    fetching = threading.Lock()
    recorded: list[int] = []

    @contextlib.contextmanager
    def transfer_stream() -> Iterator[None]:
        with fetching:
            yield

    def record(static: DeviceStep) -> Callable[[], None]:
        time.sleep(0.1)  # time for a copy to begin
        assert not fetching.locked()
        recorded.append(static.batches.shape[1])
        return static.run

    monkeypatch.setattr(backend, "transfer_stream", transfer_stream)
    monkeypatch.setattr(backend, "records_steps", True)
    monkeypatch.setattr(backend, "asarray", slowly(backend.asarray))
    recordings = CapturedEpoch(backend.xp, record)
    monkeypatch.setattr(backend, "run_epoch", recordings.run)
    held = place_samples(backend, host_samples(), "float64")
    assert isinstance(held, StreamedSamples)
    step, layers = training()
    state = TrainingState(layers, ())
    for _ in range(3):
        state, _ = train_epoch(backend, step, state, held, np.arange(ROWS), np.full(16, 0.1), 64)
    assert recorded == [64, ROWS % 64]


def slowly(move: Callable[..., Any]) -> Callable[..., Any]:
    """Delay a copy."""

    def moved(*arguments: Any) -> Any:
        time.sleep(0.02)
        return move(*arguments)

    return moved


def test_a_block_outlives_the_work_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory would go to the next block's copy while the device is still reading it."""
    backend = with_memory(NumpyBackend(), monkeypatch, int(ROWS * ROW_BYTES * 0.9))
    alive: list[weakref.ref[Any]] = []
    pending: list[bool] = []

    def copy(block: Samples) -> Samples:
        alive.append(weakref.ref(block.x))
        return block.map(np.copy)

    monkeypatch.setattr(backend, "records_steps", True)
    monkeypatch.setattr(backend, "synchronize", lambda state: pending.append(alive[-1]() is not None))
    streamed = place_samples(backend, host_samples(), "float64")
    assert isinstance(streamed, StreamedSamples)
    monkeypatch.setattr("xpmlp.data.placement.copy_to_buffer", lambda buffer, block: copy(block))
    step, layers = training()
    train_epoch(backend, step, TrainingState(layers, ()), streamed, np.arange(ROWS), np.full(16, 0.1), 64)
    assert len(pending) > 2
    assert all(pending)


def test_samples_that_do_not_fit_are_told_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    samples = host_samples()
    assert isinstance(place_samples(NumpyBackend(), samples, "float64"), Samples)  # its memory is that of the host
    needed = ROWS * ROW_BYTES
    fits = with_memory(NumpyBackend(), monkeypatch, int(needed / 0.79))
    assert isinstance(place_samples(fits, samples, "float64"), Samples)
    assert not caplog.records
    lacks = with_memory(NumpyBackend(), monkeypatch, int(needed / 0.81))
    with caplog.at_level(logging.WARNING):
        held = place_samples(lacks, samples, "float64")
    assert isinstance(held, StreamedSamples)
    assert "need 192 kB, but cpu has only 237 kB free" in caplog.text
    # As float32 the same rows take half.
    assert isinstance(place_samples(lacks, samples, "float32"), Samples)


@pytest.mark.parametrize(("block_bytes", "rows"), [(0, 64), (64 * ROW_BYTES, 64), (200 * ROW_BYTES, 192)])
def test_a_block_holds_whole_batches(block_bytes: int, rows: int) -> None:
    assert StreamedSamples(host_samples(), "float64", block_bytes).block_rows(64) == rows


def test_rows_for_evaluation_come_from_streamed_samples_too(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = with_memory(NumpyBackend(), monkeypatch, 10)
    held = place_samples(backend, host_samples(), "float32")
    assert isinstance(held, StreamedSamples)
    x, targets, weight = rows_on_device(backend, held, 990, 2000)
    assert x.shape == (10, FEATURES)
    assert targets.shape == (10, OUTPUTS)
    assert weight is not None
    assert {x.dtype, targets.dtype, weight.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(x, host_samples().x[990:], rtol=1e-6)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (999_600, "1 MB"), (2 * 10**9, "2 GB"), (4.1e12, "4.1 TB")],
)
def test_bytes_as_text(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_an_error_in_the_transfer_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = with_memory(NumpyBackend(), monkeypatch, 10)
    held = place_samples(backend, host_samples(), "float64")

    def refuse(*_: Any) -> Any:
        raise MemoryError("no more")

    monkeypatch.setattr(backend, "asarray", refuse)
    step, layers = training()
    with pytest.raises(MemoryError, match="no more"):
        train_epoch(backend, step, TrainingState(layers, ()), held, np.arange(ROWS), np.full(10, 0.1), 100)
