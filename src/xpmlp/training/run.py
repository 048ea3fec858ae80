"""A training run: its history, the callbacks that act on it, and what it returns."""

import csv
import functools
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol, runtime_checkable

from xpmlp.backends import Backend
from xpmlp.data import StreamedSamples
from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState
from xpmlp.nn.tree import tree_map
from xpmlp.notebooks import html_picture
from xpmlp.plots import Picture, draw_curves


@dataclass(frozen=True)
class EpochRow:
    """The history's row for one epoch.

    Attributes
    ----------
    epoch
        Its number, from 1.
    train_loss, validation_loss, test_loss
        Mean loss of the training rows (of up to 1,024, see `fit`), the validation rows and the test rows, all with the
        weights after the epoch and without a penalty, so that they can be compared. None without such rows. If rows are
        weighted, the losses are.
    validation_accuracy, test_accuracy
        Fraction of correct predictions; None for regression, too.
    learning_rate
        Mean over the epoch's steps.
    seconds
        Time spent training, without evaluation.
    samples_per_second
        Training rows per second.
    objective
        Mean objective of the batches, L2 penalty included, with the weights as they were at each batch.
    train_rmse, validation_rmse, test_rmse
        Root of the mean squared error, in the target's unit: of the same rows as the losses, which are half its square.
        None for other losses.
    """

    epoch: int
    train_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    learning_rate: float
    seconds: float
    samples_per_second: float
    objective: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    train_rmse: float | None = None
    validation_rmse: float | None = None
    test_rmse: float | None = None

    @property
    def held_out_rmse(self) -> float | None:
        """The RMSE of the validation rows; of the test rows if there are no validation rows."""
        return self.test_rmse if self.validation_loss is None else self.validation_rmse

    @property
    def held_out_loss(self) -> float | None:
        """The loss of the validation rows; of the test rows if there are no validation rows."""
        return self.test_loss if self.validation_loss is None else self.validation_loss

    @property
    def held_out_accuracy(self) -> float | None:
        """The accuracy on the validation rows; on the test rows if there are no validation rows."""
        return self.test_accuracy if self.validation_loss is None else self.validation_accuracy

    def scaled(self, factor: float) -> "EpochRow":
        """Return the row with its losses in another unit."""
        losses: dict[str, Any] = {name: getattr(self, name) for name in LOSSES}
        return replace(self, **{name: loss and loss * factor for name, loss in losses.items()})

    def with_rmse(self) -> "EpochRow":
        """Return the row with RMSEs; its losses are half the squares of these."""
        losses = {name: getattr(self, f"{name}_loss") for name in ("train", "validation", "test")}
        roots: dict[str, Any] = {f"{k}_rmse": None if v is None else math.sqrt(2.0 * v) for k, v in losses.items()}
        return replace(self, **roots)


LOSSES = ("objective", "train_loss", "validation_loss", "test_loss")


def history_to_csv(history: Sequence[EpochRow]) -> str:
    """Return a history as comma-separated values with a header; None becomes an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, history))
    return text.getvalue()


class Callback:
    """Base class of callbacks, which `fit` calls as it trains. Override what you need; each method receives the run."""

    def on_fit_start(self, run: "Run") -> None:
        """Act before the first epoch."""

    def on_epoch_end(self, run: "Run") -> None:
        """Act after an epoch, whose row is ``run.history[-1]``. ``run.stop(reason)`` ends the run."""

    def on_fit_end(self, run: "Run") -> None:
        """Act after the last epoch, or after an interruption or error. ``run.state`` may be replaced."""

    def state_dict(self, run: "Run") -> dict[str, Any]:
        """Return what a checkpoint must hold to resume this callback; nothing by default.

        Values are plain ones that JSON can hold; ``"layers"`` may hold a network as NumPy arrays.
        """
        return {}

    def load_state_dict(self, run: "Run", state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned. Called after `on_fit_start`, if there was anything."""


