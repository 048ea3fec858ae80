"""Members of a population: networks to train, and after training their results."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from xpmlp.nn.layers import Layers
from xpmlp.nn.step import TrainingState
from xpmlp.training.run import EpochRow, Shuffler
from xpmlp.training.schedules import Schedule


@dataclass(eq=False)
class Rows:
    """The rows that a group of members trains on.

    Attributes
    ----------
    train
        Indices into the population's samples.
    shuffler
        Draws the order of each epoch's rows. It is copied, not advanced.
    validation
        Indices of the rows on which each epoch is scored; None for none.
    """

    train: Int64[np.ndarray, " rows"]
    shuffler: Shuffler
    validation: Int64[np.ndarray, " validation_rows"] | None = None


@dataclass(eq=False)
class Member:
    """A network to train, and after training its result.

    Attributes
    ----------
    layers
        Initial weights, as NumPy arrays without leading axes; after training, the trained ones.
    rows
        What it trains on; the same object for all members that share their batches.
    schedule
        Learning rate of each step; see `xpmlp.training.schedules`.
    epochs
        Number of epochs, unless it stops earlier.
    optimizer
        Settings of the optimizer, such as ``{"momentum": 0.9}``; the same names for all members.
    l2, dropout, dropout_key
        As for `fit`.
    on_epoch_end
        Called after each epoch with this member. It may look at `history` and `score`, and call `stop` and `keep`.
    history
        One row per epoch.
    score
        The last epoch's score on the validation rows: accuracy, or R² for regression; None without such rows.
    objective
        The last epoch's, even if it is not finite.
    stop_reason
        Why training ended early; None if it did not.
    diverged
        Whether that is because numbers overflowed. `layers` are then those of the epoch before.
    kept_epoch
        The epoch of `layers`; 0 for the initial weights.
    state
        Final weights, optimizer state and dropout key, as NumPy arrays.
    """

    layers: Layers
    rows: Rows
    schedule: Schedule
    epochs: int
    optimizer: Mapping[str, float] = field(default_factory=dict)
    l2: float = 0.0
    dropout: float = 0.0
    dropout_key: int = 0
    on_epoch_end: Callable[["Member"], None] | None = None

    history: list[EpochRow] = field(default_factory=list, init=False)
    score: float | None = field(default=None, init=False)
    objective: float = field(default=math.nan, init=False)
    stop_reason: str | None = field(default=None, init=False)
    diverged: bool = field(default=False, init=False)
    kept_epoch: int = field(default=0, init=False)
    state: TrainingState | None = field(default=None, init=False, repr=False)

    def stop(self, reason: str) -> None:
        """Stop after this epoch."""
        self.stop_reason = reason

    def keep(self) -> None:
        """Return the weights of this epoch in the end, unless a later one is kept."""
        self.kept_epoch = len(self.history)

    @property
    def dtype(self) -> str:
        """Name of the dtype of its weights, in which it is trained."""
        return str(self.layers[0].weight.dtype)

    @property
    def is_done(self) -> bool:
        """Whether no further epoch follows."""
        return self.stop_reason is not None or len(self.history) >= self.epochs
