"""A model as an ONNX graph that takes raw values: scaling, Gemm and activation for each layer, Softmax, ArgMax.

The operators are those of opset 17 (ONNX 1.12), which onnxruntime and onnxruntime-web have supported since 2022.
"""

import json
from typing import Any

import numpy as np

from xpmlp.errors import DataError
from xpmlp.model import Column, Model, TableSchema
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.loss_names import LossName
from xpmlp.optional_imports import import_optional

from .graph import ML, Graph, Value

MOST_BYTES = 2**31 - 2**20  # Protocol Buffers, the format of the file, end at 2 GiB

# Functions that are an operator; the others are written as several.
ACTIVATION_OPERATORS = {"logistic": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}
OUTPUT_OPERATORS = {
    "softmax_cross_entropy": "Softmax",
    "logistic_cross_entropy": "Sigmoid",
    "poisson": "Exp",
    "gamma": "Exp",
}


def to_onnx(model: Model) -> bytes:
    """Return the content of an ONNX file whose predictions for raw values are those of `predict`.

    The first axis of every input and output is the rows, of any number.

    Inputs: ``input``, of shape ``(rows, *input_shape)``: float32 for images and other arrays of raw values, such as
    pixels of 0 to 255; of the network's own precision for plain features; float64 for the columns of a table, with NaN
    for missing values. If some columns are categories, these are text in ``categories``, with ``""`` for missing
    values, and the others are in ``numbers``. Dates are numbers, too: days since 1970, with a fraction for the time of
    day, in UTC if the time zone is known. The file's metadata name the columns, and those of dates.

    Outputs: ``label``, int64 or text, of shape ``(rows,)``, and ``probabilities``, of shape ``(rows, classes)``; for
    several labels at once, ``label`` is a boolean for each class. For regression ``prediction``, of shape
    ``(rows, outputs)``.

    Raises
    ------
    MissingDependencyError
        If onnx is not installed.
    DataError
        If the weights exceed the 2 GiB that such a file can hold.
    """
    size = sum(array.nbytes for layer in model.layers for array in layer)
    if size > MOST_BYTES:
        raise DataError(
            f"The weights take {size / 2**30:.2f} GiB, but an ONNX file holds 2 at most. Export a smaller network, "
            "or a Python file."
        )
    graph = Graph(import_optional("onnx", extra="onnx", purpose="Exporting to ONNX"))
    add_outputs(graph, model, add_layers(graph, model))
    sizes = "-".join(map(str, model.layer_sizes))
    return graph.to_bytes(f"{sizes} network, {model.activation}, {model.task}", describe(model))


def add_array_input(graph: Graph, model: Model) -> Value:
    """Add an array of raw values, and return its scaled rows."""
    dtype = model.layers[0].weight.dtype
    # Images are float32 whatever the network's precision, as in training.
    raw = dtype if len(model.input_shape) == 1 and model.input_scale == 1.0 else np.float32
    x = graph.input("input", raw, *model.input_shape)
    if len(model.input_shape) > 1:
        x = x.apply("Flatten")
    return x if model.input_scale == 1.0 else x / graph.constant(x.dtype.type(model.input_scale), "input_scale")


def add_table_inputs(graph: Graph, columns: TableSchema) -> tuple[Value, list[int]]:
    """Add the columns of a table, and return their encoded rows, and where each of their values belongs in an input.

    Numbers are together, as are the parts of dates and the marks of missing values.
    """
    parts, order, places = [], [], columns.places
    if columns.numbers:
        name = "numbers" if columns.categories else "input"
        parts += add_numbers(graph, columns.numbers, graph.input(name, np.float64, len(columns.numbers)))
        plain = [places[column.name].start for column in columns.numbers if column.kind != "date"]
        dates = [places[column.name].start + index for column in columns.dates for index in range(len(column.parts))]
        order += [*plain, *dates, *(places[column.name].stop - 1 for column in columns.numbers if column.indicator)]
    if columns.categories:
        x = graph.input("categories", object, len(columns.categories))
        for index, column in enumerate(columns.categories):
            parts.append(add_category(column, graph.apply("Gather", x, np.array(index), axis=1)))
            order += range(places[column.name].start, places[column.name].stop)
    return graph.concatenate(parts), order


def add_numbers(graph: Graph, columns: tuple[Column, ...], x: Value) -> list[Value]:
    """Fill and scale numbers and the parts of dates in float64, and round them to float32, as in training.

    Return them, and the marks of missing values, if there are any.
    """
    fills = np.array([np.nan if column.fill is None else column.fill for column in columns], np.float64)
    missing = x
    if not np.isnan(fills).all():
        missing = x.apply("IsNaN")
        x = graph.apply("Where", missing, fills, x)
    plain = [index for index, column in enumerate(columns) if column.kind != "date"]
    values = [x.take(plain) if len(plain) < len(columns) else x] if plain else []
    scaling = [(columns[index].offset, columns[index].scale) for index in plain]
    for index, column in enumerate(columns):
        if column.kind == "date":
            values += date_parts(x.take([index]), [part for part, *_ in column.parts])
            scaling += [(offset, scale) for _, offset, scale in column.parts]
    scaled = graph.concatenate(values)
    offset, scale = np.array(scaling, np.float64).T
    if offset.any():
        scaled = scaled - offset
    if (scale != 1.0).any():
        scaled = scaled / scale
    marks = [index for index, column in enumerate(columns) if column.indicator]
    return [scaled.cast(np.float32), *([missing.take(marks).cast(np.float32)] if marks else [])]


