import io
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState
from xpmlp.nn.tree import tree_map
from xpmlp.training import Callback, EarlyStopping, EpochRow, FitResult, Run, history_to_csv

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


class At(Callback):
    """Does something when the given epoch is over; 0 is the start, −1 the end."""

    def __init__(self, epoch: int, action: Callable[[Run], Any]) -> None:
        self.epoch = epoch
        self.action = action

    def on_fit_start(self, run: Run) -> None:
        if self.epoch == 0:
            self.action(run)

    def on_epoch_end(self, run: Run) -> None:
        if self.epoch == len(run.history):
            self.action(run)

    def on_fit_end(self, run: Run) -> None:
        if self.epoch == -1:
            self.action(run)


def assert_same_layers(actual: Layers, expected: Layers) -> None:
    tree_map(np.testing.assert_array_equal, actual, expected)


def raise_key_error(run: Run) -> None:
    raise KeyError("mine")


def raise_ctrl_c(run: Run) -> None:
    signal.raise_signal(signal.SIGINT)


def test_callbacks_are_called_in_the_order_in_which_they_are_given(small_fit: Fit) -> None:
    calls: list[Any] = []
    small_fit(epochs=2, callbacks=[Log("a", calls), Log("b", calls)])
    moments = [("start", 0), ("epoch", 1), ("epoch", 2), ("end", 2)]
    assert calls == [(name, *moment) for moment in moments for name in "ab"]


def test_a_callback_sees_the_run_as_it_stands(small_fit: Fit, validation: Samples) -> None:
    seen: list[Any] = []
    look = [At(epoch, lambda run: seen.append((run.rows, run.epochs, run.history[-1], run.state))) for epoch in (1, 2)]
    result = small_fit(epochs=2, validation=validation, callbacks=look)
    assert [entry[:3] for entry in seen] == [(50, 2, row) for row in result.history]
    for epoch in (1, 2):
        assert_same_layers(seen[epoch - 1][3].layers, small_fit(epochs=epoch).layers)


def test_stopping_makes_the_epoch_the_last_for_every_callback(small_fit: Fit) -> None:
    calls: list[Any] = []
    result = small_fit(epochs=5, callbacks=[At(2, lambda run: run.stop("enough")), Log("b", calls)])
    assert (result.stop_reason, result.interrupted, len(result.history)) == ("enough", False, 2)
    assert calls[-2:] == [("b", "epoch", 2), ("b", "end", 2)]
    assert_same_layers(result.layers, small_fit(epochs=2).layers)


def test_a_callback_can_replace_the_state_at_the_end_and_the_next_one_sees_it(small_fit: Fit) -> None:
    def double(run: Run) -> None:
        run.state = TrainingState(tree_map(lambda array: 2.0 * array, run.state.layers), run.state.optimizer)

    result = small_fit(callbacks=[At(-1, double), At(-1, double)])
    assert_same_layers(result.layers, tree_map(lambda array: 4.0 * array, small_fit().layers))


def test_an_exception_in_a_callback_ends_the_run_and_the_others_are_told(small_fit: Fit) -> None:
    calls: list[Any] = []
    with pytest.raises(KeyError, match="mine"):
        small_fit(callbacks=[Log("a", calls), At(2, raise_key_error), Log("b", calls)])
    assert calls[-2:] == [("a", "end", 2), ("b", "end", 2)]
    assert ("b", "epoch", 2) not in calls


@pytest.mark.parametrize("action", [raise_key_error, raise_ctrl_c])
def test_a_callback_that_did_not_begin_is_not_told_of_the_end(small_fit: Fit, action: Any) -> None:
    calls: list[Any] = []
    callbacks = [Log("a", calls), At(0, action), Log("b", calls)]
    if action is raise_key_error:
        with pytest.raises(KeyError, match="mine"):
            small_fit(callbacks=callbacks)
    else:
        assert small_fit(callbacks=callbacks).interrupted
    assert calls == [("a", "start", 0), ("a", "end", 0)]


@pytest.mark.parametrize("epoch", [1, 2])
def test_ctrl_c_inside_a_callback_keeps_the_epoch_that_is_over_and_is_told_at_the_end(
    small_fit: Fit, epoch: int
) -> None:
    reasons: list[Any] = []
    at_the_end = At(-1, lambda run: reasons.append((run.stop_reason, run.interrupted)))
    result = small_fit(callbacks=[At(epoch, raise_ctrl_c), at_the_end])
    assert reasons == [("interrupted", True)] == [(result.stop_reason, result.interrupted)]
    assert_same_layers(result.layers, small_fit(epochs=epoch).layers)


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
def test_early_stopping_stops_when_patience_is_over_and_goes_back_to_the_best_weights(
    small_fit: Fit,
    validation: Samples,
    losses: tuple[float, ...],
    patience: int,
    min_delta: float,
    epochs: int,
    best: int,
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
    interrupted = small_fit(epochs=2, seed=3, validation=validation, callbacks=[At(0, raise_ctrl_c), stopping])
    assert not np.array_equal(interrupted.layers[0].weight, result.layers[0].weight)


@pytest.mark.parametrize("epoch", [0, 2])
def test_early_stopping_and_ctrl_c_leave_the_best_weights(small_fit: Fit, validation: Samples, epoch: int) -> None:
    start = small_fit(epochs=1).layers
    callbacks = [SetLosses(1.0, 2.0), EarlyStopping(5), At(epoch, raise_ctrl_c)]
    result = small_fit(layers=start, epochs=5, validation=validation, callbacks=callbacks)
    assert result.interrupted
    assert_same_layers(result.layers, start if epoch == 0 else small_fit(layers=start, epochs=1).layers)
