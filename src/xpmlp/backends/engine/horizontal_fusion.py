"""Horizontal fusion: equal calls on small arrays become one call, on a buffer in which the arrays lie side by side.

An optimizer updates each weight and each bias by the same ops. On a small array, making the call takes longer than the
arithmetic; two layers are four such arrays, and ten are twenty. A *lane* is the ops on one of them.
"""

from collections.abc import Callable, Hashable, Iterator

import numpy as np

from .buffers import Places, place_op
from .ops import Array, Op, address, arrays_in, buffer_of, can_sink, is_whole

EXACT = {np.add, np.subtract, np.multiply, np.divide, np.sqrt, np.negative, np.square, np.copyto}
"""Functions whose result for an element does not depend on its position in an array, to the bit."""

SMALL = 2**15  # elements of an array on which making a call is worth saving

Lane = list[Op]


def horizontal_fusion(ops: list[Op], inputs: set[int]) -> tuple[list[Op], set[int], Places]:
    """Fuse the ops that update small input buffers by the same rule.

    Returns
    -------
    ops
        With one op for each row of equal ones.
    inputs
        The input buffers, some of which are new.
    moved
        Where those input buffers are now, content included, that have moved.
    """
    moved: Places = {}
    for lanes in equal_lanes(ops, inputs):
        members = {op for lane in lanes for op in lane}
        if can_sink(ops, members):
            places = lay_side_by_side(lanes)
            moved |= {buffer: place for buffer, place in places.items() if buffer in inputs}
            fused = [fuse(row, places) for row in zip(*lanes, strict=True)]
            last = max(position for position, op in enumerate(ops) if op in members)
            before, after = ([place_op(op, places) for op in p if op not in members] for p in (ops[:last], ops[last:]))
            ops = [*before, *fused, *after]
    return ops, {id(buffer_of(moved[buffer])) if buffer in moved else buffer for buffer in inputs}, moved


def equal_lanes(ops: list[Op], inputs: set[int]) -> Iterator[list[Lane]]:
    """Iterate over groups of lanes that are equal, op by op.

    What some lanes begin with beyond the others, such as adding a penalty to a weight's gradient, is left out.
    """
    lanes = find_lanes(ops, inputs)
    written = inputs.union(op.writes for op in ops)

    def number(array: Array) -> Hashable:
        buffer = id(buffer_of(array))
        return (buffer, address(array)) if buffer in written else (array.dtype, array.tobytes())

    for length in sorted({len(lane) for lane in lanes}):
        groups: dict[Hashable, list[Lane]] = {}
        for lane in lanes:
            if len(lane) >= length:
                groups.setdefault(signature(lane[-length:], inputs, number), []).append(lane)
        for rule, group in groups.items():
            if rule is not None and len(group) > 1 and any(len(lane) == length for lane in group):
                yield [lane[-length:] for lane in group]
                lanes = [lane for lane in lanes if lane not in group]


def find_lanes(ops: list[Op], inputs: set[int]) -> list[Lane]:
    """Return the groups of fusable ops that are connected by their arrays, and write an input buffer."""
    lane_of: dict[int, Lane] = {}
    for op in filter(can_be_fused, ops):
        buffers = {id(buffer_of(array)) for array in arrays_in(op.arguments) if array.ndim > 0}
        connected = {id(lane_of[buffer]): lane_of[buffer] for buffer in buffers if buffer in lane_of}
        buffers |= {buffer for buffer, lane in lane_of.items() if id(lane) in connected}
        joined = [*(member for lane in connected.values() for member in lane), op]
        lane_of |= dict.fromkeys(buffers, joined)
    groups = [set(lane) for lane in {id(lane): lane for lane in lane_of.values()}.values()]
    return [[op for op in ops if op in group] for group in groups if any(op.writes in inputs for op in group)]


def can_be_fused(op: Op) -> bool:
    """Return whether an op is exact, on small whole arrays of one shape and dtype, or numbers."""
    arrays = list(arrays_in(op.arguments))
    shape, dtype = op.result.shape, op.result.dtype
    return (
        op.function in EXACT
        and 0 < op.result.size < SMALL
        and len(shape) > 0
        and len(arrays) == len(op.arguments)
        and all(is_whole(array) and array.dtype == dtype and array.shape in ((), shape) for array in arrays)
    )


def signature(lane: Lane, inputs: set[int], number: Callable[[Array], Hashable]) -> Hashable | None:
    """Return what a lane does, whichever arrays it does it to; None if its arrays cannot be moved."""
    slots: dict[int, tuple[int, bool]] = {}

    def slot(array: Array) -> Hashable:
        buffer = id(buffer_of(array))
        return number(array) if array.ndim == 0 else slots.setdefault(buffer, (len(slots), buffer in inputs))

    rule = [(op.function, *map(slot, arrays_in(op.arguments))) for op in lane]
    written = {op.writes for op in lane}
    movable = len(written) == len(lane) and (slots.keys() & inputs) <= written
    return (lane[0].result.dtype, *rule) if movable else None


def lay_side_by_side(lanes: list[Lane]) -> Places:
    """Return places side by side, content copied, for the corresponding arrays of all lanes."""
    places: Places = {}
    for row in zip(*lanes, strict=True):
        for arrays in zip(*(arrays_in(op.arguments) for op in row), strict=True):
            if arrays[0].ndim > 0 and id(buffer_of(arrays[0])) not in places:
                memory = np.empty(sum(array.size for array in arrays), arrays[0].dtype)
                start = 0
                for buffer in map(buffer_of, arrays):
                    place = places[id(buffer)] = memory[start : start + buffer.size].reshape(buffer.shape)
                    np.copyto(place, buffer)
                    start += buffer.size
    return places


def fuse(row: tuple[Op, ...], places: Places) -> Op:
    """Return the op that does to whole buffers what several do to parts of them."""
    first = row[0]
    arguments = tuple(a if a.ndim == 0 else buffer_of(places[id(buffer_of(a))]) for a in first.arguments)
    return Op(first.function, arguments, first.output, first.elementwise)
