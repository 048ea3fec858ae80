"""Members of a population: networks to train, their results, and their places in the arrays."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from xpmlp.backends import Backend
from xpmlp.backends.numpy.members import CACHE_BYTES
from xpmlp.datasets.memory import available_memory
from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.step import TrainingState, step_bytes
from xpmlp.threads import threads_in_use
from xpmlp.training.run import EpochRow, Shuffler
from xpmlp.training.schedules import Schedule

MEMORY_FRACTION = 0.5  # of free memory, for the members trained at once
MOST_MODELS = 2**14
GATHER_COST = 0.5  # of a group's own batch, relative to a step of one member
CALLS_COST = 1.0  # of calling a step's functions, likewise


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


Grid = list[list[Member]]


def check_members(members: Sequence[Member], batch_size: int) -> None:
    """Raise an error for members that cannot be trained, or not together."""
    shapes = {
        tuple((array.shape, str(array.dtype)) for layer in member.layers for array in layer) for member in members
    }
    if len(shapes) > 1:
        raise SettingsError(
            f"members: all networks of a population have the same layers; there are {len(shapes)} kinds."
        )
    if len({tuple(sorted(member.optimizer)) for member in members}) > 1:
        raise SettingsError("members: all optimizers of a population have the same settings, by name.")
    fewest = min(min(member.epochs, len(member.rows.train)) for member in members)
    if min(fewest, batch_size) < 1:
        raise SettingsError(f"epochs, rows and batch_size must be at least 1, but one is {min(fewest, batch_size)}.")


def steps_per_epoch(member: Member, batch_size: int) -> int:
    """Return the number of batches in a member's epoch."""
    return math.ceil(len(member.rows.train) / batch_size)


def split_members(
    backend: Backend, members: Sequence[Member], batch_size: int, models_at_once: int | None
) -> list[Grid]:
    """Return the parts in which the members are trained, each of equally many steps an epoch."""
    kinds: dict[tuple[int, bool], list[Member]] = {}
    for member in members:
        kind = (steps_per_epoch(member, batch_size), member.rows.validation is None)
        kinds.setdefault(kind, []).append(member)
    threads = threads_in_use() if backend.trains_in_threads else 1
    size = models_at_once or plan_size(backend, members[0], batch_size)
    return [grid for kind in kinds.values() for grid in arrange(kind, size, threads)]


def plan_size(backend: Backend, member: Member, batch_size: int) -> int:
    """Return how many members to train at once, each like the given one."""
    network, row = step_bytes(member.layers)
    most: float = CACHE_BYTES
    if not backend.trains_in_threads:
        free = backend.free_memory() or available_memory()
        most = math.inf if free is None else MEMORY_FRACTION * free
    return int(max(1, min(most // (network + batch_size * row), MOST_MODELS)))


def arrange(members: Sequence[Member], size: int = MOST_MODELS, threads: int = 1) -> list[Grid]:
    """Arrange members in parts of at most so many, so that so many threads are done soonest.

    Each part is a rectangle. Its rows are members that share their batches, the first again to fill it up.
    """
    groups: dict[int, list[Member]] = {}
    for member in members:
        groups.setdefault(id(member.rows), []).append(member)

    def rows_of(width: int) -> int:
        return sum(math.ceil(len(group) / width) for group in groups.values())

    def cost(shape: tuple[int, int]) -> float:
        height, width = shape
        rounds = math.ceil(math.ceil(rows_of(width) / height) / threads)
        return rounds * (height * (width + GATHER_COST) + CALLS_COST)

    widths = range(1, min(size, max(map(len, groups.values()))) + 1)
    shapes = {(min(size // width, math.ceil(rows_of(width) / threads)), width) for width in widths}
    height, width = min(shapes, key=cost)
    rows = [group[start : start + width] for group in groups.values() for start in range(0, len(group), width)]
    rows = [row + row[:1] * (width - len(row)) for row in rows]
    return [rows[start : start + height] for start in range(0, len(rows), height)]
