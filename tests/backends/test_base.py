"""An epoch is one step after the other, on the library and the device that the backend was given."""

from typing import Any

import numpy as np
import pytest

from xpmlp.backends import Backend
from xpmlp.data import place_samples
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import Optimizer, adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState, make_step
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


def move(backend: Backend, samples: Samples, dtype: str = "float64") -> Samples:
    return samples.map(lambda array: backend.asarray(array, dtype))


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
    rates = backend.asarray(RATES)
    state, objectives = backend.run_epoch(
        record, TrainingState((), 0), move(backend, samples), backend.asarray(ORDER), rates, BATCH_SIZE
    )
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


def start(xp: Any, optimizer: Optimizer, dtype: str, device: Any, models: tuple[int, ...] = ()) -> TrainingState:
    rng = np.random.default_rng(3)
    layers = init_layers(xp, rng, (5, 6, 3), glorot_uniform(), models=models, dtype=getattr(xp, dtype), device=device)
    return TrainingState(layers, optimizer.init(xp, layers))


def step_with(optimizer: Optimizer) -> Step:
    return make_step(
        activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=optimizer, penalty=0.1
    )


def train(
    backend: Backend, samples: Any, optimizer: Optimizer, dtype: str = "float64", models: tuple[int, ...] = ()
) -> tuple[Layers, Any]:
    """Take one epoch on the backend; return the weights and the objectives, on the host."""
    state = start(backend.xp, optimizer, dtype, backend.device, models)
    order, rates = backend.asarray(ORDER), backend.asarray(RATES, dtype)
    state, objectives = backend.run_epoch(step_with(optimizer), state, samples, order, rates, BATCH_SIZE)
    backend.synchronize(state)
    assert {array.dtype for layer in state.layers for array in layer} == {objectives.dtype}
    assert objectives.dtype == getattr(backend.xp, dtype)
    return tree_map(backend.to_numpy, state.layers), backend.to_numpy(objectives)


def test_an_epoch_is_the_steps_taken_by_hand() -> None:
    samples, optimizer, expected = host_samples(), adam(), []
    state = start(np, optimizer, "float64", None)
    for batch, rate in ((ORDER[:4], 0.3), (ORDER[4:8], 0.1), (ORDER[8:], 0.2)):
        x, targets, weight = (array[batch] for array in samples.arrays)
        state, objective = step_with(optimizer)(np, state, x, targets, weight, np.array(rate))
        expected.append(objective)
    layers, objectives = train(Backend(np), samples, optimizer)
    np.testing.assert_array_equal(objectives, expected)
    tree_map(np.testing.assert_array_equal, layers, state.layers)


def test_an_epoch_on_bytes_is_that_on_their_quotients(backend: Backend) -> None:
    samples = host_samples()
    stored = np.random.default_rng(5).integers(0, 256, samples.x.shape, np.uint8)
    (ours, _), (theirs, _) = (
        train(backend, place_samples(backend, given, "float64"), sgd())
        for given in (samples._replace(x=stored, divisor=255.0), samples._replace(x=stored / 255.0))
    )
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), ours, theirs)


@pytest.mark.parametrize(
    ("optimizer", "dtype", "models", "tolerance"),
    [(adam(), "float64", (), 1e-11), (sgd(momentum=0.9), "float32", (2,), 1e-4)],
    ids=["one", "population"],
)
def test_every_library_trains_as_numpy_does(
    backend: Backend, optimizer: Optimizer, models: tuple[int, ...], dtype: str, tolerance: float
) -> None:
    samples = host_samples()
    expected, expected_objectives = train(Backend(np), samples, optimizer, models=models)
    layers, objectives = train(backend, move(backend, samples, dtype), optimizer, dtype, models)
    assert objectives.shape == (*models, STEPS)
    np.testing.assert_allclose(objectives, expected_objectives, rtol=tolerance)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), layers, expected)


def test_a_record_names_backend_library_and_device(place: Any) -> None:
    description = Backend(place.xp, place.device).describe()
    assert description == {"backend": "array-api", "library": place.xp.__name__, "device": str(place.device)}
