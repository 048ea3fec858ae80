import gc
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map


def diverge(backend: NumpyBackend) -> tuple[TrainingState, Any]:
    """An epoch that overflows: weights and learning rates far too large."""
    step = make_step(activation=ACTIVATIONS["relu"], loss=LOSSES["squared_error"], optimizer=sgd())
    layers = (Layer(np.full((2, 3), 1e200), np.zeros((1, 3))), Layer(np.full((3, 1), 1e200), np.zeros((1, 1))))
    samples = Samples(np.ones((4, 2)), np.zeros((4, 1)))
    return backend.run_epoch(step, TrainingState(layers, ()), samples, np.arange(4), np.full(2, 1e10), 2)


def test_numbers_that_overflow_give_no_warning_within_the_backends_scope() -> None:
    backend = NumpyBackend()
    with backend.scope():
        state, objectives = diverge(backend)
    assert not np.any(np.isfinite(objectives))
    assert not np.all(np.isfinite(state.layers[0].weight))


def test_outside_of_it_numpy_warns_as_the_user_has_it_set() -> None:
    backend = NumpyBackend()
    with warnings.catch_warnings(record=True) as before:
        warnings.simplefilter("always")
        diverge(backend)
    assert any("overflow" in str(warning.message) for warning in before)
    with np.errstate(over="raise", invalid="raise"):
        with backend.scope():
            diverge(backend)
        with pytest.raises(FloatingPointError):
            diverge(backend)


def test_arrays_are_numpys_own() -> None:
    backend = NumpyBackend()
    assert backend.xp is np
    array = backend.asarray(np.arange(3.0))
    assert type(array) is np.ndarray
    assert type(backend.to_numpy(array)) is np.ndarray


def test_a_record_names_numpy_with_its_version() -> None:
    assert NumpyBackend().describe() == {"backend": "numpy", "library": f"numpy {np.__version__}", "device": "cpu"}


# The smallest are left to the library, which takes one thread for them without being told; but not for sums of arrays.
@pytest.mark.parametrize(("width", "threads"), [(16, 2), (128, 1), (512, 1), (4096, 2)])
def test_small_matrix_products_run_in_one_thread_and_large_ones_as_numpy_is_set_up(width: int, threads: int) -> None:
    pools = ThreadpoolController().select(user_api="blas")
    backend = NumpyBackend()
    layers = (Layer(np.zeros((width, width)), np.zeros((1, width))),)
    used: list[int] = []

    def step(xp: Any, state: TrainingState, *batch: Any) -> tuple[TrainingState, Any]:
        used.extend(pool["num_threads"] for pool in pools.info())
        return state, np.float64(0.0)

    samples = Samples(np.zeros((2, width)), np.zeros((2, width)))
    with pools.limit(limits=2):
        backend.run_epoch(step, TrainingState(layers, ()), samples, np.arange(2), np.ones(1), 2)
        after = [pool["num_threads"] for pool in pools.info()]
    assert used
    assert set(used) == {threads}
    assert set(after) == {2}


