"""Checkpoints in a folder: written as a run goes on, found again when it is to be resumed."""

import contextlib
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpmlp.errors import DataError, OutputError, SettingsError
from xpmlp.nn.tree import tree_map
from xpmlp.whole_files import write_whole

from .callbacks import Callback
from .checkpoint import Checkpoint, arrays_of, checkpoint_to_bytes, load_checkpoint

if TYPE_CHECKING:
    from .fit import Run

logger = logging.getLogger(__name__)

FILE_NAME = re.compile(r"epoch-(\d+)\.safetensors")
KEPT = 2  # the newest, and the one before it, in case a disk spoils the newest


class Checkpointing(Callback):
    """Write a checkpoint before the first epoch, then every so many epochs or minutes, and after the last.

    A checkpoint that cannot be written is said and does not end the run; the older ones stay.

    Parameters
    ----------
    folder
        For the checkpoints alone; made where it is not there.
    every_epochs, every_minutes
        How often; where both are given, whichever comes first.
    settings
        What the run was started with, to be handed back by `newest_checkpoint`.
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

    def on_fit_start(self, run: "Run") -> None:
        """Write where the run starts from, so that it can be resumed from its first moment."""
        if not isinstance(run.generator, np.random.Generator):
            raise SettingsError("Checkpoints keep the generator's state, so it must be a numpy.random.Generator.")
        self.written_epoch = -1
        self.state = run.state
        if not run.history:  # else it goes on from a checkpoint, which is there
            # Those of an earlier run would be taken for this one's. One from before the first epoch is written over.
            for epoch, path in checkpoint_files(self.folder):
                if epoch > 0:
                    path.unlink()
            self.write(run)

    def on_epoch_end(self, run: "Run") -> None:
        """Write where it is time."""
        epoch = len(run.history)
        self.state = run.state
        by_epochs = self.every_epochs is not None and epoch % self.every_epochs == 0
        minutes = (time.monotonic() - self.written_at) / 60.0
        by_minutes = self.every_minutes is not None and minutes >= self.every_minutes
        if by_epochs or by_minutes or epoch == run.epochs or run.stop_reason is not None:
            self.write(run)

    def on_fit_end(self, run: "Run") -> None:
        """Write what Ctrl-C would otherwise lose."""
        if run.interrupted and len(run.history) > self.written_epoch:
            self.write(run)

    def path(self, run: "Run") -> Path:
        """Return the file for where the run is now."""
        return self.folder / f"epoch-{len(run.history):06}.safetensors"

    def write(self, run: "Run") -> None:
        """Write a checkpoint, and remove those that are no longer needed."""
        assert isinstance(run.generator, np.random.Generator)  # on_fit_start saw to it
        fetch = run.backend.to_numpy
        state = self.state  # not run.state, in whose place another callback may have put its best at the end
        checkpoint = Checkpoint(
            layers=tree_map(fetch, state.layers),
            optimizer=tuple(fetch(array) for array in arrays_of(state.optimizer)),
            history=tuple(run.history),
            generator=dict(run.generator.bit_generator.state),
            callbacks={type(other).__name__: kept for other in run.callbacks if (kept := other.keep(run)) is not None},
            settings=self.settings,
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.path(run), checkpoint_to_bytes(checkpoint))
        except OSError as error:  # an OutputError is one
            logger.warning("No checkpoint after epoch %d: %s The run goes on.", checkpoint.epoch, as_sentence(error))
            return
        self.written_at, self.written_epoch = time.monotonic(), checkpoint.epoch
        for _, path in checkpoint_files(self.folder)[KEPT:]:
            with contextlib.suppress(OSError):
                path.unlink()


def as_sentence(error: OSError) -> str:
    """Return what an error says, with a full stop."""
    return str(error) if isinstance(error, OutputError) else f"{error.strerror or error}."


def checkpoint_files(folder: Path) -> list[tuple[int, Path]]:
    """Return the checkpoints in a folder with their epochs, the newest first."""
    if not folder.is_dir():
        return []
    matches = ((FILE_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)


def newest_checkpoint(folder: Path) -> Checkpoint:
    """Return the newest checkpoint of a folder that can be read; damaged ones are passed over, and it is said.

    Raises
    ------
    DataError
        Where there is none.
    """
    for _, path in checkpoint_files(folder):
        try:
            return load_checkpoint(path)
        except DataError as error:
            logger.warning("%s It is passed over for an older one.", error)
    raise DataError(
        f"{folder}: holds no checkpoint that can be read, so there is nothing to go on from. Begin the run again."
    )
