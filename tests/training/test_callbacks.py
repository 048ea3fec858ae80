import signal
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.tree import tree_map
from xpmlp.training import Callback, EarlyStopping, FitResult, Run

Fit = Callable[..., FitResult]


class CtrlC(Callback):
    """Interrupts the run after an epoch; 0 is the start."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_fit_start(self, run: Run) -> None:
        if self.epoch == 0:
            signal.raise_signal(signal.SIGINT)

    def on_epoch_end(self, run: Run) -> None:
        if self.epoch == len(run.history):
            signal.raise_signal(signal.SIGINT)


def assert_same_layers(actual: Layers, expected: Layers) -> None:
    tree_map(np.testing.assert_array_equal, actual, expected)


class SetLosses(Callback):
    """Gives the epochs the validation losses that a test wants; goes before early stopping."""

    def __init__(self, *losses: float) -> None:
        self.losses = losses

    def on_epoch_end(self, run: Run) -> None:
        run.history[-1] = replace(run.history[-1], test_loss=self.losses[len(run.history) - 1])


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ((3.0, 2.0, 2.5, 2.4, 1.0), 2, 4, 2),
        ((3.0, 2.0, 2.5, 2.4, 1.0, 1.0), 3, 6, 5),
        ((3.0, 2.0, 2.5, 1.5, 1.6, 1.0), 2, 6, 6),
        ((1.0, 1.0, 0.5), 1, 2, 1),  # as good is not better
        ((1.0, 2.0, 3.0, 4.0), 5, 4, 1),  # the run ends first: the best weights all the same
    ],
)
def test_early_stopping_stops_when_patience_is_over_and_goes_back_to_the_best_weights(
    small_fit: Fit, validation: Samples, losses: tuple[float, ...], patience: int, epochs: int, best: int
) -> None:
    callbacks = [SetLosses(*losses), EarlyStopping(patience)]
    result = small_fit(epochs=len(losses), validation=validation, callbacks=callbacks)
    assert len(result.history) == epochs
    assert_same_layers(result.layers, small_fit(epochs=best).layers)
    if epochs < len(losses):
        assert result.stop_reason == f"no lower loss for {patience} epoch{'s' if patience > 1 else ''}"
    assert result.kept_epoch == best
    assert not result.interrupted


def test_early_stopping_takes_an_improvement_below_min_delta_for_none(small_fit: Fit, validation: Samples) -> None:
    losses = (1.0, 0.95, 0.91, 0.5)
    strict = EarlyStopping(2, min_delta=0.1)
    assert len(small_fit(epochs=4, validation=validation, callbacks=[SetLosses(*losses), strict]).history) == 3
    lenient = EarlyStopping(2, min_delta=0.01)
    assert len(small_fit(epochs=4, validation=validation, callbacks=[SetLosses(*losses), lenient]).history) == 4


def test_early_stopping_watches_the_real_validation_loss(small_fit: Fit, validation: Samples) -> None:
    # The labels of the validation rows are random: the better the network fits, the worse it does on them.
    result = small_fit(epochs=200, validation=validation, callbacks=[EarlyStopping(4)])
    losses = [row.test_loss or 0.0 for row in result.history]
    best = int(np.argmin(losses)) + 1
    assert len(losses) == best + 4 < 200
    assert_same_layers(result.layers, small_fit(epochs=best).layers)


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
    interrupted = small_fit(epochs=2, seed=3, validation=validation, callbacks=[CtrlC(0), stopping])
    assert not np.array_equal(interrupted.layers[0].weight, result.layers[0].weight)


@pytest.mark.parametrize("epoch", [0, 2])
def test_early_stopping_and_ctrl_c_leave_the_best_weights(small_fit: Fit, validation: Samples, epoch: int) -> None:
    start = small_fit(epochs=1).layers
    callbacks = [SetLosses(1.0, 2.0), EarlyStopping(5), CtrlC(epoch)]
    result = small_fit(layers=start, epochs=5, validation=validation, callbacks=callbacks)
    assert result.interrupted
    assert_same_layers(result.layers, start if epoch == 0 else small_fit(layers=start, epochs=1).layers)
