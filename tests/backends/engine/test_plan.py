"""An executed plan is the traced step, to the bit."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.backends import NumpyBackend
from xpmlp.backends.engine import Tracer, buffers, horizontal_fusion, make_plan
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import clip_gradients, sgd
from xpmlp.nn.tree import tree_map

CLIPPED = clip_gradients(sgd(momentum=0.9), 0.01)


@pytest.fixture
def small_arrays_stand_for_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse up to 60 elements only, and let results overwrite operands of any size."""
    monkeypatch.setattr(horizontal_fusion, "SMALL", 60)
    monkeypatch.setattr(buffers, "WORTH_OVERWRITING", 0)


def assert_same(left: Any, right: Any) -> None:
    tree_map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), left, right)


@pytest.fixture
def assert_equal_to_the_plain_loop(problem: Any) -> Any:
    """Three epochs, each from where the one before ended, executed by the engine from the first step on."""

    def compare(**settings: Any) -> None:
        backend = NumpyBackend()
        backend.captured.eager_steps = 0
        case = problem(backend, **{"sizes": (12, 9, 7, 4), "rows": 50, "batch_size": 16} | settings)
        assert_same(case.epochs(), case.eager_epochs())
        assert backend.captured.captured.keys() == {16, 2}

    return compare


@pytest.mark.usefixtures("small_arrays_stand_for_large_ones")
@pytest.mark.parametrize(
    ("activation", "optimizer", "dtype"),
    [
        ("tanh", "sgd", "float32"),
        ("relu", "momentum", "float64"),
        ("logistic", "nesterov", "float32"),
        ("identity", "adam", "float64"),
        ("relu", "adam", "float32"),
        ("selu", "adamw", "float32"),
        ("softplus,gelu", CLIPPED, "float64"),
        ("mish,leaky_relu", "adamw", "float64"),
        ("elu,silu", CLIPPED, "float32"),
    ],
)
def test_every_activation_and_optimizer(
    assert_equal_to_the_plain_loop: Any, activation: str, optimizer: Any, dtype: str
) -> None:
    assert_equal_to_the_plain_loop(activation=activation, optimizer=optimizer, dtype=dtype)


@pytest.mark.usefixtures("small_arrays_stand_for_large_ones")
@pytest.mark.parametrize("models", [(), (3,), (2, 1)])
@pytest.mark.parametrize("loss", [*LOSSES, "huber:0.1 of tanh"])
def test_every_loss_and_populations(
    assert_equal_to_the_plain_loop: Any, targets_for: Any, loss: str, models: tuple[int, ...]
) -> None:
    settings = {"models": models, "weighted": len(models) == 1, "optimizer": "nesterov", "penalty": 0.1}
    assert_equal_to_the_plain_loop(loss=loss, sizes=(12, 9, 7, 6), targets_for=targets_for, **settings)


