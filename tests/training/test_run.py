"""Callbacks and early stopping, and runs that end early, which keep their weights and history."""

import contextlib
import functools
import io
import itertools
import math
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import array_api_compat.numpy
import numpy as np
import polars as pl
import pytest

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.errors import DeviceMemoryError, SettingsError, XpmlpError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import init_layers, normal
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, step_bytes
from xpmlp.nn.tree import tree_map
from xpmlp.training import (
    Callback,
    DivergedError,
    EarlyStopping,
    EpochRow,
    FitResult,
    OutOfMemoryError,
    Run,
    constant,
    history_to_csv,
)
from xpmlp.training.errors import describe_shortage

Fit = Callable[..., FitResult]

NAMES = ["epoch", "train_loss", "test_loss", "test_accuracy", "learning_rate", "seconds", "samples_per_second"]
NAMES += ["objective", "validation_loss", "validation_accuracy", "train_rmse", "validation_rmse", "test_rmse"]
FIRST = EpochRow(1, 0.1 + 0.2, 1 / 3, 0.9605, 1e-05, 0.25, 240000.0, 0.5)
SECOND = EpochRow(2, 5e-324, None, None, 0.1, 0.5, 120000.0, None, 0.25, 1.0)


def test_a_history_becomes_a_header_and_a_line_per_epoch_that_read_back_the_same() -> None:
    text = history_to_csv([FIRST, SECOND])
    assert text.split("\n")[2:] == ["2,5e-324,,,0.1,0.5,120000.0,,0.25,1.0,,,", ""]
    table = pl.read_csv(io.StringIO(text))
    assert table.columns == NAMES
    assert [EpochRow(*row) for row in table.rows()] == [FIRST, SECOND]
    assert history_to_csv([]) == ",".join(NAMES) + "\n"


class Log(Callback):
    """Writes down its name and what it is called for."""

    def __init__(self, name: str, calls: list[Any]) -> None:
        self.name = name
        self.calls = calls

    def on_fit_start(self, run: Run) -> None:
        self.calls.append((self.name, "start", len(run.history)))

    def on_epoch_end(self, run: Run) -> None:
        self.calls.append((self.name, "epoch", len(run.history)))

    def on_fit_end(self, run: Run) -> None:
        self.calls.append((self.name, "end", len(run.history)))


def assert_same_layers(actual: Layers, expected: Layers) -> None:
    tree_map(functools.partial(np.testing.assert_array_equal, strict=True), actual, expected)


def raise_key_error(run: Run) -> None:
    raise KeyError("mine")


def raise_ctrl_c(run: Run) -> None:
    signal.raise_signal(signal.SIGINT)


def test_callbacks_are_called_in_their_order_and_see_the_run_as_it_stands(small_fit: Fit, validation: Samples) -> None:
    calls: list[Any] = []
    seen: list[Any] = []
    look = [(epoch, lambda run: seen.append((run.rows, run.epochs, run.history[-1], run.state))) for epoch in (1, 2)]
    result = small_fit(epochs=2, validation=validation, callbacks=[Log("a", calls), Log("b", calls), *look])
    moments = [("start", 0), ("epoch", 1), ("epoch", 2), ("end", 2)]
    assert calls == [(name, *moment) for moment in moments for name in "ab"]
    assert [entry[:3] for entry in seen] == [(50, 2, row) for row in result.history]
    for epoch in (1, 2):
        assert_same_layers(seen[epoch - 1][3].layers, small_fit(epochs=epoch).layers)


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("reason", ["enough", "interrupted"])
def test_a_callback_makes_its_epoch_the_last_and_all_are_told(small_fit: Fit, reason: str, epoch: int) -> None:
    calls: list[Any] = []
    act = raise_ctrl_c if reason == "interrupted" else lambda run: run.stop("enough")
    at_the_end = (-1, lambda run: calls.append((run.stop_reason, run.interrupted)))
    result = small_fit(epochs=5, callbacks=[(epoch, act), Log("b", calls), at_the_end])
    assert (result.stop_reason, result.interrupted, len(result.history)) == (reason, reason == "interrupted", epoch)
    assert calls[-2:] == [("b", "end", epoch), (reason, reason == "interrupted")]
    assert (("b", "epoch", epoch) in calls) == (reason == "enough")
    assert_same_layers(result.layers, small_fit(epochs=epoch).layers)


