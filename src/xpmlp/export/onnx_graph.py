"""A model as an ONNX graph that takes raw values: scaling, Gemm and activation for each layer, Softmax, ArgMax.

The operators are those of opset 17 (ONNX 1.12), which onnxruntime has run since 2022, and onnxruntime-web runs too.
"""

import json
from typing import Any

import numpy as np
from jaxtyping import Int64

from xpmlp.errors import DataError
from xpmlp.model.model import Model
from xpmlp.model.table_schema import Column
from xpmlp.optional_imports import import_optional

from .graph_builder import GraphBuilder
from .raw_input import RawColumns, class_type, raw_columns

ML = "ai.onnx.ml"  # the operators that know texts
MOST_BYTES = 2**31 - 2**20  # Protocol Buffers, in which the file is written, end at 2 GiB

ACTIVATION_OPERATORS = {"identity": None, "logistic": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}
OUTPUT_OPERATORS = {
    "softmax_cross_entropy": "Softmax",
    "logistic_cross_entropy": "Sigmoid",
    "squared_error": None,
    "poisson": "Exp",
}


def to_onnx(model: Model) -> bytes:
    """Return the content of an ONNX file that says what `predict` says, of raw values.

    The first axis of every input and output is the rows, as many as one likes.

    Inputs: ``input``, of shape ``(rows, *input_shape)``: float32 for images and other arrays of raw values, such as
    pixels of 0 to 255; of the network's own precision for plain features; float64 for the columns of a table, NaN where
    a value is missing. Where some columns are categories, these are texts in ``categories``, ``""`` where one is
    missing, and the others are in ``numbers``. The file's metadata name the columns.

    Outputs: ``label``, int64 or text, of shape ``(rows,)``, and ``probabilities``, of shape ``(rows, classes)``; where
    several labels may be right at once, ``label`` is a boolean for each class. For regression ``prediction``, of shape
    ``(rows, outputs)``.

    Raises
    ------
    MissingDependencyError
        Where onnx is not installed.
    DataError
        Where the weights are beyond the 2 GiB that such a file can hold.
    """
    size = sum(array.nbytes for layer in model.layers for array in layer)
    if size > MOST_BYTES:
        raise DataError(
            f"The weights take {size / 2**30:.2f} GiB, but an ONNX file holds 2 at most. Export a smaller network, "
            "or a Python file."
        )
    graph = GraphBuilder(import_optional("onnx", extra="onnx", purpose="Exporting to ONNX"))
    columns = raw_columns(model)
    if columns is None:
        x, order = add_array_input(graph, model), None
    else:
        x, order = add_table_inputs(graph, model, columns), columns.order
    add_outputs(graph, model, add_layers(graph, model, x, order))
    sizes = "-".join(map(str, model.layer_sizes))
    return graph.finish(f"{sizes} network, {model.activation}, {model.task}", describe(model, columns))


def add_array_input(graph: GraphBuilder, model: Model) -> str:
    """Take an array of raw values, and return its rows as the network sees them."""
    dtype = model.layers[0].weight.dtype
    # Images are float32 whatever the network's precision, as they are where it was trained.
    raw = dtype if len(model.input_shape) == 1 and model.input_scale == 1.0 else np.dtype(np.float32)
    x = graph.take("input", raw, *model.input_shape)
    if len(model.input_shape) > 1:
        x = graph.add("Flatten", x, name="rows_of_values", axis=1)
    if model.input_scale != 1.0:
        x = graph.add("Div", x, graph.constant("input_scale", np.asarray(model.input_scale, raw)), name="scaled")
    return x if raw == dtype else graph.cast(x, dtype, name="as_weights")


def add_table_inputs(graph: GraphBuilder, model: Model, columns: RawColumns) -> str:
    """Take the columns of a table, and return its rows as the network sees them, save for their order."""
    parts = []
    if columns.numbers:
        name = "numbers" if columns.categories else "input"
        parts.append(add_numbers(graph, columns.numbers, graph.take(name, np.float64, len(columns.numbers))))
    if columns.categories:
        x = graph.take("categories", str, len(columns.categories))
        parts += [add_category(graph, column, x, index) for index, column in enumerate(columns.categories)]
    x = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, name="prepared", axis=1)
    dtype = model.layers[0].weight.dtype
    return x if dtype == np.float32 else graph.cast(x, dtype, name="as_weights")