SPECIAL: dict[str, dict[str, Any]] = {
    "a learning rate for each model, sgd": {"optimizer": "sgd", "models": (3,), "rates_of_models": True},
    "a learning rate for each model, adam": {"models": (3,), "rates_of_models": True},
    "no hidden layer": {"sizes": (12, 4), "penalty": 1e-3},
    "a wide layer": {"sizes": (12, 3000, 4), "penalty": 1e-3},
    "a wide layer and a narrow one": {"sizes": (12, 40, 1000, 4), "penalty": 1e-3},
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_steps(assert_equal_to_the_plain_loop: Any, name: str) -> None:
    assert_equal_to_the_plain_loop(**SPECIAL[name])


@pytest.mark.usefixtures("small_arrays_stand_for_large_ones")
@pytest.mark.parametrize("models", [(), (3,)])
def test_dropout(assert_equal_to_the_plain_loop: Any, models: tuple[int, ...]) -> None:
    assert_equal_to_the_plain_loop(dropout=0.4, models=models)


# Operations on two arrays of one shape; each returns another of that shape.
OPERATIONS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a * b - 0.5,
    lambda a, b: np.tanh(a) / (2.0 + np.abs(b)),
    lambda a, b: np.maximum(a, b),
    lambda a, b: a * 0.3 - b,
    lambda a, b: 0.9 * (a + b) - a * -(b[0, ...][0, ...]),
    lambda a, b: np.where(a > b, a, 0.25),
    lambda a, b: a * np.astype(b > 0.0, a.dtype),
    lambda a, b: np.matmul(a, np.matrix_transpose(b)) * 0.1,
    lambda a, b: np.matmul(np.matrix_transpose(a), b) * -(b[0, ...][0, ...]) + a,
    lambda a, b: np.matrix_transpose(a) - b,
    lambda a, b: a - np.max(b, axis=-1, keepdims=True),
    lambda a, b: np.sum(a, axis=-2, keepdims=True) * 0.1 + b,
    lambda a, b: a + b[..., :1],
    lambda a, b: np.reshape(np.reshape(a, (-1,)), a.shape) + np.vecdot(a, b)[..., None] * 0.01,
    lambda a, b: np.take(a, np.astype(b[0, ...] > 0.0, np.int64), axis=0) - b,
    lambda a, b: -(a**2) + np.cumulative_sum(b, axis=-1) * 0.1,
]


@pytest.mark.usefixtures("small_arrays_stand_for_large_ones")
@given(
    program=st.lists(st.tuples(st.integers(0, len(OPERATIONS) - 1), st.integers(0), st.integers(0)), max_size=25),
    kept=st.lists(st.integers(0), min_size=2, max_size=2),
    in_place=st.booleans(),
    fused=st.booleans(),
)
def test_any_sequence_of_operations_gives_the_same_bits(
    program: list[tuple[int, int, int]], kept: list[int], in_place: bool, fused: bool
) -> None:
    def step(inputs: list[Any]) -> list[Any]:
        values = list(inputs)
        for number, first, second in program:
            values.append(OPERATIONS[number](values[first % len(values)], values[second % len(values)]))
        results = [values[number % len(values)] for number in kept]
        for buffer, result in zip(inputs if in_place else inputs[::-1], results, strict=True):
            buffer[...] = result
        return results

    generator = np.random.default_rng(len(program))
    size = 6 if fused else 9  # 36 elements are fused, 81 are not
    inputs = [generator.uniform(-1.0, 1.0, (size, size)) for _ in range(2)]
    tracer = Tracer()
    step([tracer.trace(array) for array in inputs])
    plan = make_plan(tracer.finish())
    inputs = [plan.buffer_for(array) for array in inputs]
    for _ in range(2):
        for array in inputs:
            array[...] = generator.uniform(-1.0, 1.0, array.shape)
        expected = [array.copy() for array in inputs]
        step(expected)
        plan.execute()
        assert_same(tuple(inputs), tuple(expected))


def test_executing_a_plan_allocates_nothing_but_numpys_own_buffers() -> None:
    tracer = Tracer()
    x, weight = tracer.trace(np.random.default_rng(0).random((64, 1000))), tracer.trace(np.zeros((1000, 1000)))
    weight[...] = np.matmul(np.matrix_transpose(x), np.tanh(x)) * -0.1 + weight
    plan = make_plan(tracer.finish())
    plan.execute()
    tracemalloc.start()
    plan.execute()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000  # a result would be 8 MB


def test_the_updates_of_small_arrays_are_one_call_each() -> None:
    tracer = Tracer()
    weights = [tracer.trace(np.ones(size)) for size in (3, 4, 5)]
    for weight in weights:
        weight[...] = weight * 0.5 + 1.0
    plan = make_plan(tracer.finish())
    assert [call[0] for call in plan.calls].count(np.multiply) == 1
    plan.execute()
    for buffer in plan.moved.values():
        np.testing.assert_array_equal(buffer, 1.75)  # tracing took the first step