def test_a_callback_can_replace_the_state_at_the_end_and_the_next_one_sees_it(small_fit: Fit) -> None:
    def double(run: Run) -> None:
        run.state = TrainingState(tree_map(lambda array: 2.0 * array, run.state.layers), run.state.optimizer)

    result = small_fit(callbacks=[(-1, double), (-1, double)])
    assert_same_layers(result.layers, tree_map(lambda array: 4.0 * array, small_fit().layers))


def test_an_exception_in_a_callback_ends_the_run_and_the_others_are_told(small_fit: Fit) -> None:
    calls: list[Any] = []
    with pytest.raises(KeyError, match="mine"):
        small_fit(callbacks=[Log("a", calls), (2, raise_key_error), Log("b", calls)])
    assert calls[-2:] == [("a", "end", 2), ("b", "end", 2)]
    assert ("b", "epoch", 2) not in calls


@pytest.mark.parametrize("action", [raise_key_error, raise_ctrl_c])
def test_a_callback_that_did_not_begin_is_not_told_of_the_end(small_fit: Fit, action: Any) -> None:
    calls: list[Any] = []
    callbacks = [Log("a", calls), (0, action), Log("b", calls)]
    with pytest.raises(KeyError, match="mine") if action is raise_key_error else contextlib.nullcontext():
        assert small_fit(callbacks=callbacks).interrupted
    assert calls == [("a", "start", 0), ("a", "end", 0)]


# Early stopping


class SetLosses(Callback):
    """Gives the epochs the validation losses that a test wants; goes before early stopping."""

    def __init__(self, *losses: float) -> None:
        self.losses = losses

    def on_epoch_end(self, run: Run) -> None:
        run.history[-1] = replace(run.history[-1], validation_loss=self.losses[len(run.history) - 1])


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "epochs", "best"),
    [
        ((3.0, 2.0, 2.5, 2.4, 1.0), 2, 0.0, 4, 2),
        ((3.0, 2.0, 2.5, 2.4, 1.0, 1.0), 3, 0.0, 6, 5),
        ((3.0, 2.0, 2.5, 1.5, 1.6, 1.0), 2, 0.0, 6, 6),
        ((1.0, 1.0, 0.5), 1, 0.0, 2, 1),  # as good is not better
        ((1.0, 2.0, 3.0, 4.0), 5, 0.0, 4, 1),  # the run ends first: the best weights all the same
        ((1.0, 0.95, 0.91, 0.5), 2, 0.1, 3, 1),
        ((1.0, 0.95, 0.91, 0.5), 2, 0.01, 4, 4),
    ],
)
def test_early_stopping_goes_back_to_the_best_weights_when_patience_is_over(
    small_fit: Fit, validation: Samples, losses: Any, patience: int, min_delta: float, epochs: int, best: int
) -> None:
    callbacks = [SetLosses(*losses), EarlyStopping(patience, min_delta=min_delta)]
    result = small_fit(epochs=len(losses), validation=validation, callbacks=callbacks)
    assert (len(result.history), result.kept_epoch, result.interrupted) == (epochs, best, False)
    assert_same_layers(result.layers, small_fit(epochs=best).layers)
    if epochs < len(losses):
        assert result.stop_reason == f"no lower loss for {patience} epoch{'s' if patience > 1 else ''}"


def test_early_stopping_refuses_no_patience_and_no_validation(small_fit: Fit) -> None:
    with pytest.raises(SettingsError, match="give validation samples"):
        small_fit(callbacks=[EarlyStopping()])
    with pytest.raises(SettingsError, match="patience is 0; it must be at least 1"):
        EarlyStopping(0)


