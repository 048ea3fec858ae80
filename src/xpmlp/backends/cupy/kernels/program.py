"""Programs: a step's kernels and products, compiled, checked and ready to be captured."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cupy
import numpy as np

from xpmlp.backends.engine import NotTraceableError, Trace, Tracer
from xpmlp.backends.engine.captured_step import DeviceStep, overwrite
from xpmlp.backends.engine.ops import Array, Op, buffer_of
from xpmlp.nn.tree import tree_map

from .calls import View, describe_calls, view_within_buffer
from .fusion import Group, fuse, schedule
from .source import HELPERS, THREADS, write_kernel

logger = logging.getLogger(__name__)

TOLERANCE = {"float32": 1e-3, "float64": 1e-8}  # of the largest number of an array, after two steps
MOST_ELEMENTS = 2**31  # of a buffer, whose elements are counted in 32 bits


def compile_step(static: DeviceStep) -> Callable[[], None] | None:
    """Return a function that takes the step in few kernels; None if that cannot be done, which is logged.

    What the check leaves in the step's buffers is meaningless.
    """
    try:
        program = Program(static)
        check(static, program.run)
    except Exception as error:  # noqa: BLE001 - whatever is not written, compiled or computed as it should
        logger.debug("backend cupy: a step is captured call by call, because %s: %s", type(error).__name__, error)
        return None
    return program.run


def check(static: DeviceStep, run: Callable[[], None]) -> None:
    """Compare two steps that `run` takes with the step's own.

    Raises
    ------
    NotTraceableError
        If the results differ by more than rounding.
    """
    before = tree_map(static.copy, static.state)
    results = []
    for take_step in (static.run, run):
        tree_map(overwrite, static.state, before)
        static.rewind()
        for _ in range(min(2, static.steps)):
            take_step()
        results.append(tree_map(static.copy, (static.state, static.objectives, static.next)))
    tree_map(overwrite, static.state, before)
    tree_map(refuse_difference, *results)


def refuse_difference(expected: Any, found: Any) -> None:
    """Refuse results that differ from the step's."""
    tolerance = TOLERANCE.get(expected.dtype.name, 0.0)
    largest = float(cupy.max(cupy.abs(expected)))
    if not cupy.allclose(found, expected, rtol=tolerance, atol=tolerance * largest, equal_nan=True):
        raise NotTraceableError("the kernels computed other numbers")


