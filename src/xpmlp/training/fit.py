"""The training loop: prepare the run, train epoch by epoch, return the result."""

import functools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from xpmlp.backends import Backend, infer_backend, load_backend
from xpmlp.data import DiskSamples, StreamedSamples, place_samples
from xpmlp.data.placement import train_epoch
from xpmlp.errors import DataError, DeviceMemoryError, SettingsError
from xpmlp.nn.activations import Activations
from xpmlp.nn.dropout import has_dropout
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import Loss, squared_error
from xpmlp.nn.optimizers import Optimizer
from xpmlp.nn.samples import Samples, take_rows
from xpmlp.nn.step import Step, TrainingState, make_step
from xpmlp.nn.tree import tree_map
from xpmlp.threads import check_threads

from . import errors
from .checkpoint import Checkpoint
from .distributed import Communicator
from .distributed_batches import Share, make_share
from .evaluation import loss_and_accuracy
from .run import LOSSES, Callback, EpochRow, FitResult, Run, Shuffler
from .schedules import Schedule

LOSS_ROWS = 1024  # of the training rows, on which the loss is measured; more would take a third of an epoch's time

# One step object for equal settings, so that what a backend has compiled for it serves the next fit too.
cached_step = functools.lru_cache(maxsize=32)(make_step)

# A loss larger than the first epoch's by this factor is diverging; in the first epoch, one above its cube.
EXPLODED = 1e12


class EpochSettings(NamedTuple):
    """What stays the same from epoch to epoch. `rows` are the indices of the rows to train on; None for all."""

    step: Step
    samples: Samples | StreamedSamples | DiskSamples
    rows: Int64[np.ndarray, " rows"] | None
    schedule: Schedule
    batch_size: int
    loss: Loss
    share: Share
    measured: Samples | StreamedSamples | None
    measure: Callable[..., tuple[float | None, float | None]]