def test_early_stopping_forgets_an_earlier_run(small_fit: Fit, validation: Samples) -> None:
    stopping = EarlyStopping(2)
    small_fit(epochs=2, seed=7, validation=validation, callbacks=[SetLosses(0.1, 0.2), stopping])
    result = small_fit(epochs=2, validation=validation, callbacks=[SetLosses(4.0, 5.0), stopping])
    assert_same_layers(result.layers, small_fit(epochs=1).layers)
    interrupted = small_fit(epochs=2, seed=3, validation=validation, callbacks=[(0, raise_ctrl_c), stopping])
    assert not np.array_equal(interrupted.layers[0].weight, result.layers[0].weight)


@pytest.mark.parametrize("epoch", [0, 2])
def test_early_stopping_and_ctrl_c_leave_the_best_weights(small_fit: Fit, validation: Samples, epoch: int) -> None:
    start = small_fit(epochs=1).layers
    callbacks = [SetLosses(1.0, 2.0), EarlyStopping(5), (epoch, raise_ctrl_c)]
    result = small_fit(layers=start, epochs=5, validation=validation, callbacks=callbacks)
    assert result.interrupted
    assert_same_layers(result.layers, start if epoch == 0 else small_fit(layers=start, epochs=1).layers)


# Ctrl-C


@pytest.mark.parametrize("moment", [3, 5, 6, 15, 18])
def test_ctrl_c_inside_an_epoch_leaves_the_last_whole_one(small_fit: Fit, validation: Samples, moment: int) -> None:
    loss, calls = LOSSES["softmax_cross_entropy"], itertools.count(1)

    def interrupted(*arguments: Any) -> Any:
        """Is called in four steps, on the training rows and on the validation rows: six times an epoch."""
        if next(calls) == moment:
            signal.raise_signal(signal.SIGINT)
        return loss.value_and_gradient(*arguments)

    start, epochs = small_fit(epochs=1).layers, (moment - 1) // 6
    settings: dict[str, Any] = {"validation": validation, "loss": loss._replace(value_and_gradient=interrupted)}
    result = small_fit(layers=start, epochs=5, backend=Backend(array_api_compat.numpy), **settings)
    assert (result.interrupted, result.stop_reason) == (True, "interrupted")
    assert [row.epoch for row in result.history] == list(range(1, epochs + 1))
    assert_same_layers(result.layers, small_fit(layers=start, epochs=epochs).layers if epochs else start)


# Diverging


# A regression whose squared error grows from epoch to epoch until float32 overflows.
DIVERGING: dict[str, Any] = {
    "dtype": np.float32,
    "activation": ACTIVATIONS["identity"],
    "loss": LOSSES["squared_error"],
    "optimizer": sgd(),
    "schedule": constant(3.0),
    "epochs": 20,
    "batch_size": 50,
}


@pytest.mark.parametrize("has_validation", [False, True])
def test_diverging_names_epoch_and_rate_and_keeps_the_epoch_before(
    small_fit: Fit, samples: Samples, has_validation: bool
) -> None:
    reasons: list[Any] = []
    settings = DIVERGING | {"validation": samples if has_validation else None}
    with pytest.raises(DivergedError, match=r"diverged in epoch \d+.* learning rate was 3; use a smaller") as caught:
        small_fit(**settings, callbacks=[(-1, lambda run: reasons.append(run.stop_reason))])
    assert reasons == ["diverged"]
    error = caught.value
    assert isinstance(error, XpmlpError)
    assert 2 <= error.epoch < 20
    assert f"epoch {error.epoch}:" in str(error)
    assert (error.result.stop_reason, error.result.interrupted) == ("diverged", False)
    assert len(error.result.history) == error.epoch - 1
    assert_same_layers(error.result.layers, small_fit(**settings | {"epochs": error.epoch - 1}).layers)


@pytest.mark.parametrize(("rate", "named"), [(1e5, r"1e\+05"), (7e4, r"7e\+04"), (1e39, r"1e\+39")])
def test_diverging_in_the_first_epoch_keeps_the_network_handed_in(small_fit: Fit, rate: float, named: str) -> None:
    layers = small_fit(epochs=1, dtype=np.float32).layers
    changes = {"layers": layers, "schedule": lambda step, steps: rate if step == 3 else 1e3, "batch_size": 5}
    with pytest.raises(DivergedError, match=f"epoch 1: .* rate was {named}") as caught:
        small_fit(**DIVERGING | changes)
    assert (caught.value.epoch, caught.value.result.history) == (1, ())
    assert_same_layers(caught.value.result.layers, layers)


