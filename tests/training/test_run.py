import csv
import io
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState
from xpmlp.nn.tree import tree_map
from xpmlp.training import Callback, EpochRow, FitResult, Run, history_to_csv

Fit = Callable[..., FitResult]

NAMES = ["epoch", "train_loss", "test_loss", "test_accuracy", "learning_rate", "seconds", "samples_per_second"]
FIRST = EpochRow(1, 0.1 + 0.2, 1 / 3, 0.9605, 1e-05, 0.25, 240000.0)
SECOND = EpochRow(2, 5e-324, None, None, 0.1, 0.5, 120000.0)


def test_a_history_becomes_a_header_and_a_line_per_epoch_that_read_back_the_same() -> None:
    text = history_to_csv([FIRST, SECOND])
    assert text.split("\n")[2:] == ["2,5e-324,,,0.1,0.5,120000.0", ""]
    rows = list(csv.DictReader(io.StringIO(text)))
    for row, expected in zip(rows, (FIRST, SECOND), strict=True):
        for name in NAMES:
            value = getattr(expected, name)
            assert row[name] == "" if value is None else float(row[name]) == value
    table = pl.read_csv(io.StringIO(text))
    assert table.columns == NAMES
    assert table["test_loss"].to_list() == [1 / 3, None]
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
    assert calls == [
        ("a", "start", 0),
        ("b", "start", 0),
        ("a", "epoch", 1),
        ("b", "epoch", 1),
        ("a", "epoch", 2),
        ("b", "epoch", 2),
        ("a", "end", 2),
        ("b", "end", 2),
    ]


def test_a_callback_sees_the_run_as_it_stands(small_fit: Fit, samples: Samples, validation: Samples) -> None:
    seen: list[Any] = []
    result = small_fit(
        epochs=2,
        validation=validation,
        callbacks=[
            At(epoch, lambda run: seen.append((run.rows, run.epochs, run.history[-1], run.state))) for epoch in (1, 2)
        ],
    )
    assert [entry[:2] for entry in seen] == [(50, 2), (50, 2)]
    assert tuple(entry[2] for entry in seen) == result.history
    assert_same_layers(seen[0][3].layers, small_fit(epochs=1).layers)
    assert_same_layers(seen[1][3].layers, result.layers)


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
    for epoch in (0, 1, 3, -1):
        with pytest.raises(KeyError, match="mine"):
            small_fit(callbacks=[At(epoch, raise_key_error), Callback()])
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


def test_ctrl_c_is_told_to_callbacks_at_the_end(small_fit: Fit) -> None:
    reasons: list[Any] = []
    small_fit(callbacks=[At(1, raise_ctrl_c), At(-1, lambda run: reasons.append((run.stop_reason, run.interrupted)))])
    assert reasons == [("interrupted", True)]
