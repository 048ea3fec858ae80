"""The training loop: epochs, shuffling, validation, history, and what may end a run early."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from xpmlp.backends import Backend, NumpyBackend, Samples
from xpmlp.errors import SettingsError, XpmlpError
from xpmlp.nn.activations import Activation
from xpmlp.nn.layers import Layers, map_layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.optimizers import Optimizer
from xpmlp.nn.step import TrainingState, make_step

from .callbacks import Callback
from .evaluation import Evaluation, evaluate
from .history import EpochRow
from .schedules import Schedule


@dataclass
class Run:
    """A run as callbacks see it.

    Attributes
    ----------
    state
        Weights and optimizer state after the last whole epoch, as arrays of `backend`.
    history
        A row for each whole epoch.
    stop_reason
        Why no further epoch will come, in words; None while all goes on.
    interrupted
        Whether that is Ctrl-C.
    """

    backend: Backend
    epochs: int
    rows: int
    validation: Samples | None
    state: TrainingState
    history: list[EpochRow] = field(default_factory=list)
    stop_reason: str | None = None
    interrupted: bool = False

    def stop(self, reason: str) -> None:
        """Let the present epoch be the last."""
        self.stop_reason = reason


@dataclass(frozen=True)
class FitResult:
    """What training came to.

    Attributes
    ----------
    layers
        The trained network, as NumPy arrays.
    history
        A row for each whole epoch.
    stop_reason
        Why the run ended before its last epoch, in words; None where it did not.
    interrupted
        Whether that was Ctrl-C.
    seconds
        From first to last, validation and callbacks included.
    """

    layers: Layers
    history: tuple[EpochRow, ...]
    stop_reason: str | None
    interrupted: bool
    seconds: float


class DivergedEpoch(NamedTuple):
    """Where numbers overflowed: the epoch, from 1, and the highest learning rate in it."""

    epoch: int
    learning_rate: float


class DivergedError(XpmlpError, ArithmeticError):
    """The loss or a weight is no longer a finite number.

    Attributes
    ----------
    epoch
        The epoch in which it happened, from 1.
    result
        The network and history up to the epoch before.
    """

    def __init__(self, epoch: int, learning_rate: float, result: FitResult) -> None:
        super().__init__(
            f"Training diverged in epoch {epoch}: the loss is no longer a finite number. "
            f"The learning rate was {learning_rate:.3g}; use a smaller one."
        )
        self.epoch = epoch
        self.result = result


def fit(
    train: Samples,
    *,
    layers: Layers,
    activation: Activation,
    loss: Loss,
    optimizer: Optimizer,
    schedule: Schedule,
    epochs: int,
    batch_size: int,
    generator: np.random.Generator,
    penalty: float | None = None,
    validation: Samples | None = None,
    backend: Backend | None = None,
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train a network.

    Parameters
    ----------
    train, validation
        NumPy arrays; they are moved to the backend's device once, as the dtype of `layers`.
    layers
        The network to start from, as NumPy arrays.
    schedule
        See `xpmlp.training.schedules`.
    batch_size
        Rows in a step; an epoch's last batch holds what is left.
    generator
        Draws the order of each epoch's rows. It is advanced.
    penalty
        The L2 penalty λ on the weights; see `xpmlp.nn.objective`.
    backend
        Where to compute; by default NumPy.
    callbacks
        Called in this order.

    Raises
    ------
    DivergedError
        Where numbers overflow; it carries the network as it was one epoch earlier.
    SettingsError
        For a number of epochs or a batch size below 1, or no rows.
    """
    check_counts(train, validation, epochs, batch_size)
    backend = backend or NumpyBackend()
    began = time.perf_counter()
    diverged: DivergedEpoch | None = None
    with backend.scope():
        dtype = str(layers[0].weight.dtype)
        samples = move_samples(backend, train, dtype)
        device_layers = map_layers(lambda array: backend.asarray(array, dtype), layers)
        run = Run(
            backend=backend,
            epochs=epochs,
            rows=train.rows,
            validation=None if validation is None else move_samples(backend, validation, dtype),
            state=TrainingState(device_layers, optimizer.init(backend.xp, device_layers)),
        )
        step = make_step(activation=activation, loss=loss, optimizer=optimizer, penalty=penalty)
        steps = math.ceil(train.rows / batch_size)
        begun: list[Callback] = []  # What did not begin is not told of the end: its state may be an earlier run's.
        try:
            for callback in callbacks:
                callback.on_fit_start(run)
                begun.append(callback)
            for epoch in range(epochs):
                rates = np.asarray([schedule(epoch * steps + i, epochs * steps) for i in range(steps)])
                started = time.perf_counter()
                order = backend.asarray(draw_order(generator, train.rows))
                state, objectives = backend.run_epoch(
                    step, run.state, samples, order, backend.asarray(rates, dtype), batch_size
                )
                backend.wait(state)
                seconds = time.perf_counter() - started
                train_loss = mean_objective(backend.to_numpy(objectives), train.rows, batch_size)
                validated = judge(run, state, activation=activation, loss=loss)
                row = make_row(run, train_loss, validated, rates, seconds)
                if not is_finite(run, state, row):
                    diverged = DivergedEpoch(epoch + 1, float(np.max(rates)))
                    run.stop("diverged")
                    break
                # One assignment, so that Ctrl-C finds an epoch either whole or not begun.
                run.state, run.history = state, [*run.history, row]
                for callback in callbacks:
                    callback.on_epoch_end(run)
                if run.stop_reason is not None:
                    break
        except KeyboardInterrupt:
            run.interrupted = True
            run.stop("interrupted")
        finally:
            for callback in begun:
                callback.on_fit_end(run)
        result = FitResult(
            layers=map_layers(backend.to_numpy, run.state.layers),
            history=tuple(run.history),
            stop_reason=run.stop_reason,
            interrupted=run.interrupted,
            seconds=time.perf_counter() - began,
        )
    if diverged is not None:
        raise DivergedError(*diverged, result)
    return result