def fit(
    train: Samples | DiskSamples,
    *,
    layers: Iterable[Layer],
    activation: Activations,
    loss: Loss,
    optimizer: Optimizer,
    schedule: Schedule,
    epochs: int,
    batch_size: int,
    generator: Shuffler,
    rows: Int64[np.ndarray, " rows"] | None = None,
    l2: float | None = None,
    dropout: float | tuple[float, ...] = 0.0,
    dropout_key: int | Int64[np.ndarray, " members"] = 0,
    validation: Samples | None = None,
    test: Samples | None = None,
    loss_rows: Samples | int = LOSS_ROWS,
    loss_scale: float = 1.0,
    weigh_accuracy: bool = True,
    optimizer_state: Any = None,
    backend: Backend | str | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    threads: int | None = None,
    communicator: Communicator | Any = None,
) -> FitResult:
    """Train a network.

    Parameters
    ----------
    train, validation, test
        Arrays on the host or of the backend's library. They are moved to the device once, in the dtype of `layers`
        (bytes with a divisor stay bytes); if they do not fit, they are streamed to it block by block, and training
        samples on disk always are. Callbacks choose an epoch by the validation rows; the test rows are only reported.
    layers
        Initial weights, likewise on the host or the device; an iterator's are released after the first epoch. With a
        leading axis they are an ensemble's, trained on the same batches: the history has the mean of their objectives,
        and the losses and accuracies of their average.
    schedule
        Learning rate of each step; see `xpmlp.training.schedules`.
    batch_size
        Rows per step; an epoch's last batch holds the remainder.
    generator
        Draws the order of each epoch's rows. It is advanced.
    rows
        Indices of the rows of `train` to train on; all by default.
    l2
        L2 penalty λ on the weights; see `xpmlp.nn.objective`.
    dropout, dropout_key
        Probability of leaving out a hidden unit, from 0 to below 1, or one for each hidden layer; and the key that
        determines which, at least 0, or one for each member. It increases by one at every step: to continue an earlier
        fit, start with the key of its final state.
    loss_rows
        Training rows whose loss is measured after each epoch: how many, spread evenly over all, or 0 for none; or their
        samples, if their targets differ, as when those of `train` are smoothed.
    loss_scale
        Factor of the losses in the history, such as the variance by which targets were divided.
    weigh_accuracy
        Whether the rows' weights apply to the accuracies, as they do to the losses.
    optimizer_state
        Final optimizer state of an earlier fit, to continue it; by default a new one.
    backend
        Where to train: a backend or its name as for `load_backend`; by default where `train` and `validation` are.
    callbacks
        Called in this order.
    checkpoint
        Resume a run with the same settings: the checkpoint's weights, optimizer state, history, dropout key and random
        state replace those given here; `generator` must be NumPy's. The result equals the uninterrupted run's to the
        bit.
    threads
        Number of threads of the matrix products, on NumPy and on PyTorch's CPU; see `xpmlp.threads`. By default the
        checkpoint's, else those available, or fewer on a busy machine.
    communicator
        The processes that call this function together, with equal arguments: a communicator of mpi4py, or one of
        `xpmlp.training.distributed`. Each computes a part of every batch, by default in one thread if they share a
        machine, and all return the same network. With `OwnRows`, each has given samples of its own, `rows` counts
        through those of all, and `loss_rows` must be 0.

    Raises
    ------
    DivergedError
        If numbers overflow; it carries the network of the epoch before.
    SettingsError
        If there are no epochs, no rows or an empty batch; without a backend, if the arrays belong to several libraries
        or devices.
    OutOfMemoryError
        If the device has too little memory for a step; it carries the network of the epoch before.
    DeviceMemoryError
        If it has too little memory even to begin.
    """
    layers = tuple(layers)
    processes = Communicator.of(communicator)
    row_count = processes.total(train.rows) if rows is None else len(rows)
    for name, count in (
        ("epochs", epochs),
        ("batch_size", batch_size),
        ("rows of training data", row_count),
        ("rows of validation data", 1 if validation is None else validation.rows),
        ("rows of test data", 1 if test is None else test.rows),
    ):
        if count < 1:
            raise SettingsError(f"{name}: {count} is too few; at least 1 is needed.")
    check_threads(threads)
    began = time.perf_counter()
    if isinstance(backend, str):
        backend = load_backend(backend)
    given = [samples for samples in (train, validation, test) if isinstance(samples, Samples)]
    backend = backend or infer_backend(*(array for samples in given for array in samples.arrays))
    share = make_share(processes, backend, min(batch_size, row_count), train.rows)
    with backend.scope():
        dtype = str(layers[0].weight.dtype).rpartition(".")[2]
        state = TrainingState(layers, optimizer_state, np.asarray(dropout_key) if has_dropout(dropout) else ())
        try:
            evaluated: list[Any] = [spread_rows(backend, train, rows, loss_rows), validation, test]
            train, evaluated = share.samples(train), [part and share.validation(part) for part in evaluated]
            samples = train if isinstance(train, DiskSamples) else place_samples(backend, train, dtype)
            measured, on_validation, on_test = (part and place_samples(backend, part, dtype) for part in evaluated)
            checkpoint = None if checkpoint is None else checkpoint.scaled(loss_scale)
            run = Run(
                backend=backend,
                epochs=epochs,
                rows=row_count,
                validation=on_validation,
                test=on_test,
                loss_scale=loss_scale,
                state=prepare_state(backend, dtype, optimizer, state, checkpoint),
                generator=generator,
                callbacks=callbacks,
                history=[] if checkpoint is None else list(checkpoint.history),
            )
        except Exception as error:
            if not backend.is_out_of_memory(error):
                raise
            raise DeviceMemoryError(errors.describe_shortage(backend, layers, batch_size)) from error
        del layers, state  # else they would stay in memory for the whole run
        part = {"combine": share.combine(backend), "first_row": share.first_row}
        step = cached_step(activation=activation, loss=loss, optimizer=optimizer, penalty=l2, dropout=dropout, **part)

        def measure(layers: Any, samples: Any, loss: Loss = loss) -> tuple[float | None, float | None]:
            """Return the loss and the accuracy of a network on some samples; None without samples."""
            if samples is None:
                return None, None
            return loss_and_accuracy(
                backend,
                layers,
                samples,
                activation=activation,
                loss=loss,
                weigh_accuracy=weigh_accuracy,
                combine=processes.sum_numbers,
            )

        settings = EpochSettings(step, samples, rows, schedule, batch_size, loss, share, measured, measure)
        threads = threads or (None if checkpoint is None else checkpoint.threads)
        own_threads = None if processes.size > 1 else threads
        with processes.begin(threads), backend.run_threads(run.state.layers, share.rows, own_threads) as run.threads:
            failure = train_epochs(run, settings, checkpoint)
        result = run.result(time.perf_counter() - began)
    if failure is not None:
        error_type, message = failure
        raise error_type(message, len(result.history) + 1, result)
    return result


def spread_rows(
    backend: Backend, samples: Samples | DiskSamples, rows: Int64[np.ndarray, " rows"] | None, wanted: Samples | int
) -> Samples | None:
    """Return `wanted` of the rows to train on, spread evenly over all; or `wanted` itself if it is samples."""
    if isinstance(wanted, Samples):
        return wanted
    if wanted < 1 or isinstance(samples, DiskSamples):
        return None
    rows = np.arange(samples.rows) if rows is None else rows
    return select_rows(backend, samples, rows[np.linspace(0, len(rows) - 1, min(wanted, len(rows))).astype(np.int64)])


def select_rows(backend: Backend, samples: Samples, rows: Int64[np.ndarray, " rows"]) -> Samples:
    """Return some rows of samples, wherever they are."""
    if isinstance(samples.x, np.ndarray):  # moves these rows only
        return take_rows(np, samples, rows)
    with backend.scope():
        return take_rows(backend.xp, samples, backend.asarray(rows))


