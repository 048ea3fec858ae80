"""Buffer planning: where the results of ops are put, so that execution allocates nothing and touches little memory."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .ops import Array, Op, address, buffer_of, is_whole, map_arrays, same_layout

ALIGNMENT = 64  # bytes: a line of the processor's cache, and the widest of its registers
# Bytes of a result that is worth putting over an operand: NumPy checks closer where arrays share memory, which takes
# longer than the arithmetic on a small array.
WORTH_OVERWRITING = 2**14
LARGEST_WASTE = 2  # free memory is reused for a result of at least half its size


Places = dict[int, Array]
"""The array that a buffer is in now, by the buffer's id."""


def place_array(array: Array, places: Places) -> Array:
    """Return the same view of the array that its buffer is in now."""
    buffer = buffer_of(array)
    if id(buffer) not in places:
        return array
    return np.ndarray(array.shape, array.dtype, places[id(buffer)], address(array) - address(buffer), array.strides)


def place_op(op: Op, places: Places) -> Op:
    """Return an op on the arrays that its buffers are in now."""
    if places.keys().isdisjoint(op.reads | {op.writes}):
        return op
    return replace(op, arguments=map_arrays(partial(place_array, places=places), op.arguments))


def elide_copies(ops: list[Op], inputs: set[int]) -> tuple[list[Op], Places]:
    """Drop copies of results to inputs, if a result can be computed there in the first place.

    Returns
    -------
    ops
        Without the copies.
    places
        Of the results that were copied.
    """
    places: Places = {}
    elided = set()
    for position, copy in enumerate(ops):
        if copy.function is np.copyto and copy.writes in inputs and len(copy.operands) == 1:
            (result,) = copy.operands
            buffer = id(buffer_of(result))
            if buffer not in inputs and buffer not in places and can_be_computed_in(ops, position, copy.result, result):
                places[buffer] = buffer_of(copy.result)
                elided.add(copy)
    return [op for op in ops if op not in elided], places


def can_be_computed_in(ops: list[Op], position: int, target: Array, result: Array) -> bool:
    """Return whether the target of the copy at `position` may be overwritten when its source is computed."""
    if not (same_layout(target, result) and is_whole(target) and is_whole(result)):
        return False
    place, source = ops[position].writes, id(buffer_of(result))
    producers = [i for i, op in enumerate(ops) if op.writes == source]
    if len(producers) != 1 or sum(op.writes == place for op in ops) != 1:
        return False
    (first,) = producers
    if any(place in op.reads for op in ops[first + 1 : position]):
        return False
    return all(ops[first].may_overwrite(a) for a in ops[first].operands if id(buffer_of(a)) == place)


def plan_buffers(ops: list[Op], settled: set[int]) -> Places:
    """Give every result memory that no live buffer needs at the time.

    An elementwise result overwrites an operand that is not read later; others take memory that has become free.

    Parameters
    ----------
    settled
        Buffers that stay where they are, or have a place already.
    """
    last_use = {buffer: position for position, op in enumerate(ops) for buffer in (*op.reads, op.writes)}
    places: Places = {}
    free: list[Array] = []
    for position, op in enumerate(ops):
        dying = {buffer for buffer in op.reads if buffer in places and last_use[buffer] == position}
        if op.writes not in settled and op.writes not in places:
            operands = op.operands if op.result.nbytes >= WORTH_OVERWRITING else ()
            overwritable = (id(buffer_of(array)) for array in operands if op.may_overwrite(array))
            overwritten = next((buffer for buffer in overwritable if buffer in dying), None)
            if overwritten is None:
                places[op.writes] = take_memory(free, buffer_of(op.result).nbytes)
            else:
                places[op.writes] = places[overwritten]
                dying.remove(overwritten)
        free += [places[buffer] for buffer in dying]
    return places


def take_memory(free: list[Array], size: int) -> Array:
    """Return the smallest free memory that fits, or new memory."""
    size = max(size, ALIGNMENT)
    fitting = [memory for memory in free if size <= memory.nbytes <= LARGEST_WASTE * size]
    if fitting:
        best = min(fitting, key=lambda memory: memory.nbytes)
        free[:] = [memory for memory in free if memory is not best]
        return best
    return aligned_empty((size,), np.uint8)


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return a new array that begins at a multiple of `ALIGNMENT`; unlike a slice of one, it is a buffer."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = bytearray(size + ALIGNMENT)
    return np.ndarray(shape, dtype, memory, -address(np.frombuffer(memory, np.uint8)) % ALIGNMENT)


def aligned_copy(array: Array) -> Array:
    """Return a copy of an array that begins at a multiple of `ALIGNMENT`."""
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy
