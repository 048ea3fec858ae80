"""A plan: the calls of a traced step in their order, with every array in place before the first is made."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .buffers import elide_copies, place_op, plan_buffers
from .horizontal_fusion import horizontal_fusion
from .ops import Array, Op
from .tracing import Trace

ROWS_WORTH_TRANSPOSING = 32  # of a short axis: NumPy reduces such rows one at a time
LONGEST_SHORT_AXIS = {np.add.reduce: 7, np.maximum.reduce: 32}  # NumPy adds up to 7 numbers from left to right


class Plan(NamedTuple):
    """A step as a list of calls.

    Attributes
    ----------
    moved
        The array that takes the place of an input buffer from now on, by the buffer's id; the content has been copied.
    """

    calls: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...]
    moved: dict[int, Array]

    def buffer_for(self, array: Array) -> Array:
        """Return the array that the plan reads and writes instead of an input buffer."""
        return self.moved.get(id(array), array)

    def execute(self) -> None:
        """Make the calls."""
        for function, arguments in self.calls:
            function(*arguments)


def make_plan(trace: Trace) -> Plan:
    """Plan the execution of a trace, with the same results to the bit."""
    inputs = {id(buffer) for buffer in trace.inputs}
    ops, inputs, moved = horizontal_fusion(list(map(transpose_short_rows, trace.ops)), inputs)
    ops, places = elide_copies(ops, inputs)
    places |= plan_buffers(ops, inputs | places.keys())
    placed = (place_op(op, places) for op in ops)
    return Plan(tuple((op.function, op.arguments) for op in placed), moved)


def transpose_short_rows(op: Op) -> Op:
    """Return an op that transposes first, if an op reduces many rows of a few elements."""
    longest = LONGEST_SHORT_AXIS.get(op.function, 0)
    if longest == 0 or op.arguments[1] != -1:
        return op
    rows, _, _, output, keepdims = op.arguments
    length = rows.shape[-1]
    if not (rows.flags.c_contiguous and 1 < length <= longest and rows.size >= ROWS_WORTH_TRANSPOSING * length):
        return op
    columns = np.moveaxis(rows, -1, 0)
    result = output[..., 0] if keepdims else output
    return Op(reduce_columns, (op.function, columns, np.empty(columns.shape, rows.dtype), result), 3)


def reduce_columns(reduce: Callable[..., Any], columns: Array, scratch: Array, result: Array) -> None:
    """Reduce columns of an array, laid side by side: a loop for each column takes less time than one for each row."""
    np.copyto(scratch, columns)
    reduce(scratch, 0, None, result)