class Work:
    """A small network and enough batches of data for its step to be recorded."""

    def __init__(self, step: Any = None, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.step = step or make_step(
            activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=sgd(momentum=0.9)
        )
        self.layers = init_layers(np, generator, (3, 4, 2), glorot_uniform(), dtype=np.float64)
        targets = np.eye(2)[generator.integers(2, size=250)]
        self.samples = Samples(generator.normal(size=(250, 3)), targets)
        self.state = TrainingState(self.layers, sgd(momentum=0.9).init(np, self.layers))
        self.orders = [generator.permutation(250) for _ in range(3)]

    def epochs(self, run_epoch: Any) -> Any:
        state = self.state
        for order in self.orders:
            state, objectives = run_epoch(self.step, state, self.samples, order, np.linspace(0.1, 0.2, 63), 4)
        return state.layers, objectives

    def eager(self) -> Any:
        return self.epochs(lambda *arguments: Backend.run_epoch(NumpyBackend(), *arguments))


def assert_same(left: Any, right: Any) -> None:
    tree_map(np.testing.assert_array_equal, left, right)


def test_a_step_that_is_taken_often_is_recorded_with_the_same_results() -> None:
    backend, work = NumpyBackend(), Work()
    assert_same(work.epochs(backend.run_epoch), work.eager())
    assert backend.captured.captured.keys() == {4}  # the last batch, which is smaller, comes once an epoch
    backend.release_recordings()
    assert not backend.captured.captured
    assert backend.captured.captured_for is None  # nor the data


def test_a_step_that_is_taken_seldom_is_not_recorded() -> None:
    backend, work = NumpyBackend(), Work()
    backend.run_epoch(work.step, work.state, work.samples, work.orders[0][:40], np.ones(10), 4)
    assert not backend.captured.captured


def test_a_run_of_many_short_epochs_is_captured_in_the_end_with_the_same_results() -> None:
    backend, work = NumpyBackend(), Work()
    optimizer = adam()  # its count of steps is a number after a plain step
    step = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=optimizer)
    states = [TrainingState(work.layers, optimizer.init(np, work.layers))] * 2
    for _ in range(60):
        arguments = (work.samples, work.orders[0], np.ones(1), 250)
        states[0], _ = backend.run_epoch(step, states[0], *arguments)
        states[1], _ = Backend.run_epoch(backend, step, states[1], *arguments)
    assert backend.captured.captured.keys() == {250}
    assert_same(*states)


def impure(how: str) -> Any:
    """A step that is no pure function of the Array API."""

    def step(xp: Any, state: TrainingState, x: Any, targets: Any, weight: Any, rate: Any) -> Any:
        ((layer, *rest), *others) = state
        factor: Any = rate
        if how == "looks at a number":
            factor = 0.5 if float(xp.sum(x)) > 0.0 else 0.6
        elif how == "strips an array":
            factor = np.asarray(rate) * 1.0
        elif how == "takes a number out":
            factor = xp.reshape(x, (-1,))[0]
        moved = Layer(layer.weight * (1.0 - 0.1 * factor), layer.bias + 0.1)
        return TrainingState((moved, *rest), *others), xp.sum(moved.weight)

    return step


@pytest.mark.parametrize("how", ["looks at a number", "strips an array", "takes a number out"])
def test_a_step_that_cannot_be_recorded_is_taken_eagerly(how: str) -> None:
    backend, work = NumpyBackend(), Work(impure(how))
    assert_same(work.epochs(backend.run_epoch), work.eager())
    assert not backend.captured.captured


@pytest.mark.parametrize("how", ["recorded", "looks at a number"])
def test_nothing_is_kept_of_a_recording_that_is_forgotten(how: str) -> None:
    backend, work = NumpyBackend(), Work() if how == "recorded" else Work(impure(how))
    samples = work.samples.map(np.copy)
    kept = weakref.ref(samples.x)
    backend.run_epoch(work.step, work.state, samples, work.orders[0], np.ones(63), 4)
    backend.release_recordings()
    del samples
    gc.collect()
    assert kept() is None


def test_after_an_interruption_a_run_goes_on_from_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, work = NumpyBackend(), Work()
    arguments = (work.samples, work.orders[1], np.ones(63), 4)
    state, _ = backend.run_epoch(work.step, work.state, work.samples, work.orders[0], np.ones(63), 4)
    expected = backend.run_epoch(work.step, state, *arguments)
    static, play = backend.captured.captured[4]

    def interrupted() -> None:
        play()
        raise KeyboardInterrupt

    monkeypatch.setitem(backend.captured.captured, 4, (static, interrupted))
    with pytest.raises(KeyboardInterrupt):
        backend.run_epoch(work.step, state, *arguments)
    monkeypatch.setitem(backend.captured.captured, 4, (static, play))
    assert_same(backend.run_epoch(work.step, state, *arguments), expected)


def test_threads_that_share_a_backend_do_not_share_recordings() -> None:
    backend = NumpyBackend()
    works = [Work(step=Work().step, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda work: work.epochs(backend.run_epoch), works))
    for work, result in zip(works, results, strict=True):
        assert_same(result, work.eager())
