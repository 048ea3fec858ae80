"""Calls: the ops of a traced step as kernels see them, element by element."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from xpmlp.backends.engine import NotTraceableError
from xpmlp.backends.engine.ops import Array, Op, address, buffer_of
from xpmlp.backends.engine.tracing import OUTPUT_BY_KEYWORD, choose, write_at

LONGEST_ROW = 4096  # elements that one block of threads reduces

Axes = tuple[tuple[int, int], ...]
"""Length and stride of each axis, outermost first, without axes of length 1; adjacent axes are one where possible."""


class View(NamedTuple):
    """An array within a buffer; strides and offset in elements."""

    buffer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def broadcast(self, shape: Sequence[int]) -> "View":
        """Return the view with this shape."""
        new = len(shape) - len(self.shape)
        strides = [0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True)]
        return self._replace(shape=tuple(shape), strides=(*[0] * new, *strides))

    def split_last(self, length: int) -> "View":
        """Return the view with the last axis as two, of which the second has this length."""
        *shape, last = self.shape
        stride = self.strides[-1]
        return self._replace(
            shape=(*shape, last // length, length), strides=(*self.strides[:-1], stride * length, stride)
        )

    def axes(self) -> Axes:
        """Return the axes, as few as possible."""
        axes: list[tuple[int, int]] = []
        for length, stride in zip(self.shape, self.strides, strict=True):
            if axes and axes[-1][1] == length * stride:
                axes[-1] = (axes[-1][0] * length, stride)
            elif length != 1:
                axes.append((length, stride))
        return tuple(axes)

    def is_flat(self) -> bool:
        """Return whether the elements lie one after the other from the buffer's start."""
        return self.offset == 0 and self.axes() in ((), ((self.size, 1),))

    def repeats(self, rows: int, length: int) -> bool:
        """Return whether each of the buffer's first `rows` elements comes `length` times in succession."""
        expected = View(self.buffer, (rows, length), (1, 0), 0, self.dtype)
        return self.offset == 0 and self.size == rows * length and self.axes() == expected.axes()


@dataclass(eq=False)
class Call:
    """One op.

    Attributes
    ----------
    kind
        ``"elementwise"``; ``"take"`` and ``"scatter"`` with an index; ``"reduce"`` along the last axis, ``"columns"``
        along the one before; ``"product"`` of matrices.
    function
        The ufunc; of a reduction, the one that reduces. `numpy.copyto` converts, `numpy.where` chooses.
    operands
        Broadcast to the elements that are computed, or that are reduced. Of a gather: what the index 0 would give, and
        the index; of a scatter: the values, and the index.
    stride
        Elements from one index to the next, in a gather's source or a scatter's target.
    needs
        Calls that must be made before: their results are read, or overwritten what they read.
    """

    position: int
    kind: str
    function: Any
    operands: tuple[View, ...]
    target: View
    stride: int = 0
    needs: set["Call"] = field(default_factory=set)

    @property
    def shape(self) -> tuple[int, ...]:
        """The index space: the shape of the operands."""
        return self.operands[0].shape

    @property
    def size(self) -> int:
        """Number of elements of the result."""
        return self.operands[0].size if self.kind == "scatter" else self.target.size


UFUNCS: dict[Any, Any] = {function: ufunc for ufunc, function in OUTPUT_BY_KEYWORD.items()} | {choose: np.where}
REDUCTIONS = {np.add.reduce: np.add, np.maximum.reduce: np.maximum}


def describe_calls(ops: Sequence[Op], view_of: Callable[[Array], View]) -> list[Call]:
    """Return the ops as calls, each with those that it needs.

    Raises
    ------
    NotTraceableError
        If a kernel cannot do what an op does.
    """
    written: set[int] = set()
    calls: list[Call] = []
    for op in ops:
        call = describe(len(calls), op, [view_of(a) for a in op.operands], view_of(op.result))
        if call.kind == "reduce" and not op.reads & written:
            call = split_rows(call, calls)
        calls.append(call)
        written.add(op.writes)
    add_needs(calls)
    return calls


def split_rows(call: Call, calls: list[Call]) -> Call:
    """Add a call that reduces pieces of long rows, and return what reduces its results; else return the call.

    One block of threads would take longer for the squares of a weight's elements than the products take.
    """
    *leading, length = call.shape
    piece = next((n for n in range(LONGEST_ROW, LONGEST_ROW // 16, -1) if length % n == 0), length)
    if length <= LONGEST_ROW or piece == length:
        return call
    pieces = tuple(view.split_last(piece) for view in call.operands)
    shape = (*leading, length // piece)
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    partial = View(-len(calls) - 1, shape, strides, 0, call.target.dtype)
    calls.append(Call(call.position, "reduce", call.function, pieces, partial))
    return Call(len(calls), "reduce", np.add if call.function is np.vecdot else call.function, (partial,), call.target)


def describe(position: int, op: Op, views: list[View], target: View) -> Call:
    """Return an op as a call."""
    function = UFUNCS.get(op.function, op.function)
    if function is np.matmul:
        return Call(position, "product", function, tuple(views), target)
    if function is write_at:
        index, source = views
        start = target._replace(shape=source.shape, strides=(*target.strides[:-1], 0))
        return Call(position, "scatter", function, (source, index.broadcast(source.shape)), start, target.strides[-1])
    if function is np.ndarray.take:
        x, indices = views
        return describe_take(position, x, indices, op.arguments[2] % len(x.shape), target)
    if function is np.vecdot:
        shape = np.broadcast_shapes(*(view.shape for view in views))
        return Call(position, "reduce", function, tuple(view.broadcast(shape) for view in views), target)
    if function in REDUCTIONS:
        array, axis = op.arguments[:2]
        from_last = array.ndim - axis % array.ndim if isinstance(axis, int) else 0
        kind = {1: "reduce", 2: "columns"}.get(from_last)
        if kind and array.dtype == target.dtype:
            return Call(position, kind, REDUCTIONS[function], tuple(views), target)
    if function in (np.copyto, np.where) or (op.elementwise and len(views) == function.nin):
        operands = tuple(view.broadcast(target.shape) for view in views)
        return Call(position, "elementwise", function, operands, target)
    raise NotTraceableError(f"no kernel is known for {function}")


def describe_take(position: int, x: View, indices: View, axis: int, target: View) -> Call:
    """Return a gather along an axis as a call."""
    before, after = (0,) * axis, (0,) * (len(x.shape) - axis - 1)
    strides = (*x.strides[:axis], *(0,) * len(indices.shape), *x.strides[axis + 1 :])
    first = x._replace(shape=target.shape, strides=strides)
    indices = indices._replace(shape=target.shape, strides=(*before, *indices.strides, *after))
    return Call(position, "take", np.ndarray.take, (first, indices), target, x.strides[axis])


def add_needs(calls: Sequence[Call]) -> None:
    """Let each call need the writer of what it reads, and the readers of what it overwrites."""
    writers: dict[int, Call] = {}
    readers: dict[int, list[Call]] = {}
    for call in calls:
        for view in call.operands:
            readers.setdefault(view.buffer, []).append(call)
            if view.buffer in writers:
                call.needs.add(writers[view.buffer])
                if writers[view.buffer].kind == "scatter":
                    raise NotTraceableError("a buffer is read that was written in part")
        target = call.target.buffer
        if target in writers or not (call.target.is_flat() or call.kind == "scatter"):
            raise NotTraceableError("a buffer is written in parts")
        call.needs.update(reader for reader in readers.get(target, ()) if reader is not call)
        writers[target] = call


def view_within_buffer(array: Array) -> View:
    """Return an array as a view."""
    buffer, size = buffer_of(array), array.itemsize
    strides = tuple(stride // size for stride in array.strides)
    return View(id(buffer), array.shape, strides, (address(array) - address(buffer)) // size, array.dtype)
