"""The training loop: epochs, shuffling, validation, history, and what may end a run early."""

import functools
import math
import operator
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64

from xpmlp.backends import Backend, infer_backend, load_backend
from xpmlp.data import StreamedSamples, place_samples
from xpmlp.data.placement import train_epoch
from xpmlp.errors import DeviceMemoryError, SettingsError, XpmlpError
from xpmlp.nn.activations import Activation
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.optimizers import Optimizer
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map

from .callbacks import Callback
from .checkpoint import Checkpoint
from .evaluation import Evaluation, evaluate
from .history import EpochRow
from .memory import explain_shortage, shortage_explained
from .schedules import Schedule

# A step is made once for the same settings: what a backend has compiled for it serves the next fit too.
cached_step = functools.lru_cache(maxsize=32)(make_step)


@runtime_checkable
class Shuffler(Protocol):
    """What draws the order of each epoch's rows; a ``numpy.random.Generator`` is one."""

    def permutation(self, rows: int, /) -> Any:
        """Return the numbers from 0 to below `rows` in some order."""


@dataclass
class Run:
    """A run as callbacks see it.

    Attributes
    ----------
    state
        Weights and optimizer state after the last whole epoch, as arrays of `backend`.
    rows
        Trained on in an epoch.
    generator
        Draws the order of the rows.
    callbacks
        All of the run's.
    history
        A row for each whole epoch.
    stop_reason
        Why no further epoch will come, in words; None while all goes on.
    interrupted
        Whether that is Ctrl-C.
    kept_epoch
        The epoch whose weights `state` holds, set by a callback that goes back to them; None while that is the last.
    """

    backend: Backend
    epochs: int
    rows: int
    validation: Samples | StreamedSamples | None
    state: TrainingState
    generator: Shuffler
    callbacks: Sequence[Callback]
    history: list[EpochRow] = field(default_factory=list)
    stop_reason: str | None = None
    interrupted: bool = False
    kept_epoch: int | None = None

    def stop(self, reason: str) -> None:
        """Let the present epoch be the last."""
        self.stop_reason = reason


@dataclass(frozen=True)
class FitResult:
    """What training came to.

    Attributes
    ----------
    backend
        What it was computed with.
    state
        The trained network and the optimizer's state, as arrays of `backend`.
    history
        A row for each whole epoch.
    stop_reason
        Why the run ended before its last epoch, in words; None where it did not.
    interrupted
        Whether that was Ctrl-C.
    seconds
        From first to last, validation and callbacks included.
    kept_epoch
        The epoch whose weights these are: the last one, unless a callback went back to an earlier one; 0 where there
        was none.
    """

    backend: Backend
    state: TrainingState
    history: tuple[EpochRow, ...]
    stop_reason: str | None
    interrupted: bool
    seconds: float
    kept_epoch: int

    @functools.cached_property
    def layers(self) -> Layers:
        """The trained network, as NumPy arrays."""
        with self.backend.scope():
            return tree_map(self.backend.to_numpy, self.state.layers)


class FitError(XpmlpError):
    """Training that could not go on.

    Attributes
    ----------
    epoch
        The epoch in which it happened, from 1.
    result
        The network and history up to the epoch before.
    """

    def __init__(self, message: str, epoch: int, result: FitResult) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.result = result


class DivergedError(FitError, ArithmeticError, ValueError):
    """The loss or a weight is no longer a finite number."""


class OutOfMemoryError(FitError, DeviceMemoryError):
    """The device has too little memory for a step."""