def check_counts(train: Samples, validation: Samples | None, epochs: int, batch_size: int) -> None:
    """Refuse numbers with which there is nothing to do."""
    counts = {"epochs": epochs, "batch_size": batch_size, "rows of training data": train.rows}
    if validation is not None:
        counts["rows of validation data"] = validation.rows
    for name, value in counts.items():
        if value < 1:
            raise SettingsError(f"{name}: {value} is too few; at least 1 is needed.")


def draw_order(generator: np.random.Generator, rows: int) -> Int64[np.ndarray, " rows"]:
    """Draw the order in which an epoch goes through the rows."""
    return generator.permutation(rows)


def move_samples(backend: Backend, samples: Samples, dtype: str) -> Samples:
    """Move rows from the host to the backend's device."""
    x, targets, weight = samples
    return Samples(
        backend.asarray(x, dtype),
        backend.asarray(targets, dtype),
        None if weight is None else backend.asarray(weight, dtype),
    )


def mean_objective(objectives: Float[np.ndarray, " steps"], rows: int, batch_size: int) -> float:
    """Return the mean over the rows: the last batch, which may be smaller, counts for as many as it has."""
    sizes = np.full(len(objectives), batch_size)
    sizes[-1] = rows - (len(objectives) - 1) * batch_size
    return float(np.average(objectives, weights=sizes))


def judge(run: Run, state: TrainingState, *, activation: Activation, loss: Loss) -> Evaluation | None:
    """Evaluate a state on the validation rows, where there are any."""
    if run.validation is None:
        return None
    return evaluate(run.backend, state.layers, run.validation, activation=activation, loss=loss)


def make_row(
    run: Run, train_loss: float, validated: Evaluation | None, rates: Float[np.ndarray, " steps"], seconds: float
) -> EpochRow:
    """Put together the row of the epoch that was just run."""
    return EpochRow(
        epoch=len(run.history) + 1,
        train_loss=train_loss,
        test_loss=None if validated is None else validated.loss,
        test_accuracy=None if validated is None else validated.accuracy,
        learning_rate=float(np.mean(rates)),
        seconds=seconds,
        samples_per_second=run.rows / seconds,
    )


def is_finite(run: Run, state: TrainingState, row: EpochRow) -> bool:
    """Tell whether an epoch's losses, and every weight that it ended with, are finite numbers."""
    losses = [row.train_loss] if row.test_loss is None else [row.train_loss, row.test_loss]
    xp = run.backend.xp
    return all(math.isfinite(value) for value in losses) and all(
        bool(xp.all(xp.isfinite(array))) for layer in state.layers for array in layer
    )
