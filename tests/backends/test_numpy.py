import warnings
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from xpmlp.backends import NumpyBackend, Samples
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.step import TrainingState, make_step


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
    assert backend.xp is array_api_compat.numpy
    array = backend.asarray(np.arange(3.0))
    assert type(array) is np.ndarray
    assert type(backend.to_numpy(array)) is np.ndarray


def test_a_record_names_numpy_with_its_version() -> None:
    assert NumpyBackend().describe() == {"backend": "numpy", "library": f"numpy {np.__version__}", "device": "cpu"}


# The smallest are left to the library, which takes one thread for them without being told.
@pytest.mark.parametrize(("width", "threads"), [(16, 2), (512, 1), (4096, 2)])
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
