"""A model as a Python file that needs NumPy only."""

import ast
import base64
import inspect
import pprint
import textwrap
from collections.abc import Callable
from string import Template
from typing import Any

import msgspec
import numpy as np

from xpmlp.datasets import TableOptions
from xpmlp.datasets.tables.numbers import MAGNITUDES, MARKERS_AMONG_NUMBERS
from xpmlp.datasets.tables.values import markers
from xpmlp.model import Model, TableSchema
from xpmlp.model.table_schema import reading_of
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.loss_names import LossName
from xpmlp.nn.losses import LOSSES

from . import script_template as parts

WIDTH = 116


def to_script(model: Model, name: str = "network") -> str:
    """Return the source of a Python file whose predictions for raw values are those of `predict`.

    It contains the weights and needs NumPy only. It can be run on a file of samples, or imported for its ``predict``
    and ``predict_probabilities``.

    Parameters
    ----------
    name
        Of the file, without ``.py``, for the examples in it.
    """
    schema = model.raw_columns
    is_plain = len(model.input_shape) == 1 and model.input_scale == 1.0
    # NumPy would convert classes such as 1 and "a" to text.
    is_one_type = len({type(label) for label in model.classes}) == 1
    functions, activations, output = network_source(model)
    prepare = parts.ARRAY_INPUT if schema is None else table_input(schema)
    return Template(parts.FILE).substitute(
        docstring=describe(model, name),
        more_imports="import datetime\nimport re\n" if schema is not None and schema.dates else "",
        constants=constants(model),
        functions=f"{functions}\n\n\n" if functions else "",
        activations=activations,
        output=output,
        prepare=Template(prepare).safe_substitute(raw_dtype="DTYPE" if is_plain else "np.float32").strip(),
        predict=Template(parts.PREDICT[model.task])
        .substitute(classes="np.array(CLASSES)" if is_one_type else "np.array(CLASSES, object)")
        .strip(),
        read_file=(parts.READ_ARRAY if schema is None else parts.READ_TABLE).strip(),
        file_help=".npy file, or CSV of numbers, with raw values" if schema is None else "CSV table",
        weights=encode_weights(model),
    )


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


def describe(model: Model, name: str) -> str:
    """Return the file's docstring. It contains no text from the model, which could be anything."""
    outputs, classes = model.layer_sizes[-1], len(model.classes)
    does = {
        "multiclass": f"classifies into {classes} classes",
        "binary": "classifies into 2 classes",
        "multilabel": f"predicts which of {classes} classes are present",
        "regression": "predicts a number" if outputs == 1 else f"predicts {outputs} numbers",
    }[model.task]
    module = name if name.isidentifier() else "network"
    is_table = model.raw_columns is not None
    file, argument = ("table.csv", "table") if is_table else ("samples.npy", "samples")
    result = {"regression": "the number", "multilabel": "True or False per class"}.get(model.task, "the class")
    calls = f"    {module}.predict({argument})  # {result} of each row"
    if model.classes:
        calls += f"\n    {module}.predict_probabilities({argument})  # (rows, {classes}), in the order of CLASSES"
    if is_table:
        samples = "`table` is a data frame, or any other mapping from column names to values; see COLUMNS."
    else:
        flat = f" or (rows, {model.layer_sizes[0]})" if len(model.input_shape) > 1 else ""
        limits = f", 0 to {model.input_scale:g}" if model.input_scale != 1.0 else ""
        shape = ", ".join(map(str, model.input_shape))
        samples = f"`samples` is an array of shape (rows, {shape}){flat} of raw values{limits}."
    if model.members is not None:
        does = f"{does}, {model.members} times with averaged predictions"
    return Template(parts.DOCSTRING).substitute(
        sizes="-".join(map(str, model.layer_sizes)), does=does, module=module, file=file, calls=calls, samples=samples
    )


def constants(model: Model) -> str:
    """Return the file's constants, as assignments."""
    values: dict[str, Any] = {"LAYER_SIZES": model.layer_sizes, "DTYPE": str(model.layers[0].weight.dtype)}
    values |= {"MEMBERS": () if model.members is None else (model.members,)}
    values |= {"CLASSES": model.classes} if model.classes else {"OUTPUT_NAMES": model.output_names}
    schema = model.raw_columns
    if schema is None:
        values |= {"INPUT_SHAPE": model.input_shape, "INPUT_SCALE": model.input_scale}
        columns = []
    else:
        reading = reading_of(schema)
        values |= {"ENCODING": reading.encoding or "utf-8-sig", "SEPARATOR": reading.separator}
        values |= {"HEADER": reading.header, "COMMENT": reading.comment}
        values |= {"MISSING": tuple(markers(TableOptions.recorded(model.training)))}
        values |= {"MISSING_NUMBERS": tuple(MARKERS_AMONG_NUMBERS), "WRONG_IS_MISSING": schema.missing == "auto"}
        columns = [msgspec.to_builtins(column) for column in schema.columns]
        for column in columns:
            if form := reading.formats.get(column["name"]):
                column["format"] = (form.decimal, form.unit, MAGNITUDES if form.magnitudes else {})
    lines = [f"{name} = {literal(value, WIDTH - len(name) - 3)}" for name, value in values.items()]
    if columns:  # a line for each
        lines += [
            "COLUMNS = [",
            *(textwrap.indent(f"{literal(column, WIDTH - 4)},", "    ") for column in columns),
            "]",
        ]
    return "\n".join(lines)


def table_input(schema: TableSchema) -> str:
    """Return the source that prepares a table; that of dates only if there are some."""
    return Template(parts.TABLE_INPUT).substitute(
        dates_too=", dates in parts" if schema.dates else "",
        scaled=parts.SCALED_PARTS if schema.dates else parts.SCALED,
        dates=parts.DATES if schema.dates else "",
        date_reader=', "date": as_days' if schema.dates else "",
    )


def literal(value: Any, width: int = WIDTH) -> str:
    """Return a value as source; in ASCII if UTF-8 cannot encode it."""
    text = pprint.pformat(value, width=width, compact=True, sort_dicts=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ascii(value)
    return text


def encode_weights(model: Model) -> str:
    """Return weight and bias of each layer, as lines of base64 of little-endian bytes."""
    values = np.concatenate([array.ravel() for layer in model.layers for array in layer])
    text = base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()
    return "\n".join(text[start : start + WIDTH] for start in range(0, len(text), WIDTH))