def add_numbers(graph: GraphBuilder, columns: tuple[Column, ...], x: str) -> str:
    """Fill and scale numbers in float64, and round them to float32, as for training."""
    fills = np.array([np.nan if column.fill is None else column.fill for column in columns], np.float64)
    if not np.isnan(fills).all():
        x = graph.add("Where", graph.add("IsNaN", x, name="missing"), graph.constant("fill", fills), x, name="filled")
    offset = np.array([column.offset for column in columns], np.float64)
    scale = np.array([column.scale for column in columns], np.float64)
    if offset.any():
        x = graph.add("Sub", x, graph.constant("offset", offset), name="centered")
    if (scale != 1.0).any():
        x = graph.add("Div", x, graph.constant("scale", scale), name="scaled")
    return graph.cast(x, np.float32, name="float32_numbers")


def add_category(graph: GraphBuilder, column: Column, x: str, index: int) -> str:
    """Encode a column of texts one-hot: all zeros for a category that was not seen in training."""
    place = graph.constant(f"category_{index}.place", np.array(index, np.int64))
    texts = graph.add("Gather", x, place, name=f"category_{index}.text", axis=1)
    keys, codes = list(column.categories), list(range(column.inputs))
    if column.fill is not None and "" not in keys:
        keys.append("")
        codes.append(column.categories.index(str(column.fill)))
    code = graph.add(
        "LabelEncoder",
        texts,
        name=f"category_{index}.code",
        domain=ML,
        keys_strings=keys,
        values_int64s=codes,
        default_int64=-1,
    )
    return graph.add(
        "OneHotEncoder",
        code,
        name=f"category_{index}.one_hot",
        domain=ML,
        cats_int64s=list(range(column.inputs)),
        zeros=1,
    )


def add_layers(graph: GraphBuilder, model: Model, x: str, order: Int64[np.ndarray, " inputs"] | None) -> str:
    """Add a Gemm for each layer and the activation between them, and return the logits."""
    activation = ACTIVATION_OPERATORS[model.activation]
    for index, (weight, bias) in enumerate(model.layers):
        if index == 0 and order is not None:
            weight = weight[order]
        parameters = (
            graph.constant(f"layers.{index}.weight", weight),
            graph.constant(f"layers.{index}.bias", bias[0]),
        )
        is_last = index == len(model.layers) - 1
        x = graph.add("Gemm", x, *parameters, name=result_name(model) if is_last else f"layers.{index}.sums")
        if not is_last and activation is not None:
            x = graph.add(activation, x, name=f"layers.{index}.activations")
    return x


def result_name(model: Model) -> str:
    """Return what the last layer's sums are called: they are the answer where nothing is made of them."""
    return "logits" if OUTPUT_OPERATORS[model.loss] is not None else answer_name(model)


def answer_name(model: Model) -> str:
    """Return what the network's outputs are called after all."""
    return {"regression": "prediction", "binary": "probability"}.get(model.task, "probabilities")


def add_outputs(graph: GraphBuilder, model: Model, logits: str) -> None:
    """Make probabilities and labels, or numbers, of the logits."""
    dtype, outputs = model.layers[-1].weight.dtype, model.layer_sizes[-1]
    operator = OUTPUT_OPERATORS[model.loss]
    axis: dict[str, Any] = {"axis": 1} if operator == "Softmax" else {}
    answer = logits if operator is None else graph.add(operator, logits, name=answer_name(model), **axis)
    if model.task == "regression":
        graph.give(answer, dtype, outputs)
        return
    if model.task == "multilabel":
        graph.add("Greater", answer, graph.constant("half", np.asarray(0.5, dtype)), name="label")
        graph.give("label", np.bool_, outputs)
        graph.give(answer, dtype, outputs)
        return
    if model.task == "binary":
        other = graph.add("Sub", graph.constant("one", np.asarray(1.0, dtype)), answer, name="probability_of_other")
        answer = graph.add("Concat", other, answer, name="probabilities", axis=1)
    kind = class_type(model.classes)
    classes = np.array(model.classes, np.int64) if kind is int else [str(label) for label in model.classes]
    position = graph.add("ArgMax", answer, name="position", axis=1, keepdims=0)
    graph.add("Gather", graph.constant("classes", classes), position, name="label", axis=0)
    graph.give("label", np.int64 if kind is int else str)
    graph.give(answer, dtype, len(model.classes))


def describe(model: Model, columns: RawColumns | None) -> dict[str, str]:
    """Return what the file says of its inputs and outputs, each a value in JSON."""
    values: dict[str, Any] = {"task": model.task}
    if model.classes:
        values["classes"] = list(model.classes)
    else:
        values["outputs"] = list(model.output_names)
    if columns is None:
        values |= {"input_shape": list(model.input_shape), "input_scale": model.input_scale}
    else:
        values["numbers"] = [column.name for column in columns.numbers]
        values["categories"] = {column.name: list(column.categories) for column in columns.categories}
    return {f"xpmlp.{name}": json.dumps(value) for name, value in values.items()}
