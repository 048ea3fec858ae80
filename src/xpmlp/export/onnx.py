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

from .functions import OnnxNamespace, Symbol

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
ML = "ai.onnx.ml"  # the domain of operators on text
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
    x = add_array_input(graph, model) if model.raw_columns is None else add_table_inputs(graph, model.raw_columns)
    add_outputs(graph, model, add_layers(graph, model, x))
    sizes = "-".join(map(str, model.layer_sizes))
    return graph.to_bytes(f"{sizes} network, {model.activation}, {model.task}", describe(model))


class Graph:
    """A graph under construction. Values are known by name; a node has the name of its output."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx  # the module
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.domains = {"": OPSET}

    def add(
        self, operator: str, *inputs: str, name: str, domain: str = "", others: tuple[str, ...] = (), **attributes: Any
    ) -> str:
        """Apply an operator, and return the name of its first output; `others` names further ones."""
        if domain:
            self.domains[domain] = ML_OPSET
        outputs = (name, *others)
        node = self.onnx.helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, name: str, value: Any) -> str:
        """Store numbers, or a list of texts, and return their name."""
        if isinstance(value, list):
            # Text that UTF-8 cannot encode, such as half of a surrogate pair, is escaped.
            value = np.array([text.encode(errors="backslashreplace") for text in value], object)
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def cast(self, value: str, dtype: Any, *, name: str) -> str:
        """Convert numbers to another type."""
        return self.add("Cast", value, name=name, to=self.type_of(dtype))

    def take(self, value: str, columns: list[int], *, name: str) -> str:
        """Return some columns."""
        return self.add("Gather", value, self.constant(f"{name}.columns", np.array(columns)), name=name, axis=1)

    def scale(self, value: str, scaling: list[tuple[float, float]], *, name: str) -> str:
        """Subtract each column's offset, divide by its scale, and round to float32."""
        offset, scale = np.array(scaling, np.float64).T
        if offset.any():
            value = self.add("Sub", value, self.constant(f"{name}.offset", offset), name=f"{name}.centered")
        if (scale != 1.0).any():
            value = self.add("Div", value, self.constant(f"{name}.scale", scale), name=f"{name}.divided")
        return self.cast(value, np.float32, name=name)

    def input(self, name: str, dtype: Any, *shape: int) -> str:
        """Declare an input with that shape per row."""
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, self.type_of(dtype), ["rows", *shape]))
        return name

    def output(self, name: str, dtype: Any, *shape: int) -> None:
        """Declare an output with that shape per row."""
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, self.type_of(dtype), ["rows", *shape]))

    def type_of(self, dtype: Any) -> Any:
        """Return ONNX's number for an element type; `object` for text."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def to_bytes(self, description: str, metadata: dict[str, str]) -> bytes:
        """Check the graph, and return it as a file's content: the same bytes for the same graph."""
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


def add_array_input(graph: Graph, model: Model) -> str:
    """Add an array of raw values, and return its scaled rows."""
    dtype = model.layers[0].weight.dtype
    # Images are float32 whatever the network's precision, as in training.
    raw = dtype if len(model.input_shape) == 1 and model.input_scale == 1.0 else np.dtype(np.float32)
    x = graph.input("input", raw, *model.input_shape)
    if len(model.input_shape) > 1:
        x = graph.add("Flatten", x, name="rows_of_values", axis=1)
    if model.input_scale != 1.0:
        x = graph.add("Div", x, graph.constant("input_scale", np.asarray(model.input_scale, raw)), name="scaled")
    return x if raw == dtype else graph.cast(x, dtype, name="as_weights")


def add_table_inputs(graph: Graph, columns: TableSchema) -> str:
    """Add the columns of a table, and return their encoded rows, in the order of `encoded_order`."""
    parts = []
    if columns.numbers:
        name = "numbers" if columns.categories else "input"
        parts += add_numbers(graph, columns.numbers, graph.input(name, np.float64, len(columns.numbers)))
    if columns.categories:
        x = graph.input("categories", object, len(columns.categories))
        parts += [add_category(graph, column, x, index) for index, column in enumerate(columns.categories)]
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, name="prepared", axis=1)


def encoded_order(columns: TableSchema) -> list[int]:
    """Return the inputs of the network in the order of the graph: numbers, marks, dates, and then categories."""
    places = columns.places
    plain = [places[column.name].start for column in columns.numbers if column.kind != "date"]
    marks = [places[column.name].stop - 1 for column in columns.numbers if column.indicator]
    dates = [places[column.name].start + index for column in columns.dates for index in range(len(column.parts))]
    codes = [places[column.name].start + index for column in columns.categories for index in range(column.inputs)]
    return [*plain, *marks, *dates, *codes]


