"""Fusion: which calls become one kernel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .calls import Call


@dataclass(eq=False)
class Group:
    """Calls that are made together, element by element.

    Attributes
    ----------
    kind
        ``"flat"``: a thread for each element. ``"rows"``: several threads for each row, which reduce along it;
        results of the size of a column are computed once for each row. ``"columns"``: one reduction along the last axis
        but one. ``"product"``: no kernel.
    rows, length
        Of the index space; a flat one has as many rows as elements.
    """

    calls: list[Call]
    kind: str
    rows: int
    length: int

    @classmethod
    def of(cls, call: Call) -> "Group":
        """Return a group of one call."""
        if call.kind in ("reduce", "columns"):
            kind = "rows" if call.kind == "reduce" else "columns"
            length = call.shape[-1]
            return cls([call], kind, call.operands[0].size // max(length, 1), length)
        return cls([call], "product" if call.kind == "product" else "flat", call.size, 1)

    def joined(self, other: "Group") -> "Group | None":
        """Return a group of the calls of both; None if their index spaces or accesses do not fit."""
        rows = self if self.kind == "rows" else other
        pair = {self.kind, other.kind}
        if pair == {"flat"}:
            fits = self.rows == other.rows
        elif pair == {"rows"}:
            fits = (self.rows, self.length) == (other.rows, other.length)
        else:
            flat = other if rows is self else self
            fits = pair == {"rows", "flat"} and flat.rows in (rows.rows, rows.rows * rows.length)
        if not fits:
            return None
        calls = sorted((*self.calls, *other.calls), key=lambda call: call.position)
        group = Group(calls, rows.kind, rows.rows, rows.length)
        return group if group.is_private() else None

    def is_private(self) -> bool:
        """Return whether each thread reads only those results of the group that it has computed itself."""
        written = {call.target.buffer: call for call in self.calls}
        for call in self.calls:
            for number, view in enumerate(call.operands):
                writer = written.get(view.buffer)
                if writer is None:
                    continue
                if writer.kind == "scatter" or (call.kind == "take" and number == 0):
                    return False
                same = view.is_flat() and view.size == writer.size
                if writer.position < call.position:
                    of_row = self.kind == "rows" and writer.size == self.rows
                    if not (same or (of_row and view.repeats(self.rows, self.length))):
                        return False
                # Overwritten: the threads of a row may still need what one of them overwrites.
                elif not same or (self.kind == "rows" and writer.size == self.rows):
                    return False
        return True


def fuse(calls: Sequence[Call]) -> list[Group]:
    """Return the calls in groups, each as large as possible."""
    group_of: dict[Call, Group] = {}
    for call in calls:
        group = group_of[call] = Group.of(call)
        operands = {view.buffer for view in call.operands}
        for needed in sorted(call.needs, key=lambda call: call.position):
            other = group_of[needed]
            joined = group.joined(other) if other is not group and needed.target.buffer in operands else None
            if joined and not (is_between(group, other, group_of) or is_between(other, group, group_of)):
                group = joined
                group_of.update(dict.fromkeys(joined.calls, joined))
    return list(dict.fromkeys(group_of.values()))


def needed_groups(group: Group, group_of: dict[Call, Group]) -> set[Group]:
    """Return the groups that must come before."""
    return {group_of[needed] for call in group.calls for needed in call.needs} - {group}


def is_between(first: Group, last: Group, group_of: dict[Call, Group]) -> bool:
    """Return whether another group needs `first`, and is needed by `last`, directly or not."""
    seen = {first, last}
    waiting = list(needed_groups(last, group_of) - seen)
    while waiting:
        group = waiting.pop()
        needed = needed_groups(group, group_of)
        if first in needed:
            return True
        waiting += needed - seen
        seen |= needed
    return False


def schedule(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Iterate over the launches in order: a product each, or a kernel of groups that do not need each other.

    They are as few as possible, and each group comes as late as possible.

    The rank of a group is the number of kernels from it to the end. So the last has all updates.
    """
    group_of = {call: group for group in groups for call in group.calls}
    needed = {group: needed_groups(group, group_of) for group in groups}
    ranks: dict[Group, int] = {}

    def rank(group: Group) -> int:
        if group not in ranks:
            later = max((rank(other) for other in groups if group in needed[other]), default=0)
            ranks[group] = later + (group.kind != "product")
        return ranks[group]

    for number in range(max(map(rank, groups)), -1, -1):
        level = [group for group in groups if rank(group) == number]
        products = [group for group in level if group.kind == "product"]
        yield from ([group] for group in sorted(products, key=lambda group: group.calls[0].position))
        kernel = [group for group in level if group.kind != "product"]
        if kernel:
            yield kernel
