"""Tracing: running a step once on arrays that write down every NumPy call that is made with them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .ops import Array, Op, buffer_of


class NotTraceableError(Exception):
    """A step cannot be repeated by its array calls alone, for example because it looks at a number."""


@dataclass(frozen=True)
class Trace:
    """The ops of a step.

    Attributes
    ----------
    inputs
        The buffers that existed before. They stay where they are; those that ops write to hold the step's results.
    """

    ops: tuple[Op, ...]
    inputs: tuple[Array, ...]


class Tracer:
    """Hands out traced arrays, and collects the ops that are made with them."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        # All known buffers by id. Being held here, none of them can be freed and its id reused.
        self.buffers: dict[int, Array] = {}
        self.inputs: list[Array] = []

    def trace(self, array: Array) -> "TracedArray":
        """Return a traced view of an array that exists before the step and outlives it."""
        buffer = buffer_of(array)
        if id(buffer) not in self.buffers:
            self.buffers[id(buffer)] = buffer
            self.inputs.append(buffer)
        return self.view(array)

    def view(self, array: Array) -> "TracedArray":
        """Return a traced view of an array whose buffer is known."""
        traced = array.view(TracedArray)
        traced.tracer = self
        return traced

    def add(self, op: Op) -> "TracedArray":
        """Write down an op that has been executed, and return its result."""
        buffer = buffer_of(op.result)
        self.buffers[id(buffer)] = buffer
        self.ops.append(op)
        return self.view(op.result)

    def untraced(self, argument: Any) -> Any:
        """Return an argument as plain NumPy arrays.

        Raises
        ------
        NotTraceableError
            If a traced array's memory was made by a call that was not written down.
        """
        if isinstance(argument, tuple | list):
            return tuple(map(self.untraced, argument))
        if isinstance(argument, TracedArray) and id(buffer_of(argument)) not in self.buffers:
            raise NotTraceableError("an array was made by one of its own methods")
        return argument.view(np.ndarray) if isinstance(argument, np.ndarray) else argument

    def finish(self) -> Trace:
        """Return the trace."""
        return Trace(tuple(self.ops), tuple(self.inputs))

    def release(self) -> None:
        """Release all arrays: they may be views of traced ones, reference cycles that Python does not collect."""
        self.ops.clear()
        self.buffers.clear()
        self.inputs.clear()


class TracedArray(np.ndarray):
    """A NumPy array whose tracer writes down what is done with it.

    NumPy reports every function call through its own protocols (NEP 13 and 18). What bypasses them, such as the method
    ``a.cumsum()``, makes memory that the tracer does not know, and is refused when the result is used.
    """

    tracer: Tracer

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, TracedArray):
            self.tracer = source.tracer

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if method == "__call__" and not settings and ufunc.nout == 1:
            return trace_ufunc(self.tracer, ufunc, *inputs)
        if method == "accumulate":
            return trace_any(self.tracer, ufunc.accumulate, *inputs, **settings)
        axis, keepdims = settings.pop("axis", 0), settings.pop("keepdims", False)
        if method == "reduce" and all(value is None or value is True for value in settings.values()):
            (array,) = map(self.tracer.untraced, inputs)
            output = np.asarray(ufunc.reduce(array, axis, keepdims=keepdims))
            return self.tracer.add(Op(ufunc.reduce, (array, axis, None, output, keepdims), 3))
        raise NotTraceableError(f"{ufunc.__name__}.{method} with {settings}")

    def __array_function__(self, function: Any, types: Any, arguments: Any, settings: Any) -> Any:
        trace = TRACED_FUNCTIONS.get(function)
        if trace is not None and set(settings) <= {"axis", "dtype", "copy"}:
            return trace(self.tracer, *arguments, **settings)
        result = super().__array_function__(function, types, arguments, settings)
        if result is None:
            raise NotTraceableError(f"{function.__name__} writes to its arguments")
        if isinstance(result, TracedArray) and id(buffer_of(result)) in self.tracer.buffers:
            return result  # a view, or composed of calls that are written down
        return trace_any(self.tracer, function, *arguments, **settings)

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if not isinstance(part, TracedArray):
            raise NotTraceableError("an element was read from an array")
        return part

    def __setitem__(self, key: Any, value: Any) -> None:
        array, source = self.tracer.untraced(self), self.tracer.untraced(value)
        if isinstance(key, tuple) and key[0] is Ellipsis and isinstance(key[-1], TracedArray):
            op = Op(write_at, (array, self.tracer.untraced(key[-1]), source), 0)
        else:
            target = array[key]
            if not isinstance(target, np.ndarray) or target.base is None:
                raise NotTraceableError("elements were written at given positions")
            op = Op(np.copyto, (target, as_operand(source, target)), 0)
        op.function(*op.arguments)
        self.tracer.add(op)

    def refuse(self, *_: Any) -> Any:
        """Refuse to give a number to Python, whose decisions could not be repeated."""
        raise NotTraceableError("a number was looked at")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = item = tolist = refuse
    fill = sort = partition = put = refuse  # type: ignore[assignment] # they write without being reported


