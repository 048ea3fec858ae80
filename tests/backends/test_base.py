"""An epoch is one step after the other, on the library and the device that the backend was given."""

import functools
import itertools
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import Backend
from xpmlp.data import place_samples
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map

ROWS, BATCH_SIZE = 11, 4


class PlaceBackend(Backend):
    """The class as it is, for any library of these tests; only the strict one needs its own way back to the host."""

    def __init__(self, place: Any) -> None:
        super().__init__(place.xp, place.device)
        self.place = place

    def to_numpy(self, array: Any) -> np.ndarray:
        return np.asarray(self.place.to_numpy(array))


@pytest.fixture
def backend(place: Any) -> Backend:
    return PlaceBackend(place)


def host_samples() -> Samples:
    rng = np.random.default_rng(4)
    x = np.concatenate([np.arange(ROWS, dtype=float)[:, None], rng.normal(0.0, 1.0, (ROWS, 4))], axis=1)
    targets = np.eye(3)[rng.integers(0, 3, ROWS)]
    return Samples(x, targets, rng.uniform(0.5, 2.0, ROWS))


ORDER = np.random.default_rng(6).permutation(ROWS)
RATES = np.array([0.3, 0.1, 0.2])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_an_array_comes_back_from_the_device_as_it_went(backend: Backend, dtype: str) -> None:
    host = np.array([[0.0, 1.0, -2.0], [3.0, 0.0, 5.0]])
    for array in (backend.asarray(host.astype(dtype)), backend.asarray(host, dtype)):
        assert array.dtype == getattr(backend.xp, dtype)
        np.testing.assert_array_equal(backend.to_numpy(array), host.astype(dtype), strict=True)


@pytest.mark.parametrize(("order", "size"), [(ORDER.tolist(), 4), *(([7, 2, 2, 9], size) for size in (1, 3, 4, 50))])
def test_rows_come_in_the_order_given_with_targets_weights_and_rates(backend: Backend, order: Any, size: int) -> None:
    seen = []

    def record(xp: Any, state: TrainingState, *batch: Any) -> tuple[TrainingState, Any]:
        assert xp is backend.xp
        seen.append([array if array is None else backend.to_numpy(array) for array in batch])
        return TrainingState(state.layers, state.optimizer + 1), xp.asarray(float(len(seen)), device=backend.device)

    samples = host_samples()
    if size != 4:
        samples = samples._replace(weight=None)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    rates = np.linspace(0.3, 0.1, len(batches))
    arguments = (samples.map(backend.asarray), backend.asarray(np.array(order)), backend.asarray(rates), size)
    state, objectives = backend.run_epoch(record, TrainingState((), 0), *arguments)
    for (x, targets, weight, rate), rows, expected in zip(seen, batches, rates, strict=True):
        np.testing.assert_array_equal(x, samples.x[rows])
        np.testing.assert_array_equal(targets, samples.targets[rows])
        np.testing.assert_array_equal(weight, None if samples.weight is None else samples.weight[rows])
        assert rate == expected
    np.testing.assert_array_equal(backend.to_numpy(objectives), np.arange(1.0, len(batches) + 1))
    assert state.optimizer == len(batches)


OPTIMIZER = adam()
STEP = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=OPTIMIZER, penalty=0.1)


def start(xp: Any, device: Any) -> TrainingState:
    layers = init_layers(
        xp, np.random.default_rng(3), (5, 6, 3), glorot_uniform(), models=(2,), dtype=xp.float64, device=device
    )
    return TrainingState(layers, OPTIMIZER.init(xp, layers))


@pytest.mark.parametrize("is_stored_as_bytes", [False, True])
def test_an_epoch_is_numpys_steps_taken_by_hand_also_on_bytes(backend: Backend, is_stored_as_bytes: bool) -> None:
    given = samples = host_samples()
    if is_stored_as_bytes:
        stored = np.random.default_rng(5).integers(0, 256, samples.x.shape, np.uint8)
        given, samples = samples._replace(x=stored, divisor=255.0), samples._replace(x=stored / 255.0)
    expected, expected_objectives = start(np, None), []
    for batch, rate in ((ORDER[:4], 0.3), (ORDER[4:8], 0.1), (ORDER[8:], 0.2)):
        x, targets, weight = (array[batch] for array in samples.arrays)
        expected, objective = STEP(np, expected, x, targets, weight, np.array(rate))
        expected_objectives.append(objective)
    held: Any = place_samples(backend, given, "float64")
    order, rates = backend.asarray(ORDER), backend.asarray(RATES)
    state, objectives = backend.run_epoch(STEP, start(backend.xp, backend.device), held, order, rates, BATCH_SIZE)
    backend.synchronize(state)
    assert all(a.dtype == backend.xp.float64 for a in (objectives, *itertools.chain(*state.layers)))
    np.testing.assert_allclose(backend.to_numpy(objectives), np.stack(expected_objectives, axis=-1), rtol=1e-11)
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11)
    tree_map(compare, tree_map(backend.to_numpy, state.layers), expected.layers)


def test_a_record_names_backend_library_and_device(place: Any) -> None:
    description = Backend(place.xp, place.device).describe()
    assert description == {"backend": "array-api", "library": place.xp.__name__, "device": str(place.device)}
