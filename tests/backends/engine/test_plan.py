"""An executed plan is the traced step, to the bit."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.backends.engine import Tracer, buffers, horizontal_fusion, make_plan
from xpmlp.nn.activations import ACTIVATIONS, find_activation
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.loss_names import find_loss
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam, adamw, clip_gradients, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map

OPTIMIZERS = {
    "sgd": sgd(),
    "momentum": sgd(momentum=0.9),
    "nesterov": sgd(momentum=0.9, nesterov=True),
    "adam": adam(),
} | {
    "adamw": adamw(),
    "clipped": clip_gradients(sgd(momentum=0.9), 0.01),
}
ROWS, FEATURES, CLASSES, BATCH_SIZE = 50, 12, 4, 16  # the last batch is smaller


@pytest.fixture
def small_arrays_stand_for_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse up to 60 elements only, and let results overwrite operands of any size."""
    monkeypatch.setattr(horizontal_fusion, "SMALL", 60)
    monkeypatch.setattr(buffers, "WORTH_OVERWRITING", 0)


def assert_same(left: Any, right: Any) -> None:
    tree_map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), left, right)


def assert_equal_to_the_plain_loop(
    loss: str = "softmax_cross_entropy",
    *,
    optimizer: str = "nesterov",
    models: tuple[int, ...] = (),
    hidden: tuple[int, ...] = (9, 7),
    dtype: str = "float32",
    weighted: bool = False,
    dropout: float = 0.0,
    rates_of_models: bool = False,
    classes: int = CLASSES,
    targets_for: Callable[..., Any] = lambda loss, targets: targets,
    **settings: Any,
) -> None:
    """Three epochs, each from where the one before ended, executed by the engine from the first step on."""
    generator = np.random.default_rng(0)
    settings = {"activation": ACTIVATIONS["tanh"]} | settings
    step = make_step(loss=find_loss(loss), optimizer=OPTIMIZERS[optimizer], dropout=dropout, **settings)
    sizes = (FEATURES, *hidden, classes)
    layers = init_layers(np, generator, sizes, glorot_uniform(), models=models, dtype=getattr(np, dtype))
    key = np.arange(np.prod(models, dtype=int)).reshape(models) if dropout else ()
    first = TrainingState(layers, OPTIMIZERS[optimizer].init(np, layers), key)
    samples = Samples(
        generator.random((ROWS, FEATURES)).astype(dtype),
        targets_for(loss, np.eye(classes, dtype=dtype)[generator.integers(classes, size=ROWS)]),
        generator.uniform(0.0, 2.0, ROWS).astype(dtype) if weighted else None,
    )
    orders = [generator.permutation(ROWS) for _ in range(3)]
    rates = generator.uniform(0.01, 0.1, (3, 4, *((*models, 1, 1) if rates_of_models else ()))).astype(dtype)
    backend = NumpyBackend()
    backend.captured.eager_steps = 0
    results: dict[str, list[Any]] = {}
    with backend.scope():
        for name, run_epoch in (
            ("engine", backend.run_epoch),
            ("plain", lambda *arguments: Backend.run_epoch(backend, *arguments)),
        ):
            state = first
            for order, rate in zip(orders, rates, strict=True):
                state, objectives = run_epoch(step, state, samples, order, rate, BATCH_SIZE)
                results.setdefault(name, []).append((tree_map(np.asarray, state), objectives))
    assert backend.captured.captured.keys() == {BATCH_SIZE, ROWS % BATCH_SIZE}
    assert_same(tuple(results["engine"]), tuple(results["plain"]))


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
        ("softplus,gelu", "clipped", "float64"),
        ("mish,leaky_relu", "adamw", "float64"),
        ("elu,silu", "clipped", "float32"),
    ],
)
def test_every_activation_and_optimizer(activation: str, optimizer: str, dtype: str) -> None:
    assert_equal_to_the_plain_loop(activation=find_activation(activation), optimizer=optimizer, dtype=dtype)


@pytest.mark.usefixtures("small_arrays_stand_for_large_ones")
@pytest.mark.parametrize("models", [(), (3,), (2, 1)])
@pytest.mark.parametrize("loss", [*LOSSES, "huber:0.1 of tanh"])
def test_every_loss_and_populations(targets_for: Callable[..., Any], loss: str, models: tuple[int, ...]) -> None:
    assert_equal_to_the_plain_loop(
        loss, classes=6, targets_for=targets_for, weighted=len(models) == 1, models=models, penalty=0.1
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_learning_rate_for_each_model(optimizer: str) -> None:
    assert_equal_to_the_plain_loop(optimizer=optimizer, models=(3,), rates_of_models=True)


@pytest.mark.usefixtures("small_arrays_stand_for_large_ones")
@pytest.mark.parametrize("models", [(), (3,)])
def test_dropout(models: tuple[int, ...]) -> None:
    assert_equal_to_the_plain_loop(dropout=0.4, models=models)


@pytest.mark.parametrize("hidden", [(), (3000,), (40, 1000)])
def test_depths_and_widths(hidden: tuple[int, ...]) -> None:
    assert_equal_to_the_plain_loop(hidden=hidden, optimizer="adam", penalty=1e-3)


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
