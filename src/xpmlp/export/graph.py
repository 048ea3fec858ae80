"""An ONNX graph under construction, with which the network's own functions compute as with an array library."""

from dataclasses import dataclass
from functools import partialmethod
from typing import Any

import numpy as np

ML = "ai.onnx.ml"  # the domain of operators on text
OPSETS, IR_VERSION = {"": 17, ML: 3}, 8


@dataclass(eq=False)
class Value:
    """A value in a graph; arithmetic with it, numbers and arrays adds operators. Numbers take its dtype."""

    graph: "Graph"
    name: str
    dtype: Any

    def apply(self, operator: str, *others: Any) -> "Value":
        """Apply an operator to this value first."""
        return self.graph.apply(operator, self, *others)

    def apply_to(self, operator: str, other: Any) -> "Value":
        """Apply an operator to another value first."""
        return self.graph.apply(operator, other, self)

    __add__, __radd__ = partialmethod(apply, "Add"), partialmethod(apply_to, "Add")
    __sub__, __rsub__ = partialmethod(apply, "Sub"), partialmethod(apply_to, "Sub")
    __mul__, __rmul__ = partialmethod(apply, "Mul"), partialmethod(apply_to, "Mul")
    __truediv__, __neg__ = partialmethod(apply, "Div"), partialmethod(apply, "Neg")

    def __floordiv__(self, other: float) -> "Value":
        return self.graph.apply("Floor", self / other)

    def __mod__(self, other: float) -> "Value":
        return self.apply("Sub", self // other * other)

    def named(self, name: str) -> "Value":
        """Name a value that no operator has taken yet."""
        node = next(node for node in self.graph.nodes if node.output[0] == self.name)
        node.name = node.output[0] = self.name = name
        return self

    def cast(self, dtype: Any) -> "Value":
        """Convert numbers to another type, if they are not of that type."""
        if self.dtype == dtype:
            return self
        return self.graph.apply("Cast", self, dtype=np.dtype(dtype), to=self.graph.type_of(dtype))

    def take(self, columns: list[int]) -> "Value":
        """Return some columns."""
        return self.graph.apply("Gather", self, np.array(columns), axis=1)


class Graph:
    """A graph under construction, and a namespace in which functions of `xpmlp.nn` add their operators to it."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx  # the module
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def apply(
        self, operator: str, *operands: Any, dtype: Any = None, domain: str = "", more: int = 0, **attributes: Any
    ) -> Value:
        """Apply an operator to values, numbers and arrays, and return its first output; `more` of them are unused."""
        name = f"{operator}_{len(self.nodes) + 1}"
        known = next(operand.dtype for operand in operands if isinstance(operand, Value))
        inputs = [
            operand.name
            if isinstance(operand, Value)
            else self.constant(operand if isinstance(operand, np.ndarray) else known.type(operand)).name
            for operand in operands
        ]
        outputs = [name, *(f"{name}.{index + 1}" for index in range(more))]
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return Value(self, name, dtype or known)

    abs, exp, tanh = partialmethod(apply, "Abs"), partialmethod(apply, "Exp"), partialmethod(apply, "Tanh")
    maximum, minimum = partialmethod(apply, "Max"), partialmethod(apply, "Min")

    def expm1(self, x: Value) -> Value:
        """exp(x) − 1."""
        return self.apply("Sub", self.apply("Exp", x), 1.0)

    def log1p(self, x: Value) -> Value:
        """log(1 + x)."""
        return self.apply("Log", x + 1.0)

    def concatenate(self, values: list[Value]) -> Value:
        """Return the columns of several values side by side."""
        return values[0] if len(values) == 1 else self.apply("Concat", *values, axis=1)

    def constant(self, value: Any, name: str = "") -> Value:
        """Store numbers, or a list of texts."""
        if isinstance(value, list):
            # Text that UTF-8 cannot encode, such as half of a surrogate pair, is escaped.
            value = np.array([text.encode(errors="backslashreplace") for text in value], object)
        name, value = name or f"constant_{len(self.constants) + 1}", np.asarray(value, order="C")
        self.constants.append(self.onnx.numpy_helper.from_array(value, name))
        return Value(self, name, value.dtype)

    def input(self, name: str, dtype: Any, *shape: int) -> Value:
        """Declare an input with that shape per row."""
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, self.type_of(dtype), ["rows", *shape]))
        return Value(self, name, np.dtype(dtype))

    def output(self, value: Value, *shape: int) -> None:
        """Declare an output with that shape per row."""
        info = self.onnx.helper.make_tensor_value_info(value.name, self.type_of(value.dtype), ["rows", *shape])
        self.outputs.append(info)

    def type_of(self, dtype: Any) -> Any:
        """Return ONNX's number for an element type; `object` for text."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def to_bytes(self, description: str, metadata: dict[str, str]) -> bytes:
        """Check the graph, and return it as a file's content: the same bytes for the same graph."""
        helper = self.onnx.helper
        domains = sorted({node.domain for node in self.nodes})
        model = helper.make_model(
            helper.make_graph(self.nodes, "xpmlp", self.inputs, self.outputs, self.constants),
            opset_imports=[helper.make_opsetid(domain, OPSETS[domain]) for domain in domains],
            ir_version=IR_VERSION,
            producer_name="xpmlp",
            doc_string=description,
        )
        helper.set_model_props(model, metadata)
        self.onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