@pytest.mark.parametrize("exponent", [0, 12, 18, 36])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_rate_of_any_size_trains_or_diverges_but_never_warns(
    small_fit: Fit, samples: Samples, targets_for: Callable[..., Any], loss: str, exponent: int
) -> None:
    samples = samples._replace(targets=targets_for(loss, samples.targets))
    # One step an epoch: weights may be finite, and yet so large that the validation overflows.
    changes = {"loss": LOSSES[loss], "schedule": constant(10.0**exponent), "epochs": 3, "l2": 0.1}
    try:
        result = small_fit(samples, **DIVERGING | changes, validation=samples)
    except DivergedError as error:
        result = error.result
    assert all(np.isfinite(array).all() for layer in result.layers for array in layer)
    assert all(math.isfinite(loss or 0.0) for row in result.history for loss in (row.objective, row.validation_loss))


def test_a_loss_that_explodes_but_stays_finite_counts_as_diverged(small_fit: Fit) -> None:
    explode = {"dtype": np.float64, "batch_size": 16, "epochs": 9}
    with pytest.raises(DivergedError, match=r"in epoch \d: the loss is \d\S*e\+\d+\. The learning rate was 3") as error:
        small_fit(**DIVERGING | explode)
    assert all(np.isfinite(layer.weight).all() for layer in error.value.result.layers)


# Out of memory


class SmallBackend(NumpyBackend):
    """A device that runs out of memory in the epoch of that number, from 1, or while data are moved to it."""

    def __init__(self, fails_in_epoch: int, free: int | None = None) -> None:
        super().__init__()
        self.epochs_left = fails_in_epoch
        self.free = free

    def asarray(self, array: Any, dtype: str | None = None) -> Any:
        if self.epochs_left == 0:
            raise MemoryError("no room for this")
        return super().asarray(array, dtype)

    def run_epoch(self, *arguments: Any) -> Any:
        self.epochs_left -= 1
        if self.epochs_left == 0:
            raise MemoryError("no room for that")
        return super().run_epoch(*arguments)

    def free_memory(self) -> int | None:
        return self.free


def test_what_was_learned_before_memory_ran_out_is_kept(small_fit: Fit) -> None:
    with pytest.raises(OutOfMemoryError, match=r"too little memory on cpu\. A step needs about") as caught:
        small_fit(backend=SmallBackend(fails_in_epoch=3))
    error = caught.value
    assert (error.epoch, len(error.result.history), error.result.stop_reason) == (3, 2, "out of memory")
    assert_same_layers(error.result.layers, small_fit(epochs=2).layers)
    with pytest.raises(DeviceMemoryError, match=r"too little memory on cpu \(1.05 MB free\)"):  # even to begin
        small_fit(backend=SmallBackend(fails_in_epoch=0, free=2**20))


def test_another_error_stays_what_it_is(small_fit: Fit) -> None:
    class Broken(NumpyBackend):
        def run_epoch(self, *_: Any) -> Any:
            raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError, match="a defect"):
        small_fit(backend=Broken())


def test_what_would_fit_is_named() -> None:
    small, large = (
        init_layers(np, np.random.default_rng(0), sizes, normal(), dtype=np.float32)
        for sizes in ((784, 128, 10), (784, 4096, 4096, 10))
    )
    fixed, per_row = step_bytes(small)
    text = describe_shortage(SmallBackend(1, free=fixed + 300 * per_row), small, 100_000)
    assert "batch of 100,000 rows" in text
    assert text.endswith("Use a smaller batch_size: 256 may fit.")
    text = describe_shortage(SmallBackend(1, free=2**20), large, 128)
    assert text.endswith("Use fewer or smaller hidden layers, or another device.")
    assert "481 MB for the network" in text  # 6 × (784 × 4096 + 4096² + 4096 × 10 + 8,202 biases) × 4 bytes
