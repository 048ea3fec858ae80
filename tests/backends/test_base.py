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

ROWS, BATCH_SIZE, STEPS = 11, 4, 3


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


def test_every_row_is_visited_once_in_the_order_given_with_its_target_weight_and_rate(backend: Backend) -> None:
    seen = []

    def record(xp: Any, state: TrainingState, *batch: Any) -> tuple[TrainingState, Any]:
        assert xp is backend.xp
        seen.append([backend.to_numpy(array) for array in batch])
        return TrainingState(state.layers, state.optimizer + 1), xp.asarray(float(len(seen)), device=backend.device)

    samples = host_samples()
    assert samples.weight is not None
    held, order, rates = samples.map(backend.asarray), backend.asarray(ORDER), backend.asarray(RATES)
    state, objectives = backend.run_epoch(record, TrainingState((), 0), held, order, rates, BATCH_SIZE)
    assert [len(x) for x, *_ in seen] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate([x[:, 0] for x, *_ in seen]), ORDER)
    np.testing.assert_array_equal(np.concatenate([x for x, *_ in seen]), samples.x[ORDER])
    np.testing.assert_array_equal(np.concatenate([y for _, y, *_ in seen]), samples.targets[ORDER])
    np.testing.assert_array_equal(np.concatenate([weight for *_, weight, _ in seen]), samples.weight[ORDER])
    np.testing.assert_array_equal([rate for *_, rate in seen], RATES)
    np.testing.assert_array_equal(backend.to_numpy(objectives), [1.0, 2.0, 3.0])
    assert state.optimizer == STEPS


@pytest.mark.parametrize("batch_size", [1, 3, 4, 50])
def test_batches_are_of_the_size_asked_for_save_the_last_and_hold_only_the_rows_in_the_order(batch_size: int) -> None:
    seen: list[list[float]] = []

    def record(xp: Any, state: TrainingState, x: Any, *rest: Any) -> tuple[TrainingState, Any]:
        seen.append(list(x[:, 0]))
        assert rest[1] is None
        return state, xp.asarray(0.0)

    order = [7, 2, 2, 9]
    samples = host_samples()._replace(weight=None)
    batches = [order[start : start + batch_size] for start in range(0, 4, batch_size)]
    Backend(np).run_epoch(record, TrainingState((), ()), samples, np.array(order), np.zeros(len(batches)), batch_size)
    assert seen == batches


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
