"""A plan: the calls of a traced step in their order, with every array in place before the first is made."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .buffers import elide_copies, place_op, plan_buffers
from .horizontal_fusion import horizontal_fusion
from .ops import Array, Op
from .tracing import Trace


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
    ops, inputs, moved = horizontal_fusion(list(trace.ops), inputs)
    ops, places = elide_copies(eliminate_dead_code(ops, inputs), inputs)
    places |= plan_buffers(ops, inputs | places.keys())
    placed = (place_op(op, places) for op in ops)
    return Plan(tuple((op.function, op.arguments) for op in placed), moved)


def eliminate_dead_code(ops: list[Op], live_out: set[int]) -> list[Op]:
    """Return the ops whose results are read, or are in buffers that outlive the step."""
    live = set(live_out)
    kept = []
    for op in reversed(ops):
        if op.writes in live:
            kept.append(op)
            live |= op.reads
    return kept[::-1]
