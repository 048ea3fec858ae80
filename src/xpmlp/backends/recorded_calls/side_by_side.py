"""Small arrays that the same is done with lie side by side, and it is done with all of them in one call.

An optimizer updates each weight and each bias by the same calls. On a small array a call takes as long as it takes to
make it; two layers are four such arrays, and ten are twenty. The results are the same to the bit.
"""

import functools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .blocks import LARGE
from .call import Array, Call, address, arrays_in, can_be_put_off, is_whole, map_arrays_in, owner_of
from .memory import Place, Places, move
from .numbers import describe_numbers

EXACT = {np.add, np.subtract, np.multiply, np.divide, np.sqrt, np.negative, np.square, np.copyto}
"""Functions that come to the same bits for a number wherever it stands in an array."""

Moves = dict[int, Array]
"""Where arrays that own memory are from now on, by their identity."""


class Joined(NamedTuple):
    """Calls, some of which are made of several at once.

    Attributes
    ----------
    given
        The identities of the arrays that are there before the calls.
    moved
        Where those of them are that have moved. What was in them is there, too.
    """

    calls: list[Call]
    given: set[int]
    moved: Moves


def put_side_by_side(calls: list[Call], given: set[int]) -> Joined:
    """Join the calls that update small given arrays by the same rule."""
    moved: Moves = {}
    for lanes in parallel_lanes(calls, given):
        together = [call for lane in lanes for call in lane]
        if can_be_put_off(calls, together) and not take_numbers_from_themselves(together):
            moves = lay_out(lanes)
            moved |= {owner: place for owner, place in moves.items() if owner in given}
            last = max(calls.index(lane[-1]) for lane in lanes)
            joined = [join(same, moves) for same in zip(*lanes, strict=True)]
            apart = set(together)
            before, after = ([c for c in part if c not in apart] for part in (calls[:last], calls[last:]))
            places = {owner: place_in_memory(place) for owner, place in moves.items()}
            calls = [move_call(call, places) for call in before] + joined + [move_call(call, places) for call in after]
    given = {id(owner_of(moved[owner])) if owner in moved else owner for owner in given}
    return Joined(calls, given, moved)


def parallel_lanes(calls: list[Call], given: set[int]) -> Iterator[list[list[Call]]]:
    """Go through groups of lanes in which the same is done, call by call.

    A lane is what is done with one given array and those of its shape that are computed with it, such as a weight, its
    velocity and its gradient. What more is done in some lanes at first, such as to add a penalty, is left out.
    """
    lanes = find_lanes(calls, given)
    number = describe_numbers(calls, given)
    for length in sorted({len(lane) for lane in lanes}):
        alike: dict[Hashable, list[list[Call]]] = {}
        for lane in lanes:
            if len(lane) >= length:
                alike.setdefault(describe_lane(lane[-length:], given, number), []).append(lane)
        for rule, group in alike.items():
            if rule is not None and len(group) > 1 and any(len(lane) == length for lane in group):
                yield [lane[-length:] for lane in group]
                lanes = [lane for lane in lanes if lane not in group]


def find_lanes(calls: list[Call], given: set[int]) -> list[list[Call]]:
    """Return the calls that can be joined, of those that are connected by the arrays they compute with."""
    lane_of: dict[int, list[Call]] = {}
    for call in calls:
        if can_be_joined(call):
            joined = [call]
            owners = {id(owner_of(array)) for array in arrays_in(call.arguments) if array.ndim > 0}
            for lane in {id(lane_of[owner]): lane_of[owner] for owner in owners if owner in lane_of}.values():
                joined = lane + joined
                owners |= {owner for owner, other in lane_of.items() if other is lane}
            lane_of |= dict.fromkeys(owners, joined)
    order = {id(call): number for number, call in enumerate(calls)}
    lanes = {id(lane): sorted(lane, key=lambda call: order[id(call)]) for lane in lane_of.values()}
    return [lane for lane in lanes.values() if any(call.target in given for call in lane)]


def can_be_joined(call: Call) -> bool:
    """Tell whether a call is elementwise, and of small arrays that are all of one kind, but for numbers."""
    arrays = list(arrays_in(call.arguments))
    shape, dtype = call.written.shape, call.written.dtype
    return (
        call.function in EXACT
        and 0 < call.written.size < LARGE
        and len(shape) > 0
        and len(arrays) == len(call.arguments)
        and all(array.dtype == dtype and array.shape in ((), shape) for array in arrays)
        and all(is_whole(array) for array in arrays if array.ndim > 0)
    )


def describe_lane(lane: list[Call], given: set[int], number: Callable[[Array], Hashable]) -> Hashable | None:
    """Return what is done in a lane, apart from which arrays it is done with; None where it cannot be joined."""
    places: dict[int, tuple[int, bool]] = {}
    rule = []
    for call in lane:
        arguments: list[Hashable] = []
        for array in arrays_in(call.arguments):
            owner = id(owner_of(array))
            arguments.append(
                number(array) if array.ndim == 0 else places.setdefault(owner, (len(places), owner in given))
            )
        rule.append((call.function, tuple(arguments)))
    written = [call.target for call in lane]
    once = len(set(written)) == len(written)
    return (lane[0].written.dtype, *rule) if once and (places.keys() & given).issubset(written) else None


def take_numbers_from_themselves(calls: list[Call]) -> bool:
    """Tell whether a number that calls compute with is an element of an array that they compute with."""
    arrays = [array for call in calls for array in arrays_in(call.arguments)]
    owners = {id(owner_of(array)) for array in arrays if array.ndim > 0}
    return any(id(owner_of(array)) in owners for array in arrays if array.ndim == 0)


def lay_out(lanes: list[list[Call]]) -> Moves:
    """Return places side by side for the arrays of each lane that correspond to each other."""
    moves: Moves = {}
    for same in zip(*lanes, strict=True):
        for arrays in zip(*(arrays_in(call.arguments) for call in same), strict=True):
            if arrays[0].ndim > 0 and id(owner_of(arrays[0])) not in moves:
                memory = np.empty(sum(array.size for array in arrays), arrays[0].dtype)
                start = 0
                for owner in map(owner_of, arrays):
                    place = memory[start : start + owner.size].reshape(owner.shape)
                    np.copyto(place, owner)
                    moves[id(owner)] = place
                    start += owner.size
    return moves


def join(calls: tuple[Call, ...], moves: Moves) -> Call:
    """Return the call that does on whole memories what several do on parts of them."""
    first = calls[0]
    arguments = tuple(a if a.ndim == 0 else owner_of(moves[id(owner_of(a))]) for a in first.arguments)
    return Call(first.function, arguments, first.output, first.elementwise)


def place_in_memory(array: Array) -> Place:
    """Return where in its owner's memory an array begins."""
    return Place(owner_of(array), address(array) - address(owner_of(array)))


def move_call(call: Call, places: Places) -> Call:
    """Return a call with its arrays where they are from now on."""
    if places.keys().isdisjoint(call.sources | {call.target}):
        return call
    return replace(call, arguments=map_arrays_in(functools.partial(move, places=places), call.arguments))
