"""An ONNX graph in the making."""

from typing import Any

import numpy as np

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8


class GraphBuilder:
    """Collects the parts of a graph.

    Parameters
    ----------
    onnx
        The module.
    """

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.domains = {"": OPSET}

    def add(self, operator: str, *inputs: str, name: str, domain: str = "", **attributes: Any) -> str:
        """Apply an operator, and return the name of what comes out, which is the node's as well."""
        if domain:
            self.domains[domain] = ML_OPSET
        node = self.onnx.helper.make_node(operator, list(inputs), [name], name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, name: str, value: Any) -> str:
        """Put numbers, or a list of texts, into the file, and return their name."""
        if isinstance(value, list):
            texts = [encoded(text) for text in value]
            tensor = self.onnx.helper.make_tensor(name, self.type_of(str), [len(texts)], texts)
        else:
            tensor = self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        self.constants.append(tensor)
        return name

    def cast(self, value: str, dtype: Any, *, name: str) -> str:
        """Convert numbers to another type."""
        return self.add("Cast", value, name=name, to=self.type_of(dtype))

    def take(self, name: str, dtype: Any, *shape: int) -> str:
        """Declare an input of that shape for each row."""
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, self.type_of(dtype), ["rows", *shape]))
        return name

    def give(self, name: str, dtype: Any, *shape: int) -> None:
        """Declare an output of that shape for each row."""
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, self.type_of(dtype), ["rows", *shape]))

    def type_of(self, dtype: Any) -> Any:
        """Return ONNX's number for a type of elements; `str` for texts."""
        if dtype is str:
            return self.onnx.TensorProto.STRING
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def finish(self, description: str, metadata: dict[str, str]) -> bytes:
        """Return the content of the file, checked.

        The same parts give the same bytes.
        """
        helper = self.onnx.helper
        model = helper.make_model(
            helper.make_graph(self.nodes, "xpmlp", self.inputs, self.outputs, self.constants),
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in self.domains.items()],
            ir_version=IR_VERSION,
            producer_name="xpmlp",
            doc_string=description,
        )
        helper.set_model_props(model, metadata)
        self.onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def encoded(text: str) -> bytes:
    """Return a text in UTF-8, which is all that a graph may hold."""
    return text.encode(errors="backslashreplace")
