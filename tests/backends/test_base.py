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

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": sgd(),
    "momentum": sgd(momentum=0.9),
    "nesterov": sgd(momentum=0.9, nesterov=True),
    "adam": adam(),
}
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


def host_samples(weighted: bool = True) -> Samples:
    rng = np.random.default_rng(4)
    x = np.concatenate([np.arange(ROWS, dtype=float)[:, None], rng.normal(0.0, 1.0, (ROWS, 4))], axis=1)
    targets = np.eye(3)[rng.integers(0, 3, ROWS)]
    return Samples(x, targets, rng.uniform(0.5, 2.0, ROWS) if weighted else None)


def move(backend: Backend, samples: Samples, dtype: str = "float64") -> Samples:
    return samples.map(lambda array: backend.asarray(array, dtype))


ORDER = np.random.default_rng(6).permutation(ROWS)
RATES = np.array([0.3, 0.1, 0.2])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_an_array_comes_back_from_the_device_as_it_went(backend: Backend, dtype: str) -> None:
    host = np.array([[0.0, 1.0, -2.0], [3.0, 0.0, 5.0]]).astype(dtype)
    for asked in (None, dtype):
        array = backend.asarray(host, asked)
        assert array.dtype == getattr(backend.xp, dtype)
        np.testing.assert_array_equal(backend.to_numpy(array), host, strict=True)


def test_an_array_is_converted_on_its_way_to_the_device(backend: Backend) -> None:
    array = backend.asarray(np.array([0.1, 1e-3]), "float32")
    assert array.dtype == backend.xp.float32
    np.testing.assert_array_equal(backend.to_numpy(array), np.array([0.1, 1e-3], dtype=np.float32), strict=True)


def test_the_device_may_be_the_librarys_default() -> None:
    backend = Backend(np)
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(np.arange(3))), [0, 1, 2])


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


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1] * 11), (10, [10, 1]), (11, [11]), (50, [11])])
def test_batches_are_of_the_size_asked_for_save_the_last(batch_size: int, sizes: list[int]) -> None:
    seen = []

    def record(xp: Any, state: TrainingState, x: Any, *rest: Any) -> tuple[TrainingState, Any]:
        seen.append(x.shape[0])
        assert rest[1] is None
        return state, xp.asarray(0.0)

    samples = host_samples(weighted=False)
    Backend(np).run_epoch(record, TrainingState((), ()), samples, ORDER, np.zeros(len(sizes)), batch_size)
    assert seen == sizes


def test_only_the_rows_in_the_order_are_visited() -> None:
    seen: list[float] = []

    def record(xp: Any, state: TrainingState, x: Any, *rest: Any) -> tuple[TrainingState, Any]:
        seen.extend(x[:, 0])
        return state, xp.asarray(0.0)

    Backend(np).run_epoch(record, TrainingState((), ()), host_samples(), np.array([7, 2, 2, 9]), np.zeros(2), 3)
    assert seen == [7, 2, 2, 9]


def test_an_epoch_on_bytes_is_that_on_their_quotients(backend: Backend) -> None:
    samples, rng = host_samples(), np.random.default_rng(5)
    stored = rng.integers(0, 256, samples.x.shape, np.uint8)
    layers = init_layers(backend.xp, rng, (5, 6, 3), glorot_uniform(), dtype=backend.xp.float64, device=backend.device)
    state = TrainingState(layers, ())
    results = []
    for given in (samples._replace(x=stored, divisor=255.0), samples._replace(x=stored / 255.0)):
        held = place_samples(backend, given, "float64")
        assert isinstance(held, Samples)
        results.append(
            backend.run_epoch(step_with(sgd()), state, held, backend.asarray(ORDER), backend.asarray(RATES), BATCH_SIZE)
        )
    for (ours, _), (theirs, _) in zip(*(after.layers for after, _ in results), strict=True):
        np.testing.assert_allclose(backend.to_numpy(ours), backend.to_numpy(theirs), rtol=1e-12)


def train(
    backend: Backend, optimizer: Optimizer, *, models: tuple[int, ...] = (), dtype: str = "float64"
) -> tuple[Layers, Any]:
    """Two epochs on the backend; the weights and the objectives, on the host."""
    rng = np.random.default_rng(3)
    device_dtype = getattr(backend.xp, dtype)
    layers = init_layers(
        backend.xp, rng, (5, 6, 3), glorot_uniform(), models=models, dtype=device_dtype, device=backend.device
    )
    state = TrainingState(layers, optimizer.init(backend.xp, layers))
    samples, rates = move(backend, host_samples(), dtype), backend.asarray(RATES, dtype)
    all_objectives = []
    for order in (ORDER, ORDER[::-1].copy()):
        state, objectives = backend.run_epoch(
            step_with(optimizer), state, samples, backend.asarray(order), rates, BATCH_SIZE
        )
        assert objectives.dtype == device_dtype
        all_objectives.append(backend.to_numpy(objectives))
    backend.synchronize(state)
    assert all(array.dtype == device_dtype for layer in state.layers for array in layer)
    return tree_map(backend.to_numpy, state.layers), np.concatenate(all_objectives, axis=-1)


def step_with(optimizer: Optimizer) -> Step:
    return make_step(
        activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=optimizer, penalty=0.1
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_epoch_is_the_steps_taken_by_hand(backend: Backend, name: str) -> None:
    optimizer, xp = OPTIMIZERS[name], backend.xp
    layers = init_layers(
        xp, np.random.default_rng(3), (5, 6, 3), glorot_uniform(), dtype=xp.float64, device=backend.device
    )
    state = start = TrainingState(layers, optimizer.init(xp, layers))
    samples, step, expected = move(backend, host_samples(), "float64"), step_with(optimizer), []
    for batch, rate in ((ORDER[:4], 0.3), (ORDER[4:8], 0.1), (ORDER[8:], 0.2)):
        x, targets, weight = (backend.asarray(backend.to_numpy(array)[batch]) for array in samples.arrays)
        state, objective = step(xp, state, x, targets, weight, backend.asarray(np.array(rate)))
        expected.append(backend.to_numpy(objective))
    after, objectives = backend.run_epoch(
        step, start, samples, backend.asarray(ORDER), backend.asarray(RATES), BATCH_SIZE
    )
    np.testing.assert_array_equal(backend.to_numpy(objectives), expected)
    for ours, theirs in zip(after.layers, state.layers, strict=True):
        for array, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(backend.to_numpy(array), backend.to_numpy(other))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 1e-4)])
@pytest.mark.parametrize("models", [(), (2,)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_library_trains_as_numpy_does(
    backend: Backend, name: str, models: tuple[int, ...], dtype: str, tolerance: float
) -> None:
    expected, expected_objectives = train(Backend(np), OPTIMIZERS[name], models=models)
    layers, objectives = train(backend, OPTIMIZERS[name], models=models, dtype=dtype)
    assert objectives.shape == (*models, 2 * STEPS)
    np.testing.assert_allclose(objectives, expected_objectives, rtol=tolerance)
    for ours, theirs in zip(layers, expected, strict=True):
        np.testing.assert_allclose(ours.weight, theirs.weight, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ours.bias, theirs.bias, rtol=tolerance, atol=tolerance)


def test_a_record_names_backend_library_and_device(place: Any) -> None:
    description = Backend(place.xp, place.device).describe()
    assert description == {
        "backend": "array-api",
        "library": place.xp.__name__,
        "device": str(place.device),
    }
