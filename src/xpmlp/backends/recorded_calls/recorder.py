"""What NumPy is asked for in a step, written down while it is done."""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .call import Array, Call, owner_of

BASIC_INDEX = (int, slice, type(None), type(Ellipsis))


class NotRecordableError(Exception):
    """A step does what cannot be repeated by the same calls alone, such as looking at a number."""


@dataclass(frozen=True)
class Recording:
    """The calls that a step consists of.

    Attributes
    ----------
    given
        The arrays that were there before, and stay where they are. Those that calls write to hold the step's results.
    """

    calls: tuple[Call, ...]
    given: tuple[Array, ...]


class Recorder:
    """Gives out arrays that have all that is done with them written down."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        # The owners of the memory that is known, by their identity; being kept here, none of them can be another's.
        self.owners: dict[int, Array] = {}
        self.given: list[Array] = []

    def watch(self, array: Array) -> "WatchedArray":
        """Return a view of an array that is there before the recording, and stays where it is."""
        owner = owner_of(array)
        if id(owner) not in self.owners:
            self.owners[id(owner)] = owner
            self.given.append(owner)
        return self.view(array)

    def view(self, array: Array) -> "WatchedArray":
        """Return a view that is watched."""
        watched = array.view(WatchedArray)
        watched.recorder = self
        return watched

    def add(self, call: Call) -> "WatchedArray":
        """Write down a call that has been made, and return its output."""
        output = call.arguments[call.output]
        self.owners[id(owner_of(output))] = owner_of(output)
        self.calls.append(call)
        return self.view(output)

    def plain(self, argument: Any) -> Any:
        """Return an argument as NumPy's own arrays.

        Raises
        ------
        NotRecordableError
            Where a watched array's memory came about by other means than a call that was written down.
        """
        if isinstance(argument, tuple):
            return tuple(map(self.plain, argument))
        if isinstance(argument, WatchedArray) and id(owner_of(argument)) not in self.owners:
            raise NotRecordableError("an array came about by a method of its own")
        return argument.view(np.ndarray) if isinstance(argument, np.ndarray) else argument

    def finish(self) -> Recording:
        """Return what was written down."""
        return Recording(tuple(self.calls), tuple(self.given))

    def forget(self) -> None:
        """Let go of all arrays.

        They may be views of watched ones, which know their recorder. Python does not look for such cycles in arrays.
        """
        self.calls.clear()
        self.owners.clear()
        self.given.clear()


class WatchedArray(np.ndarray):
    """An array of NumPy's whose recorder writes down what is done with it.

    NumPy tells it of every function through its own protocols (NEP 13 and 18). What passes them by, a method such as
    ``a.cumsum()``, makes memory that the recorder does not know, and is found out when that is used.
    """

    recorder: Recorder

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, WatchedArray):
            self.recorder = source.recorder

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if method == "__call__" and not settings and ufunc.nout == 1:
            arguments = tuple(map(self.recorder.plain, inputs))
            output = np.asarray(ufunc(*arguments))
            arguments = with_exact_numbers(ufunc, arguments, output.dtype)
            if ufunc in OUTPUT_BY_NAME:
                constant = [isinstance(value, int | float) for value in inputs]
                arguments = tuple(
                    np.full_like(output, a) if known else a for a, known in zip(arguments, constant, strict=True)
                )
            elementwise = ufunc.signature is None
            function = OUTPUT_BY_NAME.get(ufunc, ufunc)
            return self.recorder.add(Call(function, (*arguments, output), len(arguments), elementwise))
        if method == "accumulate":
            return record_any(self.recorder, ufunc.accumulate, *inputs, **settings)
        axis, keepdims = settings.pop("axis", 0), settings.pop("keepdims", False)
        if method == "reduce" and all(value is None or value is True for value in settings.values()):
            (array,) = map(self.recorder.plain, inputs)
            output = np.asarray(ufunc.reduce(array, axis, keepdims=keepdims))
            return self.recorder.add(Call(ufunc.reduce, (array, axis, None, output, keepdims), 3))
        raise NotRecordableError(f"{ufunc.__name__}.{method} with {settings}")

    def __array_function__(self, function: Any, types: Any, arguments: Any, settings: Any) -> Any:
        record = RECORDED_FUNCTIONS.get(function)
        if record is not None and set(settings) <= {"axis", "dtype", "copy"}:
            return record(self.recorder, *arguments, **settings)
        result = super().__array_function__(function, types, arguments, settings)
        if result is None:
            raise NotRecordableError(f"{function.__name__} writes to what it is given")
        if isinstance(result, WatchedArray) and id(owner_of(result)) in self.recorder.owners:
            return result  # it was done by means of calls that are written down, or is a view
        return record_any(self.recorder, function, *arguments, **settings)

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if not isinstance(part, WatchedArray):
            raise NotRecordableError("a number was taken out of an array")
        return part

    def __setitem__(self, key: Any, value: Any) -> None:
        target, value = self.recorder.plain(self), self.recorder.plain(value)
        if all(isinstance(part, BASIC_INDEX) for part in (key if isinstance(key, tuple) else (key,))):
            record_copy(self.recorder, target[key], value)
        else:
            key = self.recorder.plain(key)
            operator.setitem(target, key, value)
            self.recorder.add(Call(operator.setitem, (target, key, value), 0))

    def refuse(self, *_: Any) -> Any:
        """Refuse to be looked at: what the host would do then could not be repeated."""
        raise NotRecordableError("a number was looked at")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = item = tolist = refuse
    fill = sort = partition = put = refuse  # type: ignore[assignment] # they write where nobody sees it


def with_exact_numbers(ufunc: np.ufunc, arguments: tuple[Any, ...], output: np.dtype[Any]) -> tuple[Any, ...]:
    """Return arguments with each number as an array of the dtype that NumPy computes with, which it then need not find.

    The results are the same to the bit: a number takes the dtype of the array beside it (NEP 50).
    """
    arguments = tuple(np.asarray(a) if isinstance(a, np.generic | bool) else a for a in arguments)
    if all(isinstance(argument, np.ndarray) for argument in arguments):
        return arguments
    kinds = tuple(a.dtype if isinstance(a, np.ndarray) else type(a) for a in arguments)
    dtypes = ufunc.resolve_dtypes((*kinds, None))
    if dtypes[-1] != output:
        return arguments
    return tuple(
        a if isinstance(a, np.ndarray) else np.asarray(a, dtype) for a, dtype in zip(arguments, dtypes, strict=False)
    )


def record_copy(recorder: Recorder, target: Array, source: Any) -> Any:
    """Copy an array over another."""
    np.copyto(target, source)
    return recorder.add(Call(np.copyto, (target, source), 0))


def record_astype(recorder: Recorder, x: Any, dtype: Any, copy: bool = True) -> Any:
    """Convert to another dtype."""
    x = recorder.plain(x)
    output = np.array(x, dtype)
    return recorder.add(Call(np.copyto, (output, x, "unsafe"), 0, elementwise=True))


def record_take(recorder: Recorder, x: Any, indices: Any, axis: int | None = None) -> Any:
    """Gather along an axis.

    Indices that are out of bounds are not looked for: to do so NumPy would gather elsewhere first, and copy.
    """
    x, indices = recorder.plain(x), recorder.plain(indices)
    output = np.take(x, indices, axis)
    return recorder.add(Call(np.ndarray.take, (x, indices, axis, output, "clip"), 3))


def record_where(recorder: Recorder, condition: Any, x: Any, y: Any) -> Any:
    """Choose between two; by copying one of them and then the other over it, which needs no memory of its own."""
    condition, x, y = map(recorder.plain, (condition, x, y))
    output = np.where(condition, x, y)
    recorder.add(Call(np.copyto, (output, y, "same_kind"), 0))
    return recorder.add(Call(np.copyto, (output, x, "same_kind", condition), 0))


def record_like(recorder: Recorder, x: Any, *arguments: Any, function: Callable[..., Any], **settings: Any) -> Any:
    """Make an array that only a shape decides: the same every time, so that it needs no call."""
    return recorder.watch(function(recorder.plain(x), *arguments, **settings))


def record_any(recorder: Recorder, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Call a function that gives a new array, which is copied to where it is to be."""
    plain = tuple(map(recorder.plain, arguments))
    function = functools.partial(function, **settings)
    output = np.array(function(*plain))
    return recorder.add(Call(call_and_copy, (output, function, *plain), 0))


def call_and_copy(output: Array, function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function, and copy what it returns."""
    np.copyto(output, function(*arguments))


def maximum(a: Array, b: Array, out: Array) -> None:
    """Write the larger of two."""
    np.maximum(a, b, out=out)


def minimum(a: Array, b: Array, out: Array) -> None:
    """Write the smaller of two."""
    np.minimum(a, b, out=out)


OUTPUT_BY_NAME: dict[Any, Callable[..., Any]] = {np.maximum: maximum, np.minimum: minimum}
"""Those that want to be told by name where to write; of others NumPy takes it in its place, which is quicker.

NumPy takes four times as long for the larger of an array and one number as for that of two arrays.
"""

RECORDED_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.astype: record_astype,
    np.full_like: functools.partial(record_like, function=np.full_like),
    np.ones_like: functools.partial(record_like, function=np.ones_like),
    np.take: record_take,
    np.where: record_where,
}
"""Those of NumPy's functions that can be told where to put what they compute, by other means than ``out``."""
