"""A recorded step as a list of calls whose every array has its place in memory before the first is made."""

import functools
from collections.abc import Callable
from typing import Any

from .blocks import divide, exist_in_pieces, gather_groups
from .call import Call, map_arrays_in
from .memory import assign_memory, compute_where_kept, move
from .recorder import Recording


def make_program(recording: Recording) -> Callable[[], None]:
    """Return a function that makes a recording's calls again, in as little memory and as few turns as it takes."""
    given = {id(array) for array in recording.given}
    groups = gather_groups(leave_out_unused(recording.calls, given))
    calls, places = compute_where_kept([call for group in groups for call in group], given)
    groups = [group for group in groups if group[0] in calls]
    settled = given | places.keys()
    pieces = exist_in_pieces(groups, settled)
    places |= assign_memory(groups, settled, pieces)
    made: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
    for group in groups:
        if len(group) > 1:
            made += divide(group, places, pieces)
        else:
            (call,) = group
            made.append((call.function, map_arrays_in(functools.partial(move, places=places), call.arguments)))

    def play() -> None:
        for function, arguments in made:
            function(*arguments)

    return play


def leave_out_unused(calls: tuple[Call, ...], given: set[int]) -> list[Call]:
    """Return the calls without those whose results nobody reads."""
    used = set(given)
    kept = []
    for call in reversed(calls):
        if call.target in used:
            kept.append(call)
            used |= call.sources
    return kept[::-1]
