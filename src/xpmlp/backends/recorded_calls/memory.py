"""Where the results of recorded calls are put, so that playing them asks for no memory and touches little.

What is computed does not change: only where it stands.
"""

from typing import NamedTuple

import numpy as np

from .call import Array, Call, address, is_whole, may_be_written_over, owner_of, same_layout

ALIGNMENT = 64  # bytes: a line of the processor's cache, and the widest of its registers
# Bytes of a result that is worth putting over what it is computed from. NumPy looks closer where arrays share memory,
# which takes longer than a small array does.
WORTH_SHARING = 2**14
PAGE, WORTH_A_PAGE = 2**12, 2**16  # bytes
LARGEST_WASTE = 2  # memory that is free again serves a result of at least half its size


class Place(NamedTuple):
    """Where an array is now: so many bytes into the memory of another."""

    memory: Array
    offset: int = 0


def copy_to_page(array: Array) -> Array:
    """Return a copy of a large array that begins where a page of memory does; one that is small, or has gaps, as it is.

    NumPy's own begin anywhere: every access of the processor's widest registers would be to two lines of its cache. The
    copy owns its memory, like an array of NumPy's.
    """
    if array.nbytes < WORTH_A_PAGE or not array.flags.c_contiguous:
        return array
    memory = bytearray(array.nbytes + PAGE)
    start = -address(np.frombuffer(memory, np.uint8)) % PAGE
    copy: Array = np.ndarray(array.shape, array.dtype, memory, start)
    np.copyto(copy, array)
    return copy


Places = dict[int, Place]
"""The places of the arrays that own memory, by their identities."""


def move(array: Array, places: Places) -> Array:
    """Return an array where its owner's place is."""
    owner = owner_of(array)
    place = places.get(id(owner))
    if place is None:
        return array
    offset = place.offset + address(array) - address(owner)
    return np.ndarray(array.shape, array.dtype, place.memory, offset, array.strides)


def compute_where_kept(calls: list[Call], given: set[int]) -> tuple[list[Call], Places]:
    """Leave out copies of results to given arrays, where a result can be computed there in the first place.

    Returns
    -------
    calls
        Those that remain.
    places
        Of the results that were copied.
    """
    places: Places = {}
    left_out = []
    for number, copy in enumerate(calls):
        if copy.function is not np.copyto or copy.target not in given or len(copy.read) != 1:
            continue
        (result,) = copy.read
        new = id(owner_of(result)) not in given | places.keys()
        if new and can_be_written_over(calls, number, copy.written, result):
            places[id(owner_of(result))] = Place(owner_of(copy.written))
            left_out.append(copy)
    return [call for call in calls if call not in left_out], places


def can_be_written_over(calls: list[Call], number: int, target: Array, result: Array) -> bool:
    """Tell whether nobody would notice if a copy's target had been written to when its source was computed."""
    if not (same_layout(target, result) and is_whole(target) and is_whole(result)):
        return False
    place, source = calls[number].target, id(owner_of(result))
    makers = [i for i, call in enumerate(calls) if call.target == source]
    if len(makers) != 1 or sum(call.target == place for call in calls) != 1:
        return False
    maker = calls[makers[0]]
    if any(place in call.sources for call in calls[makers[0] + 1 : number]):
        return False
    return all(may_be_written_over(maker, array) for array in maker.read if id(owner_of(array)) == place)


def assign_memory(groups: list[list[Call]], settled: set[int], pieces: dict[int, int]) -> Places:
    """Give every result a place that nothing else needs at the time.

    An elementwise result takes the place of what it is computed from, where nobody needs that any more; others that of
    results that are done with.

    Parameters
    ----------
    groups
        Of calls that are made in turn, piece by piece: what one of them is done with on one piece, it still needs on
        the next.
    settled
        Those that own memory and stay where they are, or have a place already.
    pieces
        Those of which there is only a piece at a time, with its bytes.
    """
    last_use = {
        owner: (number, position)
        for number, group in enumerate(groups)
        for position, call in enumerate(group)
        for owner in (*call.sources, call.target)
    }
    ending: list[list[int]] = [[] for _ in groups]
    for owner, (number, _) in last_use.items():
        ending[number].append(owner)
    places: Places = {}
    holders: dict[int, int] = {}  # how many results that are still needed are in a memory
    free: list[Array] = []
    for number, group in enumerate(groups):
        free_pieces: list[Array] = []
        for position, call in enumerate(group):
            done = {owner for owner in call.sources if owner in places and last_use[owner] == (number, position)}
            if call.target not in settled and call.target not in places:
                over = what_to_write_over(call, done, pieces)
                if over is not None:
                    places[call.target] = places[over]
                    done.remove(over)
                elif call.target in pieces:
                    places[call.target] = Place(take_memory(free_pieces, pieces[call.target]))
                else:
                    places[call.target] = Place(take_memory(free, owner_of(call.written).nbytes))
                memory = id(places[call.target].memory)
                holders[memory] = holders.get(memory, 0) + 1
            free_pieces += [places[owner].memory for owner in done & pieces.keys()]
        for owner in ending[number]:
            if owner in places:
                memory = id(places[owner].memory)
                holders[memory] -= 1
                if holders[memory] == 0:
                    free.append(places[owner].memory)
    return places


def what_to_write_over(call: Call, done: set[int], pieces: dict[int, int]) -> int | None:
    """Return the owner of what a call may write its result over; None where there is nothing of the kind.

    Parameters
    ----------
    done
        What nobody needs after the call.
    """
    if call.written.nbytes >= WORTH_SHARING:
        for array in call.read:
            owner = id(owner_of(array))
            if owner in done and may_be_written_over(call, array) and (owner in pieces) == (call.target in pieces):
                return owner
    return None


def take_memory(free: list[Array], size: int) -> Array:
    """Return free memory that is large enough and not much too large, or else new memory."""
    size = max(size, ALIGNMENT)
    fitting = [memory for memory in free if size <= memory.nbytes <= LARGEST_WASTE * size]
    if fitting:
        best = min(fitting, key=lambda memory: memory.nbytes)
        free[:] = [memory for memory in free if memory is not best]
        return best
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -address(memory) % ALIGNMENT
    return memory[start : start + size]