def date_parts(days: Value, parts: list[str]) -> list[Value]:
    """Return the parts of dates, computed from days since 1970 as in Howard Hinnant's "chrono-Compatible Low-Level Date
    Algorithms": years begin in March, so that the day that some lack is their last.
    """
    whole, found = days // 1.0, {"elapsed": days}
    if "hour" in parts:
        found["hour"] = (days - whole) * 24.0
    if "weekday" in parts:
        found["weekday"] = (whole + 3.0) % 7.0 + 1.0
    if set(parts) & {"year", "month", "day"}:
        shifted = whole + 719468.0
        day_of_era = shifted % 146097.0
        leaps = day_of_era // 1460.0 - day_of_era // 36524.0 + day_of_era // 146096.0
        year = (day_of_era - leaps) // 365.0
        day_of_year = day_of_era - (year * 365.0 + (year // 4.0 - year // 100.0))
        march_month = (day_of_year * 5.0 + 2.0) // 153.0
        found["day"] = day_of_year - (march_month * 153.0 + 2.0) // 5.0 + 1.0
        found["month"] = (march_month + 2.0) % 12.0 + 1.0
        found["year"] = year + shifted // 146097.0 * 400.0 + march_month // 10.0
    return [found[part] for part in parts]


def add_category(column: Column, texts: Value) -> Value:
    """Encode a column of text one-hot: as all zeros if a category was not seen in training."""
    codes = {text: code for code, text in enumerate(column.categories)}
    encoder = codes if column.fill is None else codes | {"": codes.get("", codes[str(column.fill)])}
    keys: dict[str, Any] = {"keys_strings": list(encoder), "values_int64s": list(encoder.values())}
    default = -1 if column.infrequent is None else codes[column.infrequent]
    code = texts.graph.apply("LabelEncoder", texts, domain=ML, default_int64=default, **keys)
    cats = list(codes.values())
    return code.graph.apply("OneHotEncoder", code, dtype=np.dtype("f4"), domain=ML, cats_int64s=cats, zeros=1)


def add_layers(graph: Graph, model: Model) -> Value:
    """Add the inputs, a Gemm for each layer and the activation between them, and return the last layer's sums."""
    order: Any = slice(None)
    if model.raw_columns is None:
        x = add_array_input(graph, model)
    else:
        x, order = add_table_inputs(graph, model.raw_columns)
    x = x.cast(model.layers[0].weight.dtype)
    for index, (weight, bias) in enumerate(model.layers):
        parameters = [
            graph.constant(weight if index > 0 else weight[..., order, :], f"layers.{index}.weight"),
            graph.constant(bias if model.members is not None else bias[0], f"layers.{index}.bias"),
        ]
        if model.members is None:
            x = graph.apply("Gemm", x, *parameters)
        else:  # values have the shape (members, rows, units)
            x = graph.apply("MatMul", x, parameters[0]) + parameters[1]
        if index < len(model.layers) - 1:
            x = add_activation(model.activations[index], x).named(f"layers.{index}.activations")
    return x


def add_activation(activation: str, x: Value) -> Value:
    """Apply an activation, as one operator if there is one."""
    if activation in ACTIVATION_OPERATORS:
        return x.apply(ACTIVATION_OPERATORS[activation])
    result: Value = ACTIVATIONS[activation].forward(x.graph, x)
    return result


def add_outputs(graph: Graph, model: Model, logits: Value) -> None:
    """Add probabilities and labels, or numbers."""
    output = add_output_function(LossName.parse(model.loss), logits)
    if model.members is not None:
        output = graph.apply("ReduceMean", output, axes=[0], keepdims=0)
    if model.task == "binary":
        output = graph.concatenate([1.0 - output, output])
    output = output.named("prediction" if model.task == "regression" else "probabilities")
    if model.task == "multilabel":
        graph.output(graph.apply("Greater", output, 0.5, dtype=np.bool_).named("label"), len(model.classes))
    elif model.task != "regression":
        limits = np.iinfo(np.int64)
        are_numbers = all(isinstance(label, int) and limits.min <= label <= limits.max for label in model.classes)
        labels = np.array(model.classes, np.int64) if are_numbers else [str(label) for label in model.classes]
        position = graph.apply("ArgMax", output, axis=1, keepdims=0)
        graph.output(graph.apply("Gather", graph.constant(labels, "classes"), position, axis=0).named("label"))
    graph.output(output, len(model.classes) or model.layer_sizes[-1])


def add_output_function(loss: LossName, logits: Value) -> Value:
    """Apply the function that makes predictions of the logits."""
    graph = logits.graph
    if (operator := OUTPUT_OPERATORS.get(loss.kind)) is not None:
        axis: dict[str, Any] = {"axis": -1} if operator == "Softmax" else {}
        return graph.apply(operator, logits, **axis)
    bounded = add_activation(loss.output, logits)
    if not loss.levels:
        return bounded
    # The quantiles of each target along an axis of their own: -1 is the rest, whatever stands before it.
    groups = graph.apply("Reshape", bounded, np.array([-1, len(loss.levels)]))
    ordered = graph.apply("TopK", groups, np.array([len(loss.levels)]), more=1, largest=0)
    return graph.apply("Reshape", ordered, bounded.apply("Shape"))


def describe(model: Model) -> dict[str, str]:
    """Return the file's metadata on inputs and outputs, as JSON values."""
    values: dict[str, Any] = {"task": model.task}
    if model.classes:
        values["classes"] = list(model.classes)
    else:
        values["outputs"] = list(model.output_names)
    if model.raw_columns is None:
        values |= {"input_shape": list(model.input_shape), "input_scale": model.input_scale}
    else:
        values["numbers"] = [column.name for column in model.raw_columns.numbers]
        values |= {"dates": [column.name for column in model.raw_columns.dates]} if model.raw_columns.dates else {}
        values["categories"] = {column.name: list(column.categories) for column in model.raw_columns.categories}
    return {f"xpmlp.{name}": json.dumps(value) for name, value in values.items()}