def prepare_state(
    backend: Backend, dtype: str, optimizer: Optimizer, state: TrainingState, checkpoint: Checkpoint | None
) -> TrainingState:
    """Move a state to the device, with an initial optimizer state if it has none; or that of a checkpoint."""

    def move(tree: Any) -> Any:
        return tree_map(lambda array: backend.asarray(array, dtype), tree)

    layers = move(state.layers)
    if state.optimizer is None or checkpoint is not None:
        state = state._replace(optimizer=optimizer.init(backend.xp, layers))
    if checkpoint is not None:
        state = checkpoint.training_state(state)
        layers = move(state.layers)
    return TrainingState(layers, move(state.optimizer), tree_map(backend.asarray, state.dropout))


def train_epochs(
    run: Run, settings: EpochSettings, checkpoint: Checkpoint | None
) -> tuple[type[errors.FitError], str] | None:
    """Train until the last epoch, a callback's stop, Ctrl-C or a failure; return the failure's error and message."""
    started: list[Callback] = []  # on_fit_end of a callback that has not started would act on an earlier run
    try:
        for callback in run.callbacks:
            callback.on_fit_start(run)
            started.append(callback)
        if checkpoint is not None:
            checkpoint.restore(run)
        while len(run.history) < run.epochs and run.stop_reason is None:
            steps = math.ceil(run.rows / settings.batch_size)
            first = len(run.history) * steps
            rates = np.asarray([settings.schedule(step, run.epochs * steps) for step in range(first, first + steps)])
            state, row = train_one_epoch(run, settings, rates)
            if not is_finite(run, state, row):
                run.stop("diverged")
                return errors.DivergedError, errors.describe_divergence(row.epoch, row.objective, float(np.max(rates)))
            # One assignment, so that Ctrl-C finds an epoch either whole or not begun.
            run.state, run.history = state, [*run.history, row]
            for callback in run.callbacks:
                callback.on_epoch_end(run)
            processes = settings.share.communicator
            run.stop_reason = processes.agree(run.stop_reason)
            if processes.interrupted:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        run.interrupted = True
        run.stop("interrupted")
    except DataError as error:
        if not isinstance(settings.samples, DiskSamples):
            raise
        run.stop("the data can no longer be read")
        return errors.UnreadableDataError, str(error)
    except Exception as error:
        if not run.backend.is_out_of_memory(error):
            raise
        run.stop("out of memory")
        return errors.OutOfMemoryError, errors.describe_shortage(run.backend, run.state.layers, settings.batch_size)
    finally:
        run.backend.release_recordings()
        for callback in started:
            callback.on_fit_end(run)
    return None


def train_one_epoch(
    run: Run, settings: EpochSettings, rates: Float[np.ndarray, " steps"]
) -> tuple[TrainingState, EpochRow]:
    """Train an epoch and evaluate; return the new state and the row for the history."""
    backend, share, started = run.backend, settings.share, time.perf_counter()
    order = draw_order(run, settings)  # which may change the share's rows
    place, alone = (backend, settings.step, run.state, settings.samples), share.communicator.size == 1
    state, objectives = train_epoch(*place, order, rates, share.rows, alone=alone)
    backend.synchronize(state)
    seconds = time.perf_counter() - started
    *full, last = np.mean(np.atleast_2d(backend.to_numpy(objectives)), axis=0).tolist()  # over an ensemble's members
    last_size = run.rows - len(full) * settings.batch_size  # it counts by its size
    train_loss, _ = settings.measure(state.layers, settings.measured, settings.loss._replace(is_correct=None))
    validation_loss, validation_accuracy = settings.measure(state.layers, run.validation)
    test_loss, test_accuracy = settings.measure(state.layers, run.test)
    row = EpochRow(
        epoch=len(run.history) + 1,
        train_loss=train_loss,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        learning_rate=float(np.mean(rates)),
        seconds=seconds,
        samples_per_second=run.rows / seconds,
        objective=(sum(full) * settings.batch_size + last * last_size) / run.rows,
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
    )
    row = row.scaled(run.loss_scale)
    has_rmse = settings.loss.value_and_gradient is squared_error and state.layers[-1].bias.shape[-1] == 1
    return state, row.with_rmse() if has_rmse else row


def draw_order(run: Run, settings: EpochSettings) -> Int64[np.ndarray, " rows"] | int:
    """Draw the order of an epoch's rows: this process's part of them, or the seed of those on disk."""
    if isinstance(settings.samples, DiskSamples):
        assert isinstance(run.generator, np.random.Generator)
        return int(run.generator.integers(2**63))
    order: Int64[np.ndarray, " rows"] = run.generator.permutation(run.rows)
    return settings.share.order(order if settings.rows is None else settings.rows[order])


def is_finite(run: Run, state: TrainingState, row: EpochRow) -> bool:
    """Return whether an epoch's losses and all weights are finite, and the training loss has not exploded."""
    losses = (getattr(row, name) for name in LOSSES)
    if not all(loss is None or math.isfinite(loss) for loss in losses):
        return False
    first = (run.history[0].objective or 0.0) if run.history else EXPLODED**2
    if (row.objective or 0.0) > EXPLODED * max(1.0, first):
        return False
    xp = run.backend.xp
    return all(bool(xp.all(xp.isfinite(array))) for layer in state.layers for array in layer)
