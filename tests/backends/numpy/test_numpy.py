import gc
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from xpmlp.backends import NumpyBackend
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
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


@pytest.fixture
def make_work(problem: Any) -> Any:
    """Make a small network and enough batches of data for its step to be recorded, on a backend of its own."""
    return lambda **settings: problem(
        NumpyBackend(),
        **{"sizes": (3, 4, 2), "rows": 250, "batch_size": 4, "optimizer": "momentum", "dtype": "float64"} | settings,
    )


def epoch_of(work: Any, number: int = 0) -> Any:
    """The arguments of an epoch, without step and state."""
    return work.samples, work.orders[number], work.rates, work.batch_size


def assert_same(left: Any, right: Any) -> None:
    tree_map(np.testing.assert_array_equal, left, right)


def test_a_step_that_is_taken_often_is_recorded_with_the_same_results(make_work: Any) -> None:
    work = make_work()
    captured = work.backend.captured
    assert_same(work.epochs(), work.eager_epochs())
    assert captured.captured.keys() == {4}  # the last batch, which is smaller, comes once an epoch
    work.backend.release_recordings()
    assert not captured.captured
    assert captured.captured_for is None  # nor the data


def test_a_step_that_is_taken_seldom_is_not_recorded(make_work: Any) -> None:
    work = make_work(rows=40)
    work.backend.run_epoch(work.step, work.state, *epoch_of(work))
    assert not work.backend.captured.captured


def test_a_run_of_many_short_epochs_is_captured_in_the_end_with_the_same_results(make_work: Any) -> None:
    work = make_work(optimizer="adam", batch_size=250)  # its count of steps is a number after a plain step
    work.orders *= 20
    assert_same(work.epochs(), work.eager_epochs())
    assert work.backend.captured.captured.keys() == {250}


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
def test_a_step_that_cannot_be_recorded_is_taken_eagerly(make_work: Any, how: str) -> None:
    work, step = make_work(), impure(how)
    assert_same(work.epochs(step=step), work.eager_epochs(step=step))
    assert not work.backend.captured.captured


@pytest.mark.parametrize("how", ["recorded", "looks at a number"])
def test_nothing_is_kept_of_a_recording_that_is_forgotten(make_work: Any, how: str) -> None:
    work = make_work()
    kept = weakref.ref(work.samples.x)
    work.backend.run_epoch(work.step if how == "recorded" else impure(how), work.state, *epoch_of(work))
    work.backend.release_recordings()
    work.samples = None
    gc.collect()
    assert kept() is None


def test_after_an_interruption_a_run_goes_on_from_where_it_is_told(
    make_work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make_work()
    run_epoch = work.backend.run_epoch
    state, _ = run_epoch(work.step, work.state, *epoch_of(work))
    expected = run_epoch(work.step, state, *epoch_of(work, 1))
    captured = work.backend.captured.captured
    static, play = captured[4]

    def interrupted() -> None:
        play()
        raise KeyboardInterrupt

    monkeypatch.setitem(captured, 4, (static, interrupted))
    with pytest.raises(KeyboardInterrupt):
        run_epoch(work.step, state, *epoch_of(work, 1))
    monkeypatch.setitem(captured, 4, (static, play))
    assert_same(run_epoch(work.step, state, *epoch_of(work, 1)), expected)


def test_threads_that_share_a_backend_do_not_share_recordings(make_work: Any) -> None:
    works = [make_work(seed=seed) for seed in range(4)]
    for work in works:
        work.backend, work.step = works[0].backend, works[0].step
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda work: work.epochs(), works))
    for work, result in zip(works, results, strict=True):
        assert_same(result, work.eager_epochs())
