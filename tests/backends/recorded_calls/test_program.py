"""A step played from its recording is the step, to the bit."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.backends import Backend, NumpyBackend, openblas
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.recorded_calls import Recorder, blocks, make_programs, memory, products
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map

OPTIMIZERS = {"sgd": sgd(), "momentum": sgd(momentum=0.9), "nesterov": sgd(momentum=0.9, nesterov=True), "adam": adam()}
ROWS, FEATURES, CLASSES, BATCH_SIZE = 50, 12, 4, 16  # the last batch is smaller


@pytest.fixture(params=["whole", "in pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays stand for large ones."""
    if request.param == "in pieces":
        monkeypatch.setattr(blocks, "LARGE", 20)
        monkeypatch.setattr(products, "LARGE", 20)
        monkeypatch.setattr(blocks, "CACHE", 200)
        monkeypatch.setattr(blocks, "GRAIN", 1)
        monkeypatch.setattr(memory, "WORTH_SHARING", 0)


def assert_same(left: Any, right: Any) -> None:
    tree_map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), left, right)


def epoch(
    loss: str = "softmax_cross_entropy",
    *,
    optimizer: str = "nesterov",
    models: tuple[int, ...] = (),
    hidden: tuple[int, ...] = (9, 7),
    dtype: str = "float32",
    weighted: bool = False,
    dropout: float = 0.0,
    **settings: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """Return what calls a `run_epoch` for three epochs in a row, each from where the one before ended."""
    generator = np.random.default_rng(0)
    settings = {"activation": ACTIVATIONS["tanh"]} | settings
    step = make_step(loss=LOSSES[loss], optimizer=OPTIMIZERS[optimizer], dropout=dropout, **settings)
    sizes = (FEATURES, *hidden, CLASSES)
    layers = init_layers(np, generator, sizes, glorot_uniform(), models=models, dtype=getattr(np, dtype))
    key = np.arange(np.prod(models, dtype=int)).reshape(models) if dropout else ()
    first = TrainingState(layers, OPTIMIZERS[optimizer].init(np, layers), key)
    samples = Samples(
        generator.random((ROWS, FEATURES)).astype(dtype),
        np.eye(CLASSES, dtype=dtype)[generator.integers(CLASSES, size=ROWS)],
        generator.uniform(0.0, 2.0, ROWS).astype(dtype) if weighted else None,
    )
    orders = [generator.permutation(ROWS) for _ in range(3)]
    rates = generator.uniform(0.01, 0.1, (3, 4)).astype(dtype)

    def run(run_epoch: Callable[..., Any]) -> Any:
        state, results = first, []
        for order, rate in zip(orders, rates, strict=True):
            state, objectives = run_epoch(step, state, samples, order, rate, BATCH_SIZE)
            results.append((tree_map(np.asarray, state), objectives))
        return tuple(results)

    return run


def recorded_and_eager(run: Callable[[Callable[..., Any]], Any], *, rounding_less: bool) -> tuple[Any, Any]:
    backend = NumpyBackend()
    recorded = CapturedEpoch(np, functools.partial(backend.record, rounding_less=rounding_less))
    with backend.scope():
        results = run(recorded.run), run(lambda *arguments: Backend.run_epoch(backend, *arguments))
    assert recorded.recordings.keys() == {BATCH_SIZE, ROWS % BATCH_SIZE}
    return results


def assert_recorded_as_eager(run: Callable[[Callable[..., Any]], Any]) -> None:
    assert_same(*recorded_and_eager(run, rounding_less=False))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_eager_epoch_for_every_activation_and_optimizer(activation: str, optimizer: str, dtype: str) -> None:
    assert_recorded_as_eager(epoch(activation=ACTIVATIONS[activation], optimizer=optimizer, dtype=dtype))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("models", [(), (3,), (2, 1)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_the_eager_epoch_for_every_loss_and_for_populations(
    loss: str, weighted: bool, models: tuple[int, ...]
) -> None:
    assert_recorded_as_eager(epoch(loss, weighted=weighted, models=models, penalty=0.1))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("models", [(), (3,)])
def test_it_is_the_eager_epoch_with_dropout(models: tuple[int, ...]) -> None:
    assert_recorded_as_eager(epoch(dropout=0.4, models=models))


@pytest.mark.parametrize("hidden", [(), (300,), (40, 1000)])
def test_it_is_the_eager_epoch_at_sizes_that_are_divided(hidden: tuple[int, ...]) -> None:
    assert_recorded_as_eager(epoch(hidden=hidden, optimizer="adam", penalty=1e-3))


@pytest.mark.parametrize("by", ["OpenBLAS", "NumPy"])
@pytest.mark.parametrize("penalty", [None, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", [(3000,), (200, 300)])
def test_with_less_rounding_it_differs_by_rounding_only(
    hidden: tuple[int, ...], optimizer: str, penalty: float | None, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "NumPy":
        monkeypatch.setattr(openblas, "find_blas", dict)
    run = epoch(hidden=hidden, optimizer=optimizer, penalty=penalty, dtype="float64")
    found, expected = recorded_and_eager(run, rounding_less=True)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11), found, expected)


# What may be asked of two arrays of one shape; each gives another of that shape.
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
    lambda a, b: np.matmul(a, b) * (b[0, ...][0, ...]) + b,
    lambda a, b: np.matmul(np.matrix_transpose(a), np.tanh(b)),
    lambda a, b: 0.9 * a - 0.05 * b,
    lambda a, b: a + (0.9 * b - 0.1 * a),
    lambda a, b: np.matrix_transpose(a) - b,
    lambda a, b: a - np.max(b, axis=-1, keepdims=True),
    lambda a, b: np.sum(a, axis=-2, keepdims=True) * 0.1 + b,
    lambda a, b: a + b[..., :1],
    lambda a, b: np.reshape(np.reshape(a, (-1,)), a.shape) + np.vecdot(a, b)[..., None] * 0.01,
    lambda a, b: np.take(a, np.astype(b[0, ...] > 0.0, np.int64), axis=0) - b,
    lambda a, b: -(a**2) + np.cumulative_sum(b, axis=-1) * 0.1,
]


@pytest.mark.usefixtures("pieces")
@given(
    plan=st.lists(st.tuples(st.integers(0, len(OPERATIONS) - 1), st.integers(0), st.integers(0)), max_size=25),
    kept=st.lists(st.integers(0), min_size=2, max_size=2),
    in_place=st.booleans(),
    rounding_less=st.booleans(),
)
def test_any_sequence_of_operations_comes_to_the_same_when_it_is_played(
    plan: list[tuple[int, int, int]], kept: list[int], in_place: bool, rounding_less: bool
) -> None:
    def step(given: list[Any]) -> list[Any]:
        values = list(given)
        for number, first, second in plan:
            values.append(OPERATIONS[number](values[first % len(values)], values[second % len(values)]))
        results = [values[number % len(values)] for number in kept]
        for place, result in zip(given if in_place else given[::-1], results, strict=True):
            place[...] = result
        return results

    generator = np.random.default_rng(len(plan))
    given = [generator.uniform(-1.0, 1.0, (6, 6)) for _ in range(2)]
    recorder = Recorder()
    step([recorder.watch(array) for array in given])
    programs = make_programs(recorder.finish(), rounding_less=rounding_less)
    given = [programs[0].place_of(array) for array in given]
    for program in programs * 2:
        for array in given:
            array[...] = generator.uniform(-1.0, 1.0, array.shape)
        expected = [array.copy() for array in given]
        step(expected)
        program.play()
        if rounding_less:
            np.testing.assert_allclose(given, expected, rtol=1e-9, atol=1e-12)
        else:
            assert_same(tuple(given), tuple(expected))
