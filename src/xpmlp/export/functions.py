"""The network's own functions in exported files: their source, or the ONNX operators that they call."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partialmethod
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


@dataclass(eq=False)
class Symbol:
    """A value in a graph, as one of the network's functions computes with it."""

    namespace: "OnnxNamespace"
    name: str

    def apply(self, operator: str, *others: Any) -> "Symbol":
        """Apply an operator to this value first."""
        return self.namespace.apply(operator, self, *others)

    def apply_to(self, operator: str, other: Any) -> "Symbol":
        """Apply an operator to another value first."""
        return self.namespace.apply(operator, other, self)

    __add__, __radd__ = partialmethod(apply, "Add"), partialmethod(apply_to, "Add")
    __sub__, __rsub__ = partialmethod(apply, "Sub"), partialmethod(apply_to, "Sub")
    __mul__, __rmul__ = partialmethod(apply, "Mul"), partialmethod(apply_to, "Mul")
    __truediv__, __neg__ = partialmethod(apply, "Div"), partialmethod(apply, "Neg")


@dataclass(eq=False)
class OnnxNamespace:
    """A namespace whose functions add operators to a graph, so that `xpmlp.nn` writes its own functions there.

    Parameters
    ----------
    graph
        An `xpmlp.export.onnx.Graph`.
    prefix
        Of the names of all operators added.
    """

    graph: Any
    prefix: str
    dtype: Any
    count: int = 0

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

    abs, exp, tanh = partialmethod(apply, "Abs"), partialmethod(apply, "Exp"), partialmethod(apply, "Tanh")
    maximum, minimum = partialmethod(apply, "Max"), partialmethod(apply, "Min")

    def expm1(self, x: Symbol) -> Symbol:
        """exp(x) − 1."""
        return self.apply("Sub", self.exp(x), 1.0)

    def log1p(self, x: Symbol) -> Symbol:
        """log(1 + x)."""
        return self.apply("Log", x + 1.0)
