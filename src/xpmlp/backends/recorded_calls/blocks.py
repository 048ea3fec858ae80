"""Elementwise calls on large arrays, one after the other on a piece that fits into the processor's cache.

An optimizer's update of a weight is a dozen such calls. Each of them on the whole weight means fetching it, and what
the calls before have made of it, from beyond the cache again; all of them on one piece, then all on the next, means
fetching it once. The results are the same to the bit.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .call import Array, Call, arrays_in, is_whole, map_arrays_in, owner_of
from .memory import Places, move

LARGE = 2**15  # elements of an array that is worth it
CACHE = 2**20  # bytes: a piece of everything that is computed with is to fit into the cache of a core
GRAIN = 16  # elements that pieces begin at multiples of


def can_be_divided(call: Call) -> bool:
    """Tell whether a call can be made piece by piece: elementwise, of arrays that are large and whole, or numbers."""
    arrays = list(arrays_in(call.arguments))
    shape = call.written.shape
    return (
        call.elementwise
        and call.written.size >= LARGE
        # A number that is a part of an array could change with it, between two pieces.
        and all(is_whole(array) and array.shape in ((), shape) for array in arrays)
    )


def gather_groups(calls: list[Call]) -> list[list[Call]]:
    """Put calls that can be made piece by piece beside those that they are made for.

    A call is put off until just before the first that needs its result, if that is one of a group; nothing between
    the two notices.

    Returns
    -------
    groups
        Of calls, in the order in which they are to be made; a call that cannot be divided is one for itself.
    """
    groups: list[list[Call]] = []  # from the last to the first, and so within each
    for call in reversed(calls):
        group = joinable_group(call, groups) if can_be_divided(call) else None
        if group is None:
            groups.append(group := [])
        group.append(call)
    return [group[::-1] for group in reversed(groups)]


def joinable_group(call: Call, groups: list[list[Call]]) -> list[Call] | None:
    """Return the group that a call can be put off to: that of the first that needs its result; None where it cannot.

    Parameters
    ----------
    groups
        Of all calls that come later, from the last to the first.
    """
    for position in reversed(range(len(groups))):
        group = groups[position]
        if any(call.target in later.sources for later in group):
            fits = can_be_divided(group[0]) and group[0].written.shape == call.written.shape
            undisturbed = not any(later.target in call.sources for passed in groups[position + 1 :] for later in passed)
            return group if fits and undisturbed else None
    return None


def exist_in_pieces(groups: list[list[Call]], needed: set[int]) -> dict[int, int]:
    """Return what exists only while a group is computed, by its owner, with the bytes of a piece of it.

    Parameters
    ----------
    needed
        Owners of what is to be there in the end.
    """
    uses: dict[int, int] = {}
    for group in groups:
        for owner in {owner for call in group for owner in (*call.sources, call.target)}:
            uses[owner] = uses.get(owner, 0) + 1
    return {
        call.target: length_of_pieces(group) * call.written.itemsize
        for group in groups
        if len(group) > 1
        for call in group
        if call.target not in needed and uses[call.target] == 1
    }


def length_of_pieces(group: list[Call]) -> int:
    """Return the elements of a piece, of which there are as few as it takes."""
    size = group[0].written.size
    arrays = {id(owner_of(a)): a.itemsize for call in group for a in arrays_in(call.arguments) if a.ndim > 0}
    grains = math.ceil(size / GRAIN)
    return GRAIN * math.ceil(grains / math.ceil(size * sum(arrays.values()) / CACHE))


def divide(group: list[Call], places: Places, pieces: dict[int, int]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Go through a group's calls on one piece after the other, ready to be made.

    Parameters
    ----------
    pieces
        The owners of what has a place no larger than a piece; see `exist_in_pieces`.
    """
    size = group[0].written.size

    def piece(array: Array, start: int, stop: int) -> Array:
        if array.ndim == 0:
            return move(array, places)
        owner = id(owner_of(array))
        if owner in pieces:
            return np.ndarray((stop - start,), array.dtype, places[owner].memory)
        return move(array, places).reshape(-1)[start:stop]

    length = length_of_pieces(group)
    for start in range(0, size, length):
        place = functools.partial(piece, start=start, stop=min(start + length, size))
        for call in group:
            yield call.function, map_arrays_in(place, call.arguments)