def add_numbers(graph: Graph, columns: tuple[Column, ...], x: str) -> list[str]:
    """Fill and scale numbers and the parts of dates in float64, and round them to float32, as in training."""
    fills = np.array([np.nan if column.fill is None else column.fill for column in columns], np.float64)
    marks = [index for index, column in enumerate(columns) if column.indicator]
    missing = graph.add("IsNaN", x, name="missing") if marks or not np.isnan(fills).all() else ""
    if not np.isnan(fills).all():
        x = graph.add("Where", missing, graph.constant("fill", fills), x, name="filled")
    plain = [index for index, column in enumerate(columns) if column.kind != "date"]
    parts = []
    if plain:
        numbers = x if len(plain) == len(columns) else graph.take(x, plain, name="plain_numbers")
        scaling = [(columns[index].offset, columns[index].scale) for index in plain]
        parts.append(graph.scale(numbers, scaling, name="scaled"))
    if marks:
        parts.append(graph.cast(graph.take(missing, marks, name="marked"), np.float32, name="marks"))
    for index, column in enumerate(columns):
        if column.kind == "date":
            days = graph.take(x, [index], name=f"date_{index}")
            found = add_date_parts(graph, days, [part for part, *_ in column.parts])
            both = graph.add("Concat", *found, name=f"{days}.parts", axis=1) if len(found) > 1 else found[0]
            scaling = [(offset, scale) for _, offset, scale in column.parts]
            parts.append(graph.scale(both, scaling, name=f"{days}.scaled"))
    return parts


def add_date_parts(graph: Graph, days: str, parts: list[str]) -> list[str]:
    """Return the parts of dates, computed from days since 1970 as in Howard Hinnant's "chrono-Compatible Low-Level Date
    Algorithms": years begin in March, so that the day that some lack is their last.
    """

    def do(operator: str, name: str, *inputs: str | float) -> str:
        values = [
            value if isinstance(value, str) else graph.constant(f"{days}.{name}.{place}", np.float64(value))
            for place, value in enumerate(inputs)
        ]
        return graph.add(operator, *values, name=f"{days}.{name}")

    def floor_div(name: str, a: str, b: float) -> str:
        return do("Floor", name, do("Div", f"{name}_quotient", a, b))

    def modulo(name: str, a: str, b: float) -> str:
        return do("Sub", name, a, do("Mul", f"{name}_whole", floor_div(f"{name}_count", a, b), b))

    whole = do("Floor", "whole", days)
    found = {"elapsed": days}
    if "hour" in parts:
        found["hour"] = do("Mul", "hour", do("Sub", "time", days, whole), 24.0)
    if "weekday" in parts:
        found["weekday"] = do("Add", "weekday", modulo("since_monday", do("Add", "from_monday", whole, 3.0), 7.0), 1.0)
    if set(parts) & {"year", "month", "day"}:
        shifted = do("Add", "shifted", whole, 719468.0)
        era = floor_div("era", shifted, 146097.0)
        day_of_era = modulo("day_of_era", shifted, 146097.0)
        leaps = do("Sub", "leaps", floor_div("fours", day_of_era, 1460.0), floor_div("hundreds", day_of_era, 36524.0))
        leaps = do("Add", "all_leaps", leaps, floor_div("four_hundreds", day_of_era, 146096.0))
        year = floor_div("year_of_era", do("Sub", "without_leaps", day_of_era, leaps), 365.0)
        before = do("Sub", "leaps_before", floor_div("year_fours", year, 4.0), floor_div("year_hundreds", year, 100.0))
        before = do("Add", "days_before", do("Mul", "year_days", year, 365.0), before)
        day_of_year = do("Sub", "day_of_year", day_of_era, before)
        fifths = do("Add", "fifths", do("Mul", "five_days", day_of_year, 5.0), 2.0)
        march_month = floor_div("march_month", fifths, 153.0)
        month_days = floor_div("month_days", do("Add", "plus_2", do("Mul", "times_153", march_month, 153.0), 2.0), 5.0)
        found["day"] = do("Add", "day", do("Sub", "day_from_0", day_of_year, month_days), 1.0)
        found["month"] = do("Add", "month", modulo("month_from_0", do("Add", "shift_2", march_month, 2.0), 12.0), 1.0)
        next_year = floor_div("next_year", march_month, 10.0)
        years = do("Add", "years", year, do("Mul", "era_years", era, 400.0))
        found["year"] = do("Add", "year", years, next_year)
    return [found[part] for part in parts]


def add_category(graph: Graph, column: Column, x: str, index: int) -> str:
    """Encode a column of text one-hot: as all zeros if a category was not seen in training."""
    name, codes = f"category_{index}", {text: code for code, text in enumerate(column.categories)}
    place = graph.constant(f"{name}.place", np.array(index, np.int64))
    texts = graph.add("Gather", x, place, name=f"{name}.text", axis=1)
    encoder = codes if column.fill is None else codes | {"": codes.get("", codes[str(column.fill)])}
    keys: dict[str, Any] = {"keys_strings": list(encoder), "values_int64s": list(encoder.values())}
    default = -1 if column.infrequent is None else codes[column.infrequent]
    code = graph.add("LabelEncoder", texts, name=f"{name}.code", domain=ML, default_int64=default, **keys)
    cats = list(codes.values())
    return graph.add("OneHotEncoder", code, name=f"{name}.one_hot", domain=ML, cats_int64s=cats, zeros=1)


