"""Source: groups of calls as CUDA C++."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpmlp.backends.engine import NotTraceableError

from .calls import Call, View
from .fusion import Group

THREADS = 256  # of a block
WARP = 32
LONG_ROW = 512  # elements of a row that is worth a block; shorter ones have a warp each

TYPES = {"bool": "bool", "uint8": "unsigned char", "int32": "int", "int64": "long long"} | {
    "float32": "float",
    "float64": "double",
}
OPERATORS: dict[Any, str] = (
    {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/"}
    | {np.greater: ">", np.greater_equal: ">=", np.less: "<", np.less_equal: "<=", np.equal: "=="}
    | {np.bitwise_and: "&", np.bitwise_or: "|", np.bitwise_xor: "^", np.left_shift: "<<", np.right_shift: ">>"}
)
FUNCTIONS: dict[Any, str] = (
    {ufunc: f"{{}} {operator} {{}}" for ufunc, operator in OPERATORS.items()}
    | {ufunc: f"{ufunc.__name__}({{}})" for ufunc in (np.exp, np.expm1, np.log, np.log1p, np.sqrt, np.square, np.tanh)}
    | {np.maximum: "maximum({}, {})", np.minimum: "minimum({}, {})", np.power: "pow({}, {})"}
    | {np.negative: "-{}", np.absolute: "fabs({})", np.sign: "sign({})"}
)
ONLY_FLOATS = {np.absolute, np.divide, np.power, np.sign}

COMBINE = {np.add: ("Add", 0.0), np.vecdot: ("Add", 0.0), np.maximum: ("Maximum", -np.inf)}
"""How a reduction combines two numbers, and what it starts from."""

HELPERS = """\
template <class T> __device__ T square(T a) { return a * a; }
template <class T> __device__ T sign(T a) { return a != a ? a : T(a > 0) - T(a < 0); }
template <class T> __device__ T maximum(T a, T b) { return a != a || a > b ? a : b; }
template <class T> __device__ T minimum(T a, T b) { return a != a || a < b ? a : b; }
struct Add { template <class T> __device__ T operator()(T a, T b) const { return a + b; } };
struct Maximum { template <class T> __device__ T operator()(T a, T b) const { return maximum(a, b); } };

// Each thread gets the combination of the values of its warp.
template <class T, class F> __device__ T reduce_warp(T value, F combine) {
    for (int distance = 16; distance > 0; distance /= 2)
        value = combine(value, __shfl_xor_sync(0xffffffffu, value, distance));
    return value;
}

// Each thread gets the combination of the values of its block.
template <class T, class F> __device__ T reduce_block(T value, F combine) {
    __shared__ T of_warps[8];
    value = reduce_warp(value, combine);
    __syncthreads();  // until the last reduction's result has been read
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = of_warps[0];
    for (int warp = 1; warp < 8; warp++) value = combine(value, of_warps[warp]);
    return value;
}

// Each thread of the first warp gets the combination of the values of its lane in all warps.
template <class T, class F> __device__ T reduce_lanes(T value, F combine) {
    __shared__ T of_threads[256];
    of_threads[threadIdx.x] = value;
    __syncthreads();
    for (int other = threadIdx.x + 32; other < 256; other += 32) value = combine(value, of_threads[other]);
    return value;
}
"""


class Kernel(NamedTuple):
    """A kernel's name and source, its grid, and its arguments: first buffers, then numbers."""

    name: str
    source: str
    blocks: int
    buffers: tuple[int, ...]
    numbers: tuple[Any, ...]


class Parameters:
    """A kernel's parameters: its buffers, and the numbers by which kernels of different shapes differ.

    Kernels that differ in nothing else are compiled once.

    Parameters
    ----------
    memory
        The device's array for each buffer that is in its memory.
    constants
        Value of each buffer that holds one constant.
    """

    def __init__(self, memory: Mapping[int, Any], constants: Mapping[int, Any]) -> None:
        self.memory, self.constants = memory, constants
        self.pointers: dict[int, str] = {}
        self.numbers: dict[Any, str] = {}

    def pointer(self, view: View) -> str:
        """Return the name of a buffer."""
        return self.pointers.setdefault(view.buffer, f"p{len(self.pointers)}")

    def size(self, value: int) -> str:
        """Return the name of a length or a stride."""
        return self.numbers.setdefault(value, f"n{len(self.numbers)}")

    def constant(self, value: Any, dtype: np.dtype[Any]) -> str:
        """Return a constant's name; integers, halves and truth values are written out."""
        if dtype.kind == "b":
            return str(bool(value)).lower()
        if dtype.kind == "f" and not (value * 2).is_integer():
            return self.numbers.setdefault(value, f"c{len(self.numbers)}")
        text = str(value) + {"float32": "f", "int64": "LL"}.get(dtype.name, "")
        return f"({text})" if value < 0 else text

    def declare(self) -> str:
        """Return the declarations."""
        pointers = (f"{type_name(self.memory[buffer].dtype)}* {name}" for buffer, name in self.pointers.items())
        numbers = (
            f"{'Index' if isinstance(value, int) else type_name(value.dtype)} {name}"
            for value, name in self.numbers.items()
        )
        return ", ".join([*pointers, *numbers])


