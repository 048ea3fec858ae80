import itertools
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import array_api_strict
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.errors import DataError, SettingsError
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam
from xpmlp.nn.samples import Samples
from xpmlp.nn.tree import tree_map
from xpmlp.training import FitResult, constant, warmup_cosine

Fit = Callable[..., FitResult]


class RecordingBackend(NumpyBackend):
    """NumPy's, which keeps the order and the objectives of each epoch, and the inputs of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Any] = []
        self.batches: list[Any] = []
        self.objectives: list[Any] = []

    def run_epoch(self, step: Any, state: Any, samples: Samples, order: Any, *settings: Any) -> tuple[Any, Any]:
        def recording_step(xp: Any, state: Any, x: Any, *others: Any) -> Any:
            self.batches.append(x)
            return step(xp, state, x, *others)

        self.orders.append(order)
        state, objectives = super().run_epoch(recording_step, state, samples, order, *settings)
        self.objectives.append(objectives)
        return state, objectives


IN_ORDER = SimpleNamespace(permutation=np.arange)


def assert_same_bits(actual: Layers, expected: Layers) -> None:
    for a, e in zip(itertools.chain(*actual), itertools.chain(*expected), strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (e.dtype, e.shape, e.tobytes())


# Randomness


def test_the_seed_decides_the_bits(small_fit: Fit, validation: Samples) -> None:
    first, again = (small_fit(seed=3, validation=validation) for _ in range(2))
    assert_same_bits(again.layers, first.layers)
    assert [replace(row, seconds=0.0, samples_per_second=0.0) for row in again.history] == [
        replace(row, seconds=0.0, samples_per_second=0.0) for row in first.history
    ]
    assert not np.allclose(small_fit(seed=4).layers[0].weight, first.layers[0].weight)


def test_every_row_is_seen_once_an_epoch_in_an_order_of_its_own(small_fit: Fit, samples: Samples) -> None:
    backend = RecordingBackend()
    small_fit(backend=backend, epochs=5)
    assert [len(batch) for batch in backend.batches] == [16, 16, 16, 2] * 5
    for epoch in range(5):
        seen = np.concatenate(backend.batches[4 * epoch : 4 * epoch + 4])
        assert_array_equal(seen, samples.x[backend.orders[epoch]])
        assert_array_equal(np.sort(backend.orders[epoch]), np.arange(50))
    for order, other in itertools.combinations(backend.orders, 2):
        assert not np.array_equal(order, other)


def test_a_batch_may_hold_one_row_all_rows_or_more_than_there_are(small_fit: Fit) -> None:
    exact, larger = (small_fit(batch_size=size, generator=IN_ORDER) for size in (50, 1000))
    assert_same_bits(larger.layers, exact.layers)
    backend = RecordingBackend()
    assert math.isfinite(small_fit(batch_size=1, epochs=1, backend=backend).history[0].objective or math.nan)
    assert len(backend.batches) == 50


def test_what_is_handed_over_is_not_changed(small_fit: Fit, samples: Samples, validation: Samples) -> None:
    start = small_fit(epochs=1).layers
    arrays = [*itertools.chain(*start), *samples.arrays, *validation.arrays]
    before = [array.copy() for array in arrays]
    small_fit(layers=start, validation=validation)
    tree_map(assert_array_equal, tuple(arrays), tuple(before))


# What is reported


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_validation_losses_and_accuracies_are_scikit_learns(small_fit: Fit, validation: Samples, dtype: str) -> None:
    states: list[Any] = []
    keep = (None, lambda run: states.append(run.state))
    result = small_fit(validation=validation, callbacks=[keep], dtype=dtype, epochs=4)
    truth = validation.targets.argmax(axis=1)
    for row, state in zip(result.history, states, strict=True):
        hidden, output = state.layers
        activations = np.tanh(validation.x @ hidden.weight + hidden.bias)
        probabilities = softmax(activations @ output.weight + output.bias, axis=1)
        tolerance = 1e-12 if dtype == "float64" else 1e-6
        assert row.validation_loss == pytest.approx(log_loss(truth, probabilities), rel=tolerance)
        assert row.validation_accuracy == pytest.approx(accuracy_score(truth, probabilities.argmax(axis=1)), abs=1e-7)


def test_no_rows_have_no_loss_and_regression_has_no_accuracy(small_fit: Fit, validation: Samples) -> None:
    unvalidated, validated = small_fit(), small_fit(validation=validation)
    assert_same_bits(validated.layers, unvalidated.layers)
    row = unvalidated.history[-1]
    assert (row.validation_loss, row.validation_accuracy, row.test_loss, row.test_accuracy) == (None,) * 4
    regression = small_fit(loss=LOSSES["squared_error"], validation=validation).history[-1]
    assert regression.validation_loss is not None
    assert regression.validation_accuracy is None


@pytest.mark.parametrize("l2", [None, 50.0])
def test_losses_of_all_rows_can_be_compared(small_fit: Fit, samples: Samples, l2: float | None) -> None:
    """The same rows have the same loss as training, validation and test rows, whatever the penalty."""
    result = small_fit(validation=samples, test=samples, l2=l2, loss_scale=3.0)
    for row in result.history:
        assert row.train_loss == pytest.approx(row.validation_loss, rel=1e-12)
        assert row.test_loss == row.validation_loss
        assert row.test_accuracy == row.validation_accuracy
    unscaled = small_fit(l2=l2).history
    assert [row.train_loss for row in result.history] == [3.0 * (row.train_loss or 0.0) for row in unscaled]
    assert [row.objective for row in result.history] == [3.0 * (row.objective or 0.0) for row in unscaled]


def test_the_training_loss_may_be_that_of_some_rows_or_of_none(small_fit: Fit, samples: Samples) -> None:
    some = Samples(samples.x[[10, 20, 30, 40]], samples.targets[[10, 20, 30, 40]])
    rows = np.arange(10, 41)
    (row,) = small_fit(rows=rows, loss_rows=4, test=some, epochs=1).history
    assert row.train_loss == pytest.approx(row.test_loss, rel=1e-12)
    assert small_fit(loss_rows=0).history[-1].train_loss is None


def test_history_is_numbered_and_holds_the_mean_of_the_objectives_and_of_the_learning_rates(small_fit: Fit) -> None:
    backend = RecordingBackend()
    schedule = warmup_cosine(0.5, warmup=0.3)
    result = small_fit(schedule=schedule, epochs=5, backend=backend, l2=0.1)
    assert [row.epoch for row in result.history] == [1, 2, 3, 4, 5]
    rates = np.asarray([schedule(step, 20) for step in range(20)]).reshape(5, 4)
    assert_allclose([row.learning_rate for row in result.history], rates.mean(axis=1), rtol=1e-12)
    # Rows count alike: the last batch, of 2 rows, for less than the others.
    losses = np.asarray(backend.objectives) @ np.asarray([16, 16, 16, 2]) / 50
    assert_allclose(np.array([row.objective for row in result.history], float), losses, rtol=1e-12)
    assert (result.stop_reason, result.interrupted) == (None, False)


def test_seconds_are_of_training_alone(small_fit: Fit, validation: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    loss = LOSSES["softmax_cross_entropy"]

    class SlowBackend(NumpyBackend):
        def run_epoch(self, *arguments: Any) -> tuple[Any, Any]:
            clock[0] += 2.0
            return super().run_epoch(*arguments)

        def synchronize(self, state: Any) -> None:
            clock[0] += 0.5

    def slow(*arguments: Any) -> Any:  # asked for in validation only
        assert loss.is_correct is not None
        clock[0] += 10.0
        return loss.is_correct(*arguments)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    result = small_fit(validation=validation, backend=SlowBackend(), loss=loss._replace(is_correct=slow))
    assert [(row.seconds, row.samples_per_second) for row in result.history] == [(2.5, 50 / 2.5)] * 3
    assert result.seconds == 3 * 12.5


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-12)])
def test_training_is_done_in_the_dtype_of_the_layers(small_fit: Fit, dtype: str, tolerance: float) -> None:
    backend = RecordingBackend()
    result = small_fit(dtype=dtype, epochs=5, backend=backend)
    arrays = (*itertools.chain(*result.layers), *backend.batches, *backend.objectives)
    assert {str(array.dtype) for array in arrays} == {dtype}
    tree_map(partial(assert_allclose, rtol=0, atol=tolerance), result.layers, small_fit(epochs=5).layers)


def test_without_hidden_layers_it_is_multinomial_logistic_regression(small_fit: Fit, samples: Samples) -> None:
    reference = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000)
    reference.fit(samples.x, samples.targets.argmax(axis=1))
    layers = (Layer(np.zeros((4, 3)), np.zeros((1, 3))),)
    result = small_fit(layers=layers, schedule=constant(0.5), epochs=400, batch_size=50, l2=2.0)
    assert_allclose(result.layers[0].weight, reference.coef_.T, rtol=0, atol=1e-6)
    assert_allclose(result.layers[0].bias[0], reference.intercept_, rtol=0, atol=1e-6)


# The host does not wait for the device


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_nothing_is_read_back_to_the_host_inside_an_epoch(
    small_fit: Fit, samples: Samples, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    array_class = type(array_api_strict.asarray(0.0))
    conversions = ("array", "bool", "buffer", "complex", "dlpack", "float", "index", "int")
    present = [f"__{name}__" for name in conversions if hasattr(array_class, f"__{name}__")]
    assert {"__bool__", "__float__", "__int__", "__index__", "__dlpack__"} <= set(present)
    epochs = itertools.count()

    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise AssertionError("an array was read back to the host")

    class GuardedBackend(Backend):
        def run_epoch(self, *arguments: Any) -> tuple[Any, Any]:
            next(epochs)
            with monkeypatch.context() as patch:
                for name in present:
                    patch.setattr(array_class, name, refuse)
                with pytest.raises(AssertionError, match="read back"):
                    float(array_api_strict.asarray(0.0))  # the guard is up
                return super().run_epoch(*arguments)

    train = samples._replace(weight=np.linspace(0.0, 2.0, 50)) if loss == "squared_error" else samples
    chosen = {"loss": LOSSES[loss], "optimizer": adam(), "l2": 0.1}
    result = small_fit(train, backend=GuardedBackend(array_api_strict), **chosen)
    assert next(epochs) == 3
    tree_map(partial(assert_allclose, rtol=1e-9, atol=1e-12), result.layers, small_fit(train, **chosen).layers)


# Refusals


def test_counts_below_one_are_refused_by_name_before_training(small_fit: Fit, validation: Samples) -> None:
    nothing = Samples(np.empty((0, 4)), np.empty((0, 3)))
    for changes, message in (
        ({"epochs": 0}, "epochs: 0 is too few"),
        ({"batch_size": -1}, "batch_size: -1 is too few"),
        ({"train": nothing}, "rows of training data: 0"),
        ({"validation": nothing}, "rows of validation data: 0"),
    ):
        backend = RecordingBackend()
        with pytest.raises(SettingsError, match=message):
            small_fit(backend=backend, **changes)
        assert backend.orders == []
    with pytest.raises(DataError, match="weigh"):
        small_fit(validation=validation._replace(weight=np.zeros(30)))


# Where it computes


@pytest.mark.parametrize("library", ["torch", "jax.numpy"])
def test_without_a_backend_it_computes_where_the_arrays_are(small_fit: Fit, samples: Samples, library: str) -> None:
    xp = pytest.importorskip(library, reason=f"{library} is not installed")
    there = samples.map(lambda array: xp.asarray(np.array(array)))
    result = small_fit(train=there)
    assert result.backend.name == library.partition(".")[0]
    assert type(result.state.layers[0].weight) is type(there.x)
    tree_map(partial(assert_allclose, rtol=1e-3, atol=1e-5), result.layers, small_fit().layers)


def test_the_generic_backend_trains_arrays_of_one_library_and_two_are_refused(small_fit: Fit, samples: Samples) -> None:
    xp = array_api_strict
    there = samples.map(lambda array: xp.asarray(np.array(array)))
    layers = tuple(Layer(*map(xp.asarray, layer)) for layer in small_fit(epochs=1).layers)
    assert isinstance(small_fit(train=there, layers=layers).state.layers[0].weight, type(there.x))
    with pytest.raises(SettingsError, match=r"array_api_strict on .*, and numpy on cpu"):
        small_fit(train=samples._replace(x=there.x))
