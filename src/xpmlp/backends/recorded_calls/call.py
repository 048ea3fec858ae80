"""A call of a function of NumPy's, and whose memory its arrays lie in."""

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

Array = Shaped[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Call:
    """A function, and the arrays that it was called with.

    Attributes
    ----------
    arguments
        In order; arrays may also stand within tuples.
    output
        Which of them is written to. The others are read.
    elementwise
        Whether each element of the output comes from those in the same place, so that it may be written over them.
    added_to
        Which argument alone the output may be written over, where it may be over one.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    output: int
    elementwise: bool = False
    added_to: int | None = None

    @property
    def written(self) -> Array:
        """The array that is written to."""
        array: Array = self.arguments[self.output]
        return array

    @functools.cached_property
    def read(self) -> list[Array]:
        """The arrays that are read."""
        return [a for i, argument in enumerate(self.arguments) if i != self.output for a in arrays_in(argument)]

    @functools.cached_property
    def target(self) -> int:
        """The identity of the array that owns the memory that is written to."""
        return id(owner_of(self.written))

    @functools.cached_property
    def sources(self) -> set[int]:
        """The identities of those that own the memory that is read."""
        return {id(owner_of(array)) for array in self.read}


def may_be_written_over(call: Call, array: Array) -> bool:
    """Tell whether a call's output may take the place of an array that it reads."""
    reader = call.elementwise or (call.added_to is not None and array is call.arguments[call.added_to])
    return reader and same_layout(array, call.written) and is_whole(array) and is_whole(call.written)


def can_be_put_off(calls: Sequence[Call], chosen: Collection[Call]) -> bool:
    """Tell whether some of the calls can as well be made, in their order, where the last of them is."""
    members = set(chosen)
    passed: list[Call] = []
    for call in calls:
        if call in members:
            passed.append(call)
        elif any(call.target in (*early.sources, early.target) or early.target in call.sources for early in passed):
            return False
        if len(passed) == len(members):
            return True
    return False


def only_reader(calls: Sequence[Call], call: Call) -> Call | None:
    """Return the one call that reads another's result, if that can as well be computed just before; None where not."""
    readers = [later for later in calls if call.target in later.sources]
    return readers[0] if len(readers) == 1 and can_be_put_off(calls, (call, readers[0])) else None


def arrays_in(argument: Any) -> Iterator[Array]:
    """Go through an argument's arrays."""
    if isinstance(argument, tuple):
        for part in argument:
            yield from arrays_in(part)
    elif isinstance(argument, np.ndarray):
        yield argument


def map_arrays_in(function: Callable[[Array], Array], argument: Any) -> Any:
    """Return an argument with each of its arrays replaced by what `function` makes of it."""
    if isinstance(argument, tuple):
        return tuple(map_arrays_in(function, part) for part in argument)
    return function(argument) if isinstance(argument, np.ndarray) else argument


def owner_of(array: Array) -> Array:
    """Return the array that owns another's memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def is_whole(array: Array) -> bool:
    """Tell whether an array is all of its owner's memory, in its order."""
    owner = owner_of(array)
    return array.nbytes == owner.nbytes and array.flags.c_contiguous and owner.flags.c_contiguous


def same_layout(array: Array, other: Array) -> bool:
    """Tell whether two arrays' elements lie alike in their memory."""
    return array.shape == other.shape and array.strides == other.strides and array.dtype == other.dtype


def address(array: Array) -> int:
    """Return where an array begins."""
    return int(array.__array_interface__["data"][0])