@runtime_checkable
class Shuffler(Protocol):
    """Draws the order of each epoch's rows; a ``numpy.random.Generator`` is one."""

    def permutation(self, rows: int, /) -> Any:
        """Return the integers from 0 to below `rows` in random order."""


@dataclass(frozen=True)
class FitResult:
    """The result of a run.

    Attributes
    ----------
    backend, state, history, interrupted, threads
        As in `Run`.
    stop_reason
        Why the run ended early; None if it did not.
    seconds
        Time from start to end, validation and callbacks included.
    kept_epoch
        The epoch of the weights: the last one, unless a callback restored earlier ones; 0 if no epoch was completed.
    """

    backend: Backend
    state: TrainingState
    history: tuple[EpochRow, ...]
    stop_reason: str | None
    interrupted: bool
    seconds: float
    kept_epoch: int
    threads: int | None = None

    def plot_curves(self, title: str = "") -> Picture:
        """Draw loss and accuracy by epoch; see `xpmlp.plots.draw_curves`."""
        if not self.history:
            raise SettingsError("No epoch was completed, so there are no curves to draw.")
        return draw_curves(self.history, title, self.kept_epoch)

    def __repr__(self) -> str:
        """Return how long the run was and what it reached."""
        parts = [f"{len(self.history)} epochs", f"{self.seconds:.1f} s"]
        if 0 < self.kept_epoch <= len(self.history):
            row = self.history[self.kept_epoch - 1]
            scores = {"loss": row.train_loss, "test loss": row.test_loss, "test accuracy": row.test_accuracy}
            parts += [f"{name} {value:.4f}" for name, value in scores.items() if value is not None]
        return f"FitResult({', '.join([*parts, *filter(None, [self.stop_reason])])})"

    def _repr_html_(self) -> str:
        picture = html_picture(self.plot_curves) if self.history else ""
        return f"<p>{html.escape(repr(self))}</p>{picture}"

    @functools.cached_property
    def layers(self) -> Layers:
        """The trained network, as NumPy arrays."""
        with self.backend.scope():
            return tree_map(self.backend.to_numpy, self.state.layers)


@dataclass
class Run:
    """The state of a run, as callbacks see it.

    Attributes
    ----------
    epochs, rows
        Numbers of epochs asked for, and of training rows.
    validation, test
        Samples on the device, or streamed to it: those to choose an epoch by, and those that are only reported.
    state
        Weights and optimizer state after the last whole epoch, as arrays of `backend`.
    generator
        Draws the order of the rows.
    loss_scale
        Factor of the losses in the history; see `fit`.
    threads
        Number of threads of its matrix products; None if the backend has no such setting.
    history
        One row per whole epoch.
    stop_reason
        Why the run stops after this epoch; None while it continues.
    interrupted
        Whether the reason is Ctrl-C.
    kept_epoch
        The epoch of the weights in `state`, set by a callback that restores earlier ones; None for the last epoch.
    """

    backend: Backend
    epochs: int
    rows: int
    validation: Samples | StreamedSamples | None
    state: TrainingState
    generator: Shuffler
    callbacks: Sequence[Callback]
    test: Samples | StreamedSamples | None = None
    loss_scale: float = 1.0
    threads: int | None = None
    history: list[EpochRow] = field(default_factory=list)
    stop_reason: str | None = None
    interrupted: bool = False
    kept_epoch: int | None = None

    def stop(self, reason: str) -> None:
        """Stop after this epoch."""
        self.stop_reason = reason

    def result(self, seconds: float) -> FitResult:
        """Return the result of the run so far."""
        return FitResult(
            backend=self.backend,
            state=self.state,
            history=tuple(self.history),
            stop_reason=self.stop_reason,
            interrupted=self.interrupted,
            seconds=seconds,
            kept_epoch=len(self.history) if self.kept_epoch is None else self.kept_epoch,
            threads=self.threads,
        )
