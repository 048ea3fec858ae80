"""The network's own functions in exported files: their source, or the ONNX operators that they call."""

import ast
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from xpmlp.model import Model
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.loss_names import LossName
from xpmlp.nn.losses import LOSSES


def source_of(function: Callable[..., Any], name: str) -> str:
    """Return the source of a function of `xpmlp.nn` under another name, without types."""
    node = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.name, node.returns = name, None
    for argument in node.args.args:
        argument.annotation = None
    return ast.unparse(node)


def network_source(model: Model) -> tuple[str, str, str]:
    """Return the source of the functions used, the names of the activations, and an expression for the output of z."""
    loss = LossName.parse(model.loss)
    hidden = model.activations
    names = dict.fromkeys([*hidden, *([] if loss.output == "identity" else [loss.output])])
    functions = [source_of(ACTIVATIONS[name].forward, name) for name in names]
    output = "z" if loss.output == "identity" else f"{loss.output}(np, z)"
    if loss.levels:
        count = len(loss.levels)
        output = f"np.sort({output}.reshape(len(z), -1, {count}), axis=2).reshape(z.shape)  # quantiles in order"
    elif (predict := LOSSES[loss.kind].predict) is not LOSSES["squared_error"].predict:
        functions.append(source_of(predict, "output"))
        output = "output(np, z)"
    if model.members is not None:
        output = f"np.mean({output.partition('  #')[0]}, axis=0)  # over the members"
    return "\n\n\n".join(functions), ", ".join(hidden), output


class Symbol:
    """A value in a graph, as one of the network's functions computes with it."""

    def __init__(self, namespace: "OnnxNamespace", name: str) -> None:
        self.namespace = namespace
        self.name = name

    def __add__(self, other: Any) -> "Symbol":
        return self.namespace.apply("Add", self, other)

    def __radd__(self, other: Any) -> "Symbol":
        return self.namespace.apply("Add", other, self)

    def __sub__(self, other: Any) -> "Symbol":
        return self.namespace.apply("Sub", self, other)

    def __rsub__(self, other: Any) -> "Symbol":
        return self.namespace.apply("Sub", other, self)

    def __mul__(self, other: Any) -> "Symbol":
        return self.namespace.apply("Mul", self, other)

    def __rmul__(self, other: Any) -> "Symbol":
        return self.namespace.apply("Mul", other, self)

    def __truediv__(self, other: Any) -> "Symbol":
        return self.namespace.apply("Div", self, other)

    def __neg__(self) -> "Symbol":
        return self.namespace.apply("Neg", self)


class OnnxNamespace:
    """A namespace whose functions add operators to a graph, so that `xpmlp.nn` writes its own functions there.

    Parameters
    ----------
    graph
        An `xpmlp.export.onnx.Graph`.
    prefix
        Of the names of all operators added.
    """

    def __init__(self, graph: Any, prefix: str, dtype: Any) -> None:
        self.graph = graph
        self.prefix = prefix
        self.dtype = dtype
        self.count = 0

    def apply(self, operator: str, *operands: Any) -> Symbol:
        """Apply an operator to values and numbers."""
        self.count += 1
        name = f"{self.prefix}.{self.count}"
        inputs = [
            operand.name
            if isinstance(operand, Symbol)
            else self.graph.constant(f"{name}.{index}", np.asarray(operand, self.dtype))
            for index, operand in enumerate(operands)
        ]
        return Symbol(self, self.graph.add(operator, *inputs, name=name))

    def abs(self, x: Symbol) -> Symbol:
        """|x|."""
        return self.apply("Abs", x)

    def exp(self, x: Symbol) -> Symbol:
        """exp(x)."""
        return self.apply("Exp", x)

    def expm1(self, x: Symbol) -> Symbol:
        """exp(x) − 1."""
        return self.exp(x) - 1.0

    def log1p(self, x: Symbol) -> Symbol:
        """log(1 + x)."""
        return self.apply("Log", x + 1.0)

    def maximum(self, x: Any, y: Any) -> Symbol:
        """Return the larger."""
        return self.apply("Max", x, y)

    def minimum(self, x: Any, y: Any) -> Symbol:
        """Return the smaller."""
        return self.apply("Min", x, y)

    def tanh(self, x: Symbol) -> Symbol:
        """tanh(x)."""
        return self.apply("Tanh", x)