class Failure(NamedTuple):
    """Why no further epoch is possible: the error to be raised at the end, and its message."""

    kind: type[FitError]
    message: str


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
    generator: Shuffler,
    rows: Int64[np.ndarray, " rows"] | None = None,
    penalty: float | None = None,
    dropout: float = 0.0,
    dropout_key: int = 0,
    validation: Samples | None = None,
    optimizer_state: Any = None,
    backend: Backend | str | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Train a network.

    Parameters
    ----------
    train, validation
        Arrays of the host or of the backend's library. They are moved to the backend's device once, as the dtype of
        `layers`, bytes that have a divisor as bytes; where they do not fit there, they are fed to it block by block.
    layers
        The network to start from, likewise.
    schedule
        See `xpmlp.training.schedules`.
    batch_size
        Rows in a step; an epoch's last batch holds what is left.
    generator
        Draws the order of each epoch's rows. It is advanced.
    rows
        Which rows of `train` to learn from; by default all of them.
    penalty
        The L2 penalty λ on the weights; see `xpmlp.nn.objective`.
    dropout, dropout_key
        The probability that a hidden unit is left out of a row of a batch, from 0 to below 1; and what decides which,
        at least 0. It goes up by one at every step: to go on from an earlier run, begin with what its state ended with.
    optimizer_state
        What an earlier run's optimizer ended with, to go on from; by default it starts afresh.
    backend
        Where to compute: a backend, or the name of one as `load_backend` takes it; by default where `train` and
        `validation` are.
    callbacks
        Called in this order.
    checkpoint
        Where an earlier run with the same settings got to, to go on from: its network, optimizer's state, history and
        place in the random numbers take the place of what is given here, and `generator` must be NumPy's. The end is
        the same, to the bit, as without the interruption.

    Raises
    ------
    DivergedError
        Where numbers overflow; it carries the network as it was one epoch earlier.
    SettingsError
        For a number of epochs or a batch size below 1, or no rows; without a backend, for arrays of several libraries
        or devices.
    OutOfMemoryError
        Where the device has too little memory for a step; like `DivergedError` it carries what was learned.
    DeviceMemoryError
        Where it has too little even to begin.
    """
    check_counts(train, rows, validation, epochs, batch_size)
    if dropout > 0.0 and checkpoint is not None:
        raise SettingsError("dropout: a run with dropout cannot go on from a checkpoint, which does not hold its key.")
    if isinstance(backend, str):
        backend = load_backend(backend)
    backend = backend or infer_backend(*train.arrays, *(validation.arrays if validation else ()))
    began = time.perf_counter()
    failure: Failure | None = None
    with backend.scope():
        dtype = str(layers[0].weight.dtype).rpartition(".")[2]
        with shortage_explained(backend, layers, batch_size):
            samples = place_samples(backend, train, dtype)
            if checkpoint is not None:
                layers = checkpoint.layers
            device_layers = tree_map(lambda array: backend.asarray(array, dtype), layers)
            if checkpoint is not None:
                optimizer_state = checkpoint.optimizer_state(like=optimizer.init(backend.xp, device_layers))
            if optimizer_state is None:
                optimizer_state = optimizer.init(backend.xp, device_layers)
            else:
                optimizer_state = tree_map(lambda array: backend.asarray(array, dtype), optimizer_state)
            run = Run(
                backend=backend,
                epochs=epochs,
                rows=train.rows if rows is None else len(rows),
                validation=None if validation is None else place_samples(backend, validation, dtype),
                state=TrainingState(
                    device_layers, optimizer_state, backend.asarray(np.asarray(dropout_key)) if dropout > 0.0 else ()
                ),
                generator=generator,
                callbacks=callbacks,
                history=[] if checkpoint is None else list(checkpoint.history),
            )
        step = cached_step(activation=activation, loss=loss, optimizer=optimizer, penalty=penalty, dropout=dropout)
        steps = math.ceil(run.rows / batch_size)
        begun: list[Callback] = []  # What did not begin is not told of the end: its state may be an earlier run's.
        try:
            for callback in callbacks:
                callback.on_fit_start(run)
                begun.append(callback)
            if checkpoint is not None:
                go_on_from(checkpoint, run)
            for epoch in range(len(run.history), epochs):
                if run.stop_reason is not None:
                    break
                rates = np.asarray([schedule(epoch * steps + i, epochs * steps) for i in range(steps)])
                started = time.perf_counter()
                order = draw_order(generator, run.rows, rows)
                state, objectives = train_epoch(backend, step, run.state, samples, order, rates, batch_size)
                backend.wait(state)
                seconds = time.perf_counter() - started
                train_loss = mean_objective(backend.to_numpy(objectives), run.rows, batch_size)
                validated = judge(run, state, activation=activation, loss=loss)
                row = make_row(run, train_loss, validated, rates, seconds)
                if not is_finite(run, state, row):
                    failure = Failure(DivergedError, describe_divergence(epoch + 1, float(np.max(rates))))
                    run.stop("diverged")
                    break
                # One assignment, so that Ctrl-C finds an epoch either whole or not begun.
                run.state, run.history = state, [*run.history, row]
                for callback in callbacks:
                    callback.on_epoch_end(run)
        except KeyboardInterrupt:
            run.interrupted = True
            run.stop("interrupted")
        except Exception as error:
            if not backend.is_out_of_memory(error):
                raise
            failure = Failure(OutOfMemoryError, explain_shortage(backend, layers, batch_size))
            run.stop("out of memory")
        finally:
            backend.release_recordings()
            for callback in begun:
                callback.on_fit_end(run)
        result = FitResult(
            backend=backend,
            state=run.state,
            history=tuple(run.history),
            stop_reason=run.stop_reason,
            interrupted=run.interrupted,
            seconds=time.perf_counter() - began,
            kept_epoch=len(run.history) if run.kept_epoch is None else run.kept_epoch,
        )
    if failure is not None:
        raise failure.kind(failure.message, len(result.history) + 1, result)
    return result


def go_on_from(checkpoint: Checkpoint, run: Run) -> None:
    """Bring the random numbers and the callbacks to where a checkpoint has them."""
    if not isinstance(run.generator, np.random.Generator):
        raise SettingsError("generator: to go on from a checkpoint it must be a numpy.random.Generator.")
    run.generator.bit_generator.state = checkpoint.generator
    for callback in run.callbacks:
        kept = checkpoint.callbacks.get(type(callback).__name__)
        if kept is not None:
            callback.restore(run, kept)


def describe_divergence(epoch: int, learning_rate: float) -> str:
    """Return in words where numbers overflowed, and what to do."""
    return (
        f"Training diverged in epoch {epoch}: the loss is no longer a finite number. "
        f"The learning rate was {learning_rate:.3g}; use a smaller one."
    )


def check_counts(
    train: Samples,
    rows: Int64[np.ndarray, " rows"] | None,
    validation: Samples | None,
    epochs: int,
    batch_size: int,
) -> None:
    """Refuse numbers with which there is nothing to do."""
    train_rows = train.rows if rows is None else len(rows)
    counts = {"epochs": epochs, "batch_size": batch_size, "rows of training data": train_rows}
    if validation is not None:
        counts["rows of validation data"] = validation.rows
    for name, value in counts.items():
        if value < 1:
            raise SettingsError(f"{name}: {value} is too few; at least 1 is needed.")


def draw_order(generator: Shuffler, count: int, rows: Int64[np.ndarray, " rows"] | None) -> Int64[np.ndarray, " rows"]:
    """Draw the order in which an epoch goes through the rows."""
    order: Int64[np.ndarray, " rows"] = generator.permutation(count)
    return order if rows is None else rows[order]


def mean_objective(objectives: Float[np.ndarray, " steps"], rows: int, batch_size: int) -> float:
    """Return the mean over the rows: the last batch, which may be smaller, counts for as many as it has."""
    *full, last = objectives.tolist()
    last_size = rows - len(full) * batch_size
    return float((sum(full) * batch_size + last * last_size) / rows)


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
    if not all(math.isfinite(value) for value in losses):
        return False
    xp = run.backend.xp
    arrays = [array for layer in state.layers for array in layer]
    # A sum is finite only if every number in it is. It is one number to read back, and quicker than looking at each.
    if math.isfinite(float(functools.reduce(operator.add, map(xp.sum, arrays)))):
        return True
    return all(bool(xp.all(xp.isfinite(array))) for array in arrays)  # it may also overflow