def write_kernel(name: str, groups: Iterable[Group], memory: Mapping[int, Any], constants: Mapping[int, Any]) -> Kernel:
    """Return the kernel that computes groups, each in blocks of its own; see `Parameters`."""
    lines: list[str] = []
    parameters = Parameters(memory, constants)
    blocks = 0
    for group in groups:
        writer = GroupWriter(group, parameters)
        count = writer.blocks()
        functions = ", ".join(dict.fromkeys(call.function.__name__ for call in group.calls))
        lines += [f"    // {functions}", f"    if (block < {parameters.size(count)}) {{"]
        lines += [f"        {line}" for line in writer.write()]
        lines += ["        return;", "    }", f"    block -= {parameters.size(count)};"]
        blocks += count
    head = f'extern "C" __global__ void {name}({parameters.declare()}) {{'
    source = "\n".join([head, "    Index block = blockIdx.x;", *lines, "}"])
    return Kernel(name, source, blocks, tuple(parameters.pointers), tuple(parameters.numbers))


class GroupWriter:
    """Writes one group.

    In the source, ``i`` is an element's number in the group's index space, and ``row`` its row's.
    """

    def __init__(self, group: Group, parameters: Parameters) -> None:
        self.group = group
        self.parameters = parameters
        self.size = parameters.size
        self.writers = {call.target.buffer: call for call in group.calls}
        self.of_rows: set[Call] = set()  # calls with one result for each row, not for each element
        for call in group.calls:
            if group.kind == "rows" and self.is_of_row(call):
                self.of_rows.add(call)

    def is_of_row(self, call: Call) -> bool:
        """Return whether a call has one result for each row; of rows of one element, whether it reads such results."""
        if call.kind == "reduce" or self.group.length > 1:
            return call.kind == "reduce" or call.size == self.group.rows
        sources = [self.writers[view.buffer] for view in call.operands if view.buffer in self.writers]
        return bool(sources) and all(source in self.of_rows for source in sources if source.position < call.position)

    def blocks(self) -> int:
        """Return the number of blocks."""
        group = self.group
        if group.kind == "flat":
            return -(-group.rows // THREADS)
        if group.kind == "columns":
            return self.matrices() * -(-group.length // WARP)
        return group.rows if group.length > LONG_ROW else -(-group.rows // (THREADS // WARP))

    def matrices(self) -> int:
        """Return the number of matrices whose columns are reduced."""
        return self.group.rows // self.group.calls[0].shape[-2]

    def write(self) -> list[str]:
        """Return the lines that compute the group."""
        return {"flat": self.write_flat, "rows": self.write_rows, "columns": self.write_columns}[self.group.kind]()

    def write_flat(self) -> list[str]:
        """Return the lines of an elementwise group: each thread computes an element."""
        lines = ["const Index i = block * 256 + threadIdx.x;", f"if (i < {self.size(self.group.rows)}) {{"]
        for call in self.group.calls:
            lines += indented(self.compute(call, "i"))
        return [*lines, "}"]

    def write_rows(self) -> list[str]:
        """Return the lines of a group with reductions: the threads of a row compute every so many elements."""
        group = self.group
        long = group.length > LONG_ROW
        first, step, row = "threadIdx.x % 32", WARP, "block * 8 + threadIdx.x / 32"
        if long:
            first, step, row = "threadIdx.x", THREADS, "block"
        loop = f"for (Index j = {first}; j < {self.size(group.length)}; j += {step}) {{"
        element = f"    const Index i = row * {self.size(group.length)} + j;"
        lines = []
        for call in group.calls:
            if call.kind == "reduce":
                result, kind = variable(call), type_name(call.target.dtype)
                combine, start = self.combine(call)
                lines += [f"{kind} {result} = {start};", loop, element]
                for part in self.needed([call]):
                    lines += indented(self.compute(part, "i", store=False))
                value = " * ".join(self.operands(call, "i"))
                lines += [f"    {result} = {combine}()({result}, {value});", "}"]
                lines += [f"{result} = reduce_{'block' if long else 'warp'}({result}, {combine}());"]
            elif call in self.of_rows:
                lines += self.compute(call, "row", store=False)
            if call in self.of_rows and self.is_stored(call):
                lines += [f"if ({first} == 0) {self.store(call, 'row')}"]
        stored = [call for call in group.calls if call not in self.of_rows and self.is_stored(call)]
        if stored:
            lines += [loop, element]
            for call in self.needed(stored):
                lines += indented(self.compute(call, "i", store=call in stored))
            lines += ["}"]
        return [f"const Index row = {row};", f"if (row < {self.size(group.rows)}) {{", *indented(lines), "}"]

    def needed(self, targets: Sequence[Call]) -> list[Call]:
        """Return the calls, in order, that compute elements for these, themselves included unless they reduce."""
        needed = set(targets)
        for call in reversed(self.group.calls):
            if call in needed:
                sources = (self.source_of(view, call) for view in call.operands)
                needed.update(source for source in sources if source and source not in self.of_rows)
        return [call for call in self.group.calls if call in needed and call not in self.of_rows]

    def write_columns(self) -> list[str]:
        """Return the lines of a reduction along the last axis but one: a warp's lanes take columns side by side."""
        (call,) = self.group.calls
        rows, length = map(self.size, call.shape[-2:])
        kind, (combine, start) = type_name(call.target.dtype), self.combine(call)
        (operand,) = self.operands(call, "i")
        across = self.size(-(-call.shape[-1] // WARP))
        return [
            f"const Index matrix = block / {across}, column = block % {across} * 32 + threadIdx.x % 32;",
            f"{kind} value = {start};",
            f"if (column < {length}) {{",
            f"    for (Index row = threadIdx.x / 32; row < {rows}; row += 8) {{",
            f"        const Index i = (matrix * {rows} + row) * {length} + column;",
            f"        value = {combine}()(value, {operand});",
            "    }",
            "}",
            f"value = reduce_lanes(value, {combine}());",
            f"if (threadIdx.x < 32 && column < {length})",
            f"    {self.parameters.pointer(call.target)}[matrix * {length} + column] = value;",
        ]

    def combine(self, call: Call) -> tuple[str, str]:
        """Return how a reduction combines two numbers, and what it starts from."""
        function, start = COMBINE[call.function]
        return function, self.parameters.constant(call.target.dtype.type(start), call.target.dtype)

    def compute(self, call: Call, index: str, *, store: bool = True) -> list[str]:
        """Return the lines that compute one element."""
        kind = type_name(call.target.dtype)
        lines = [f"const {kind} {variable(call)} = {self.expression(call, index)};"]
        return [*lines, self.store(call, index)] if store and self.is_stored(call) else lines

    def is_stored(self, call: Call) -> bool:
        """Return whether a result is needed outside the group."""
        return call.target.buffer in self.parameters.memory

    def store(self, call: Call, index: str) -> str:
        """Return the statement that stores a result."""
        place = self.element(call.target.broadcast(call.shape), index) if call.kind == "scatter" else index
        if call.kind == "scatter":
            place = f"{place} + {self.operand(call, call.operands[1], index)} * {self.size(call.stride)}"
        return f"{self.parameters.pointer(call.target)}[{place}] = {variable(call)};"

    def expression(self, call: Call, index: str) -> str:
        """Return what a call computes one element from."""
        if call.kind == "take":
            first, at = call.operands
            start, number = self.element(first, index), self.operand(call, at, index)
            return f"{self.parameters.pointer(first)}[{start} + {number} * {self.size(call.stride)}]"
        operands = self.operands(call, index)
        if call.kind == "scatter":
            return operands[0]
        if call.function is np.copyto:
            return f"({type_name(call.target.dtype)}){operands[0]}"
        if call.function is np.where:
            return "{} ? {} : {}".format(*operands)
        dtypes = [view.dtype for view in call.operands]
        *loop, _ = call.function.resolve_dtypes((*dtypes, None))
        template = FUNCTIONS.get(call.function)
        if template is None or (call.function in ONLY_FLOATS and loop[0].kind != "f"):
            raise NotTraceableError(f"no kernel is known for {call.function.__name__} of {loop[0]}")
        casts = (
            text if have == want else f"({type_name(want)}){text}"
            for text, have, want in zip(operands, dtypes, loop, strict=True)
        )
        return template.format(*casts)

    def operands(self, call: Call, index: str) -> list[str]:
        """Return the operands of one element."""
        return [self.operand(call, view, index) for view in call.operands]

    def operand(self, call: Call, view: View, index: str) -> str:
        """Return an operand: a literal, a variable, or an element in memory."""
        constants = self.parameters.constants
        if view.buffer in constants:
            return self.parameters.constant(constants[view.buffer], view.dtype)
        source = self.source_of(view, call)
        return variable(source) if source else f"{self.parameters.pointer(view)}[{self.element(view, index)}]"

    def element(self, view: View, index: str) -> str:
        """Return the place in its buffer of a view's element, given its number."""
        terms = [self.size(view.offset)] if view.offset else []
        axes = view.axes()
        inner = 1
        for number, (length, stride) in reversed(list(enumerate(axes))):
            if stride:
                quotient = index if inner == 1 else f"{index} / {self.size(inner)}"
                coordinate = quotient if number == 0 else f"{quotient} % {self.size(length)}"
                terms.append(coordinate if stride == 1 else f"{coordinate} * {self.size(stride)}")
            inner *= length
        return " + ".join(terms) or "0"

    def source_of(self, view: View, call: Call) -> Call | None:
        """Return the call of this group that computes an operand; None if it is read from memory."""
        source = self.writers.get(view.buffer)
        return source if source and source.position < call.position else None


def variable(call: Call) -> str:
    """Return the name of a result."""
    return f"v{call.position}"


def type_name(dtype: np.dtype[Any]) -> str:
    """Return a dtype's name in C++."""
    if dtype.name not in TYPES:
        raise NotTraceableError(f"no kernel is known for {dtype}")
    return TYPES[dtype.name]


def indented(lines: Sequence[str]) -> list[str]:
    """Return lines, indented."""
    return [f"    {line}" for line in lines]
