"""Which members are trained at once, and at which places of the arrays."""

import itertools
import math
from collections.abc import Sequence

from xpmlp.backends import Backend
from xpmlp.datasets.memory import available_memory
from xpmlp.errors import SettingsError
from xpmlp.threads import threads_in_use
from xpmlp.training.errors import step_bytes

from .member import Member

MEMORY_FRACTION = 0.5  # of what is free, for the members that are trained at once
CACHE_BYTES = 2**21  # of members that a processor's core trains at once: their weights then stay in its cache
GATHER_COST = 0.5  # of a group's own batch, relative to a step of one member


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
) -> list[list[Member]]:
    """Return the parts in which the members are trained: of equally many steps an epoch, and no larger than planned."""
    kinds: dict[tuple[int, bool], dict[int, list[Member]]] = {}
    for member in members:
        kind = (steps_per_epoch(member, batch_size), member.rows.validation is None)
        kinds.setdefault(kind, {}).setdefault(id(member.rows), []).append(member)
    parts = []
    for groups in kinds.values():
        in_order = [member for group in groups.values() for member in group]
        size = models_at_once or plan_size(backend, in_order, batch_size)
        count = math.ceil(len(in_order) / size)
        bounds = [round(part * len(in_order) / count) for part in range(count + 1)]
        parts += [in_order[start:stop] for start, stop in itertools.pairwise(bounds)]
    return parts


def plan_size(backend: Backend, members: list[Member], batch_size: int) -> int:
    """Return how many members to train at once."""
    network, row = step_bytes(members[0].layers)
    each = network + batch_size * row
    if backend.trains_in_threads:
        return max(1, min(CACHE_BYTES // each, math.ceil(len(members) / threads_in_use())))
    free = backend.free_memory() or available_memory()
    return len(members) if free is None else max(1, int(MEMORY_FRACTION * free) // each)


def arrange(members: Sequence[Member]) -> list[list[Member]]:
    """Return the members as a rectangle: in each row some that share their batches, the first again to fill it up."""
    groups: dict[int, list[Member]] = {}
    for member in members:
        groups.setdefault(id(member.rows), []).append(member)
    sizes = [len(group) for group in groups.values()]

    def cost(width: int) -> float:
        return sum(math.ceil(size / width) for size in sizes) * (width + GATHER_COST)

    width = min(range(max(sizes), 0, -1), key=cost)
    rows = [group[start : start + width] for group in groups.values() for start in range(0, len(group), width)]
    return [row + row[:1] * (width - len(row)) for row in rows]