def trace_ufunc(tracer: Tracer, ufunc: np.ufunc, *inputs: Any) -> Any:
    """Trace a ufunc's call."""
    operands = tuple(map(tracer.untraced, inputs))
    output = np.asarray(ufunc(*operands))
    operands = with_scalars_as_arrays(ufunc, operands, output)
    function = OUTPUT_BY_KEYWORD.get(ufunc, ufunc)
    return tracer.add(Op(function, (*operands, output), len(operands), elementwise=ufunc.signature is None))


def with_scalars_as_arrays(ufunc: np.ufunc, operands: tuple[Any, ...], output: Array) -> tuple[Any, ...]:
    """Return operands with each number as an array of the dtype that NumPy would convert it to at every call.

    A Python number takes the dtype of the array beside it (NEP 50), so the results are the same to the bit. NumPy's
    maximum of two arrays of a shape takes a third of the time of that of an array and a number.
    """
    shape = output.shape if ufunc in OUTPUT_BY_KEYWORD else ()
    operands = tuple(np.asarray(a) if isinstance(a, np.generic | bool) else a for a in operands)
    if all(isinstance(operand, np.ndarray) for operand in operands):
        return operands
    kinds = tuple(a.dtype if isinstance(a, np.ndarray) else type(a) for a in operands)
    dtypes = ufunc.resolve_dtypes((*kinds, None))
    if dtypes[-1] != output.dtype:
        return operands
    return tuple(
        a if isinstance(a, np.ndarray) else np.full(shape, a, dtype) for a, dtype in zip(operands, dtypes, strict=False)
    )


def as_operand(source: Any, target: Array) -> Array:
    """Return an array as it is, and a number as an array of a target's dtype."""
    return source if isinstance(source, np.ndarray) else np.asarray(source, target.dtype)


def trace_astype(tracer: Tracer, x: Any, dtype: Any, copy: bool = True) -> Any:
    """Trace a conversion to another dtype."""
    x = tracer.untraced(x)
    return tracer.add(Op(np.copyto, (np.array(x, dtype), x, "unsafe"), 0, elementwise=True))


def trace_take(tracer: Tracer, x: Any, indices: Any, axis: int | None = None) -> Any:
    """Trace a gather along an axis.

    It is executed with ``mode="clip"``: to check the indices first, NumPy would gather into a buffer and copy.
    """
    x, indices = tracer.untraced(x), tracer.untraced(indices)
    return tracer.add(Op(np.ndarray.take, (x, indices, axis, np.take(x, indices, axis), "clip"), 3))


def trace_where(tracer: Tracer, condition: Any, x: Any, y: Any) -> Any:
    """Trace a choice between two arrays."""
    condition, x, y = map(tracer.untraced, (condition, x, y))
    output = np.where(condition, x, y)
    return tracer.add(Op(choose, (condition, as_operand(x, output), as_operand(y, output), output), 3))


def choose(condition: Array, x: Array, y: Array, output: Array) -> None:
    """Copy one array, and the other over it where a condition holds."""
    np.copyto(output, y)
    np.copyto(output, x, where=condition)


def write_at(target: Array, index: Array, source: Array) -> None:
    """Write to one position along the last axis."""
    target[..., index] = source


def trace_constant(tracer: Tracer, x: Any, *arguments: Any, function: Callable[..., Any], **settings: Any) -> Any:
    """Make an array that depends on a shape only: it is the same at every execution, so no op is needed."""
    return tracer.trace(function(tracer.untraced(x), *arguments, **settings))


def trace_any(tracer: Tracer, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Trace a function without an ``out`` argument: its result is copied."""
    plain = tuple(map(tracer.untraced, arguments))
    function = functools.partial(function, **settings)
    return tracer.add(Op(call_and_copy, (np.array(function(*plain)), function, *plain), 0))


def call_and_copy(output: Array, function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function and copy its result."""
    np.copyto(output, function(*arguments))


def trace_update(tracer: Tracer, update: Any, array: Any) -> Any:
    """Trace a function that changes an array in place.

    If it does so by way of a `source` that it reads, and leaves the sum in a `result`, the array is computed in the
    first, and the second is used instead of it.
    """
    plain = tracer.untraced(array)
    if hasattr(update, "source"):
        tracer.trace(update.source)[...] = array
        tracer.trace(update.result)
        update.add_up()
        return tracer.add(Op(call_exchange, (update.add_up, update.source, update.result), 2))
    update(plain)
    return tracer.add(Op(call_update, (update, plain, plain), 2))


def call_exchange(exchange: Callable[[], None], read: Array, written: Array) -> None:
    """Call a function that reads an array and writes another."""
    exchange()


def call_update(update: Callable[[Array], None], read: Array, written: Array) -> None:
    """Change an array, which is named twice: the engine must know that it is read."""
    update(written)


OUTPUT_BY_KEYWORD: dict[Any, Callable[..., Any]] = {
    np.maximum: lambda a, b, out: np.maximum(a, b, out=out),
    np.minimum: lambda a, b, out: np.minimum(a, b, out=out),
}
"""The ufuncs that NumPy wants to be told by name where to write. The others are told by position, which is quicker."""

TRACED_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.astype: trace_astype,
    np.full_like: functools.partial(trace_constant, function=np.full_like),
    np.ones_like: functools.partial(trace_constant, function=np.ones_like),
    np.take: trace_take,
    np.where: trace_where,
}
"""NumPy functions that write to a given buffer by other means than a ufunc's ``out``."""
