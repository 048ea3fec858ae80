"""The operations of a traced step, and the buffers that they read and write.

A *buffer* is an array that owns its memory; other arrays are views of it. Buffers are told apart by ``id``.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

Array = Shaped[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Op:
    """One call of an array function.

    Attributes
    ----------
    arguments
        In order; arrays may also be inside tuples.
    output
        Index of the argument that is written. All others are read.
    elementwise
        Whether each element of the output depends only on the elements at its own position, so that the output may
        overwrite an operand.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    output: int
    elementwise: bool = False

    @property
    def result(self) -> Array:
        """The array that is written."""
        array: Array = self.arguments[self.output]
        return array

    @functools.cached_property
    def operands(self) -> list[Array]:
        """The arrays that are read."""
        return [a for i, argument in enumerate(self.arguments) if i != self.output for a in arrays_in(argument)]

    @functools.cached_property
    def writes(self) -> int:
        """The buffer that is written."""
        return id(buffer_of(self.result))

    @functools.cached_property
    def reads(self) -> set[int]:
        """The buffers that are read."""
        return {id(buffer_of(array)) for array in self.operands}

    def may_overwrite(self, operand: Array) -> bool:
        """Return whether the output may take the memory of an operand."""
        return self.elementwise and same_layout(operand, self.result) and is_whole(operand) and is_whole(self.result)


def can_sink(ops: Sequence[Op], chosen: Collection[Op]) -> bool:
    """Return whether some ops may move down, in their order, to where the last of them is."""
    waiting = set(chosen)
    passed: list[Op] = []
    for op in ops:
        if op in waiting:
            waiting.remove(op)
            passed.append(op)
        elif any(op.writes in (*early.reads, early.writes) or early.writes in op.reads for early in passed):
            return False
        if not waiting:
            return True
    return False


def arrays_in(argument: Any) -> Iterator[Array]:
    """Iterate over an argument's arrays."""
    if isinstance(argument, tuple):
        for part in argument:
            yield from arrays_in(part)
    elif isinstance(argument, np.ndarray):
        yield argument


def map_arrays(function: Callable[[Array], Array], argument: Any) -> Any:
    """Return an argument with `function` applied to each of its arrays."""
    if isinstance(argument, tuple):
        return tuple(map_arrays(function, part) for part in argument)
    return function(argument) if isinstance(argument, np.ndarray) else argument


def buffer_of(array: Array) -> Array:
    """Return the array that owns another's memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def is_whole(array: Array) -> bool:
    """Return whether an array is all of its buffer, in memory order."""
    buffer = buffer_of(array)
    return array.nbytes == buffer.nbytes and array.flags.c_contiguous and buffer.flags.c_contiguous


def same_layout(array: Array, other: Array) -> bool:
    """Return whether the elements of two arrays lie alike in memory."""
    return array.shape == other.shape and array.strides == other.strides and array.dtype == other.dtype


def address(array: Array) -> int:
    """Return the address of the first element."""
    return int(array.__array_interface__["data"][0])
