"""Which members are trained at once, and at which places of the arrays."""

import math
from collections.abc import Sequence

from xpmlp.backends import Backend
from xpmlp.backends.numpy.members import CACHE_BYTES
from xpmlp.datasets.memory import available_memory
from xpmlp.errors import SettingsError
from xpmlp.nn.step import step_bytes
from xpmlp.threads import threads_in_use

from .member import Member

MEMORY_FRACTION = 0.5  # of what is free, for the members that are trained at once
MOST_MODELS = 2**14
GATHER_COST = 0.5  # of a group's own batch, relative to a step of one member
CALLS_COST = 1.0  # of calling a step's functions, likewise

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