class Shadow:
    """A trace of a step on the host, made without its data, and the device's arrays for the trace's buffers."""

    def __init__(self, static: DeviceStep) -> None:
        self.arrays: dict[int, Any] = {}
        self.samples = {id(array) for array in static.samples.arrays}
        self.tracer = Tracer()  # keeps the buffers, by whose ids everything is known
        step = static.map_buffers(self.stand_in)
        step.xp = HostNamespace(self.tracer)
        with np.errstate(all="ignore"):
            step.run()
        self.trace: Trace = self.tracer.finish()

    def stand_in(self, array: Any) -> Any:
        """Return a traced NumPy array in an array's place, which for samples takes no memory."""
        if id(array) in self.samples:
            zeros = np.broadcast_to(np.zeros((), array.dtype), array.shape)
        elif array.flags.c_contiguous:
            zeros = np.zeros(array.shape, array.dtype)
        else:
            raise NotTraceableError("a buffer is not contiguous")
        self.arrays[id(buffer_of(zeros))] = array
        return self.tracer.trace(zeros)

    def view_of(self, array: Array) -> View:
        """Return an array of the trace as a view; of samples, with the strides that they have on the device."""
        view = view_within_buffer(array)
        on_device: Any = self.arrays.get(view.buffer)
        if id(on_device) not in self.samples:
            return view
        if on_device.shape != view.shape:
            raise NotTraceableError("samples are read otherwise than by rows")
        return view._replace(strides=tuple(stride // on_device.itemsize for stride in on_device.strides))

    def without_constants(self) -> tuple[list[Op], dict[int, Array]]:
        """Return the ops whose results depend on the device's arrays, and the buffers of all others."""
        all_ops = self.trace.ops
        written = {op.writes for op in all_ops}.union(self.arrays)
        read = [buffer_of(array) for op in all_ops for array in op.operands]
        constants = {id(buffer): buffer for buffer in read if id(buffer) not in written}
        ops = []
        for op in eliminate_dead_code(all_ops, set(self.arrays)):
            if op.reads <= constants.keys() and op.writes not in self.arrays:
                constants[op.writes] = buffer_of(op.result)
            else:
                ops.append(op)
        return ops, constants


def eliminate_dead_code(ops: Sequence[Op], live_out: set[int]) -> list[Op]:
    """Return the ops whose results are read, or are in buffers that outlive the step."""
    live = set(live_out)
    kept = []
    for op in reversed(ops):
        if op.writes in live:
            kept.append(op)
            live |= op.reads
    return kept[::-1]


class HostNamespace:
    """NumPy's namespace for a trace, with products that are written down but not computed."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def matmul(self, a: Any, b: Any) -> Any:
        """Trace a product of matrices, or of stacks of them."""
        a, b = map(self.tracer.untraced, (a, b))
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        return self.tracer.add(Op(np.matmul, (a, b, np.zeros(shape, a.dtype)), 2))


class Program:
    """A step as launches between buffers that stay where they are."""

    def __init__(self, static: DeviceStep) -> None:
        self.xp = static.xp
        shadow = Shadow(static)
        ops, constants = shadow.without_constants()
        calls = describe_calls(ops, shadow.view_of)
        groups = fuse(calls)
        written = {group: {call.target.buffer for call in group.calls} for group in groups}
        # Buffers that a group reads from memory: all but its own results.
        read = {v.buffer for g in groups for call in g.calls for v in call.operands if v.buffer not in written[g]}
        products = {call.target.buffer for call in calls if call.kind == "product"}
        uniform = {id: values.flat[0] for id, values in constants.items() if (values == values.flat[0]).all()}
        self.memory = shadow.arrays
        for buffer in read & constants.keys() - uniform.keys():
            self.memory[buffer] = cupy.asarray(constants[buffer])
        for call in calls:
            if call.target.buffer in (read | products) - self.memory.keys():
                self.memory[call.target.buffer] = cupy.empty(call.target.size, call.target.dtype)
        self.launches = [*self.compile([*schedule(groups)], uniform)]

    def compile(self, launches: list[list[Group]], constants: dict[int, Any]) -> Iterator[Callable[[], object]]:
        """Iterate over functions that make the launches."""
        large = any(array.size >= MOST_ELEMENTS for array in self.memory.values())
        index, index_type = ("long long", np.int64) if large else ("unsigned", np.uint32)
        kernels = [
            None if groups[0].kind == "product" else write_kernel(f"step_{number}", groups, self.memory, constants)
            for number, groups in enumerate(launches)
        ]
        source = "\n".join([f"typedef {index} Index;\n", HELPERS, *(kernel.source for kernel in kernels if kernel)])
        module = cupy.RawModule(code=source)
        for kernel, (group, *_) in zip(kernels, launches, strict=True):
            if kernel:
                numbers = (index_type(n) if isinstance(n, int) else n for n in kernel.numbers)
                arguments = (*(self.memory[buffer] for buffer in kernel.buffers), *numbers)
                yield functools.partial(module.get_function(kernel.name), (kernel.blocks,), (THREADS,), arguments)
            else:
                (product,) = group.calls
                a, b, out = map(self.array, (*product.operands, product.target))
                yield functools.partial(self.xp.matmul, a, b, out=out)

    def array(self, view: View) -> Any:
        """Return a view as an array on the device."""
        memory = self.memory[view.buffer]
        strides = tuple(stride * view.dtype.itemsize for stride in view.strides)
        return cupy.ndarray(view.shape, view.dtype, memory.data + view.offset * view.dtype.itemsize, strides)

    def run(self) -> None:
        """Take the step of the next batch."""
        for launch in self.launches:
            launch()
