"""Callbacks that come with the package: early stopping, and checkpoints in a folder."""

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xpmlp.errors import OutputError, SettingsError
from xpmlp.nn.step import TrainingState
from xpmlp.nn.tree import tree_map

from .checkpoint import FILE_NAME, checkpoint_files, save_checkpoint, take_checkpoint
from .run import Callback, Run

logger = logging.getLogger(__name__)

CHECKPOINTS_KEPT = 2  # the newest, and the one before it in case a disk spoils the newest


class EarlyStopping(Callback):
    """Stop when the validation loss has not improved for some epochs, and restore the best weights.

    Parameters
    ----------
    patience
        Epochs without improvement before stopping, at least 1; None to train to the end all the same.
    min_delta
        How much lower a loss must be to count as an improvement.

    Attributes
    ----------
    last_state
        Weights and optimizer state after the last epoch; None during the run, and if the last epoch is the best.
    """

    last_state: TrainingState | None = None

    def __init__(self, patience: int | None = 5, *, min_delta: float = 0.0) -> None:
        if patience is not None and patience < 1:
            raise SettingsError(f"patience is {patience}; it must be at least 1 epoch.")
        self.patience = patience
        self.min_delta = min_delta

    def on_fit_start(self, run: Run) -> None:
        """Forget any earlier run."""
        if run.validation is None:
            raise SettingsError(
                "Early stopping watches the validation loss; give validation samples: dataset.with_validation()."
            )
        self.last_state = None
        self.best_loss = float("inf")
        self.best_epoch = 0
        self.best_state = run.state

    def on_epoch_end(self, run: Run) -> None:
        """Remember the best epoch; stop when it is too long ago."""
        row = run.history[-1]
        assert row.validation_loss is not None  # on_fit_start requires validation samples
        if row.validation_loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch, self.best_state = row.validation_loss, row.epoch, run.state
        self.stop_without_improvement(run)

    def stop_without_improvement(self, run: Run) -> None:
        """Stop when the best epoch is too long ago."""
        if self.patience is not None and len(run.history) - self.best_epoch >= self.patience:
            run.stop(f"no lower loss for {self.patience} epoch{'s' if self.patience > 1 else ''}")

    def state_dict(self, run: Run) -> dict[str, Any]:
        """Return the best epoch, its loss and its weights."""
        if self.best_epoch == 0:
            return {}
        layers = tree_map(run.backend.to_numpy, self.best_state.layers)
        return {"best_loss": self.best_loss, "best_epoch": self.best_epoch, "layers": layers}

    def load_state_dict(self, run: Run, state: Mapping[str, Any]) -> None:
        """Restore the best epoch; stop if the run had stopped."""
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]
        self.best_state = run.state._replace(layers=tree_map(run.backend.asarray, state["layers"]))
        self.stop_without_improvement(run)

    def on_fit_end(self, run: Run) -> None:
        """Restore the best weights, if an epoch was completed."""
        if self.best_epoch > 0:
            if self.best_epoch < len(run.history):
                self.last_state = run.state
            run.state, run.kept_epoch = self.best_state, self.best_epoch


class Checkpointing(Callback):
    """Save a checkpoint before the first epoch, every N epochs or minutes, and after the last.

    If a checkpoint cannot be written, a warning is logged and training continues; the older ones stay.

    Parameters
    ----------
    folder
        Folder for the checkpoints alone; created if missing.
    every_epochs, every_minutes
        How often; if both are given, whichever comes first.
    settings
        What the run was started with, returned by `newest_checkpoint`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every_epochs: int | None = 1,
        every_minutes: float | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if every_epochs is not None and every_epochs < 1:
            raise SettingsError(f"every_epochs: {every_epochs} is too few; at least 1 is needed.")
        if every_minutes is not None and not every_minutes >= 0.0:
            raise SettingsError(f"every_minutes: {every_minutes} is not a time.")
        self.folder = folder
        self.every_epochs = every_epochs
        self.every_minutes = every_minutes
        self.settings = dict(settings or {})
        self.written_at = time.monotonic()

    def on_fit_start(self, run: Run) -> None:
        """Save the start, so that the run can be resumed from its first moment."""
        if not isinstance(run.generator, np.random.Generator):
            raise SettingsError("Checkpoints keep the generator's state, so it must be a numpy.random.Generator.")
        self.written_epoch = -1
        self.state = run.state
        if not run.history:  # otherwise it is resumed from a checkpoint that exists
            # An earlier run's checkpoints would be mistaken for this one's. The one before the first epoch is replaced.
            for epoch, path in checkpoint_files(self.folder):
                if epoch > 0:
                    path.unlink()
            self.write(run)

    def on_epoch_end(self, run: Run) -> None:
        """Save a checkpoint when one is due."""
        epoch = len(run.history)
        self.state = run.state
        by_epochs = self.every_epochs is not None and epoch % self.every_epochs == 0
        minutes = (time.monotonic() - self.written_at) / 60.0
        by_minutes = self.every_minutes is not None and minutes >= self.every_minutes
        if by_epochs or by_minutes or epoch == run.epochs or run.stop_reason is not None:
            self.write(run)

    def on_fit_end(self, run: Run) -> None:
        """Save what Ctrl-C would otherwise lose."""
        if run.interrupted and len(run.history) > self.written_epoch:
            self.write(run)

    def write(self, run: Run) -> None:
        """Save a checkpoint and remove those no longer needed."""
        epoch = len(run.history)
        try:
            # Not run.state, which another callback may have replaced at the end.
            save_checkpoint(self.folder / FILE_NAME.format(epoch), take_checkpoint(run, self.state, self.settings))
        except OSError as error:  # an OutputError is one
            reason = str(error) if isinstance(error, OutputError) else f"{error.strerror or error}."
            logger.warning("No checkpoint after epoch %d: %s Training continues.", epoch, reason)
            return
        self.written_at, self.written_epoch = time.monotonic(), epoch
        for _, path in checkpoint_files(self.folder)[CHECKPOINTS_KEPT:]:
            with contextlib.suppress(OSError):
                path.unlink()
