"""An epoch is one step after the other, on the library and the device that the backend was given."""

from typing import Any

import numpy as np
import pytest

from xpmlp.backends import Backend
from xpmlp.data import place_samples
from xpmlp.nn.step import TrainingState
from xpmlp.nn.tree import tree_map


@pytest.fixture
def backend(plain_backend: Any) -> Any:
    return plain_backend


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_an_array_comes_back_from_the_device_as_it_went(backend: Backend, dtype: str) -> None:
    host = np.array([[0.0, 1.0, -2.0], [3.0, 0.0, 5.0]])
    for array in (backend.asarray(host.astype(dtype)), backend.asarray(host, dtype)):
        assert array.dtype == getattr(backend.xp, dtype)
        np.testing.assert_array_equal(backend.to_numpy(array), host.astype(dtype), strict=True)


@pytest.mark.parametrize(("weighted", "size"), [(True, 4), *((False, size) for size in (1, 3, 4, 50))])
def test_rows_come_in_the_order_given_with_targets_weights_and_rates(
    backend: Backend, problem: Any, weighted: bool, size: int
) -> None:
    seen = []

    def record(xp: Any, state: TrainingState, *batch: Any) -> tuple[TrainingState, Any]:
        assert xp is backend.xp
        seen.append([array if array is None else backend.to_numpy(array) for array in batch])
        return TrainingState(state.layers, state.optimizer + 1), xp.asarray(float(len(seen)), device=backend.device)

    case = problem(backend, rows=11, dtype="float64", weighted=weighted)
    samples, order = case.samples, case.orders[0] if weighted else [7, 2, 2, 9]
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


@pytest.mark.parametrize("divisor", [None, 255.0])
def test_an_epoch_is_numpys_steps_taken_by_hand_also_on_bytes(
    backend: Backend, problem: Any, divisor: float | None
) -> None:
    shape = {"sizes": (5, 6, 3), "models": (2,), "rows": 11, "batch_size": 4, "dtype": "float64"}
    case = problem(backend, **shape, weighted=True, divisor=divisor, penalty=0.1)
    expected, expected_objectives, (order, *_) = case.state, [], case.orders
    for batch, rate in zip((order[:4], order[4:8], order[8:]), case.rates, strict=True):
        x, targets, weight = (array[batch] for array in case.samples.arrays)
        expected, objective = case.step(np, expected, x / (divisor or 1.0), targets, weight, rate)
        expected_objectives.append(objective)
    held: Any = place_samples(backend, case.samples, "float64")
    case.samples, case.orders = held, case.orders[:1]
    ((state, objectives),) = case.epochs()
    assert all(a.dtype == np.float64 for a in (objectives, *(a for layer in state.layers for a in layer)))
    np.testing.assert_allclose(objectives, np.stack(expected_objectives, axis=-1), rtol=1e-11)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), state.layers, expected.layers)


def test_a_record_names_backend_library_and_device(place: Any) -> None:
    description = Backend(place.xp, place.device).describe()
    assert description == {"backend": "array-api", "library": place.xp.__name__, "device": str(place.device)}