def add_layers(graph: Graph, model: Model, x: str) -> str:
    """Add a Gemm for each layer and the activation between them, and return the last layer's sums."""
    loss = LossName.parse(model.loss)
    # The sums are the output if no function is applied to them.
    has_function = loss.kind in OUTPUT_OPERATORS or loss.levels or loss.output != "identity"
    last = "logits" if has_function or model.members is not None else output_name(model)
    names = [*model.activations, "identity"]
    dtype = model.layers[0].weight.dtype
    if model.raw_columns is not None and dtype != np.float32:
        x = graph.cast(x, dtype, name="as_weights")
    for index, (weight, bias) in enumerate(model.layers):
        if index == 0 and model.raw_columns is not None:
            weight = weight[..., encoded_order(model.raw_columns), :]
        name, is_last = f"layers.{index}", index == len(model.layers) - 1
        sums = last if is_last else f"{name}.sums"
        if model.members is None:
            parameters = graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias[0])
            x = graph.add("Gemm", x, *parameters, name=sums)
        else:  # values have the shape (members, rows, units)
            x = graph.add("MatMul", x, graph.constant(f"{name}.weight", weight), name=f"{name}.products")
            x = graph.add("Add", x, graph.constant(f"{name}.bias", bias), name=sums)
        x = add_activation(graph, names[index], x, name=f"{name}.activations", dtype=dtype)
    return x


def add_activation(graph: Graph, activation: str, x: str, *, name: str, dtype: Any) -> str:
    """Apply an activation, as one operator if there is one."""
    if activation in ACTIVATION_OPERATORS:
        return graph.add(ACTIVATION_OPERATORS[activation], x, name=name)
    namespace = OnnxNamespace(graph, name, dtype)
    result: Symbol = ACTIVATIONS[activation].forward(namespace, Symbol(namespace, x))
    return result.name


def output_name(model: Model) -> str:
    """Return the name of the network's outputs."""
    return {"regression": "prediction", "binary": "probability"}.get(model.task, "probabilities")


def add_outputs(graph: Graph, model: Model, logits: str) -> None:
    """Add probabilities and labels, or numbers."""
    dtype, outputs = model.layers[-1].weight.dtype, model.layer_sizes[-1]
    name = output_name(model)
    if model.members is None:
        output = add_output_function(graph, LossName.parse(model.loss), logits, name=name, dtype=dtype)
    else:
        output = add_output_function(graph, LossName.parse(model.loss), logits, name=f"{name}.of_members", dtype=dtype)
        output = graph.add("ReduceMean", output, name=name, axes=[0], keepdims=0)
    if model.task in ("regression", "multilabel"):
        if model.task == "multilabel":
            graph.add("Greater", output, graph.constant("half", np.asarray(0.5, dtype)), name="label")
            graph.output("label", np.bool_, outputs)
        graph.output(output, dtype, outputs)
        return
    if model.task == "binary":
        other = graph.add("Sub", graph.constant("one", np.asarray(1.0, dtype)), output, name="probability_of_other")
        output = graph.add("Concat", other, output, name="probabilities", axis=1)
    limits = np.iinfo(np.int64)
    are_numbers = all(isinstance(label, int) and limits.min <= label <= limits.max for label in model.classes)
    classes = np.array(model.classes, np.int64) if are_numbers else [str(label) for label in model.classes]
    position = graph.add("ArgMax", output, name="position", axis=1, keepdims=0)
    graph.add("Gather", graph.constant("classes", classes), position, name="label", axis=0)
    graph.output("label", np.int64 if are_numbers else object)
    graph.output(output, dtype, len(model.classes))


def add_output_function(graph: Graph, loss: LossName, logits: str, *, name: str, dtype: Any) -> str:
    """Apply the function that makes predictions of the logits."""
    if (operator := OUTPUT_OPERATORS.get(loss.kind)) is not None:
        axis: dict[str, Any] = {"axis": -1} if operator == "Softmax" else {}
        return graph.add(operator, logits, name=name, **axis)
    bounded = add_activation(graph, loss.output, logits, name="bounded", dtype=dtype)
    if not loss.levels:
        return graph.add("Identity", bounded, name=name) if bounded != logits else logits
    # The quantiles of each target along an axis of their own: -1 is the rest, whatever stands before it.
    before = graph.add("Shape", bounded, name="quantiles.shape")
    shape = graph.constant("quantiles.groups", np.array([-1, len(loss.levels)], np.int64))
    groups = graph.add("Reshape", bounded, shape, name="quantiles.of_targets")
    count = graph.constant("quantiles.count", np.array([len(loss.levels)], np.int64))
    ordered = graph.add("TopK", groups, count, name="quantiles.ordered", others=("quantiles.order",), largest=0)
    return graph.add("Reshape", ordered, before, name=name)


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
