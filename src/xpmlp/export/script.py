"""A model as one Python file that needs NumPy alone."""

import base64
import pprint
from typing import Any

import numpy as np

from xpmlp.model.model import Model
from xpmlp.model.table_schema import Column

from .raw_input import raw_columns
from .script_parts import (
    ACTIVATIONS,
    ANSWERS,
    ARRAY_INPUT,
    MAIN,
    MAIN_OF_ARRAYS,
    MAIN_OF_TABLES,
    NETWORK,
    OUTPUTS,
    TABLE_INPUT,
)

WIDTH = 116
# What CSV files have in the place of a value; the same that pandas takes for missing.
MISSING = ("", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")


def to_script(model: Model, name: str = "network") -> str:
    """Return the source of a Python file that says what `predict` says, of raw values.

    It holds the weights and needs nothing but NumPy. It can be run, on a file of samples, and imported, for its
    ``predict`` and ``predict_probabilities``.

    Parameters
    ----------
    name
        What the file will be called, without ``.py``, for the examples in it.
    """
    columns = raw_columns(model)
    is_table = columns is not None
    network = NETWORK.replace("ACTIVATION", ACTIVATIONS[model.activation]).replace("OUTPUT", OUTPUTS[model.loss])
    help_of_file = "a table as CSV, with a line of names" if is_table else "a .npy, or a CSV of numbers; raw values"
    sections = [
        describe(model, name, is_table=is_table),
        "import argparse\nimport base64\nimport csv\nimport sys\n\nimport numpy as np",
        constants(model, is_table=is_table),
        network,
        TABLE_INPUT if is_table else ARRAY_INPUT.replace("RAW_DTYPE", raw_dtype(model)),
        ANSWERS[model.task].replace("np.array(CLASSES)", array_of_classes(model)),
        MAIN_OF_TABLES if is_table else MAIN_OF_ARRAYS,
        MAIN.replace("FILE_HELP", repr(help_of_file).replace("'", '"')),
        weights(model),
    ]
    head, body = sections[:3], sections[3:]
    source = "\n\n".join(part.strip("\n") for part in head) + "\n\n\n"
    source += "\n\n\n".join(part.strip("\n") for part in body) + "\n\nLAYERS = read_layers()\n"
    return source + '\nif __name__ == "__main__":\n    main()\n'


def describe(model: Model, name: str, *, is_table: bool) -> str:
    """Return the file's docstring. It holds no text out of the model, which could be anything."""
    outputs = model.layer_sizes[-1]
    does = {
        "multiclass": f"tells {len(model.classes)} classes apart",
        "binary": "tells two classes apart",
        "multilabel": f"tells which of {len(model.classes)} classes are there",
        "regression": "predicts a number" if outputs == 1 else f"predicts {outputs} numbers",
    }[model.task]
    module = name if name.isidentifier() else "network"
    file, argument = ("table.csv", "table") if is_table else ("samples.npy", "samples")
    result = {"regression": "the number", "multilabel": "yes or no for each class"}.get(model.task, "the class")
    calls = [f"    {module}.predict({argument})  # {result} of each"]
    if model.classes:
        shape = f"(rows, {len(model.classes)})"
        calls.append(f"    {module}.predict_probabilities({argument})  # {shape}, in the order of CLASSES")
    if is_table:
        what = "`table` is a data frame, or any other mapping from the names of columns to their values; see COLUMNS."
    else:
        shape = ", ".join(map(str, model.input_shape))
        what = f"`samples` is an array of shape (rows, {shape}){flat_too(model)} of raw values{value_range(model)}."
    sizes, examples = "-".join(map(str, model.layer_sizes)), "\n".join(calls)
    return f'''"""A {sizes} network that {does}, in one file that needs NumPy alone.

On the command line:

    python {module}.py {file} > predictions.csv

From Python:

    import {module}

{examples}

{what}

Exported by xpmlp.
"""'''


def flat_too(model: Model) -> str:
    """Say that samples of several axes may also come as rows."""
    return f" or (rows, {model.layer_sizes[0]})" if len(model.input_shape) > 1 else ""


def value_range(model: Model) -> str:
    """Say how large raw values are."""
    return f", 0 to {model.input_scale:g}" if model.input_scale != 1.0 else ""


def raw_dtype(model: Model) -> str:
    """Return what raw values are computed in before they are scaled, as source."""
    is_plain = len(model.input_shape) == 1 and model.input_scale == 1.0
    return "DTYPE" if is_plain else "np.float32"


def array_of_classes(model: Model) -> str:
    """Return how the labels become an array, as source: NumPy would take 1 and "a" together for texts."""
    is_one_type = len({type(label) for label in model.classes}) == 1
    return "np.array(CLASSES)" if is_one_type else "np.array(CLASSES, object)"


def constants(model: Model, *, is_table: bool) -> str:
    """Return the assignments of what the file knows."""
    values: dict[str, Any] = {"LAYER_SIZES": model.layer_sizes, "DTYPE": str(model.layers[0].weight.dtype)}
    if model.classes:
        values["CLASSES"] = model.classes
    else:
        values["OUTPUT_NAMES"] = model.output_names
    if not is_table:
        values |= {"INPUT_SHAPE": model.input_shape, "INPUT_SCALE": model.input_scale}
        return "\n".join(f"{name} = {literal(value)}" for name, value in values.items())
    assert model.table_schema is not None
    lines = [f"{name} = {literal(value)}" for name, value in values.items()]
    lines.append(f"MISSING = {literal(MISSING)}")
    lines.append("# Name and kind; what stands for a missing value; offset and scale of a number, or the categories.")
    columns = "".join(f"    {literal(column_values(column))},\n" for column in model.table_schema.columns)
    lines.append(f"COLUMNS = [\n{columns}]")
    return "\n".join(lines)


def column_values(column: Column) -> tuple[Any, ...]:
    """Return what the file knows of a column."""
    if column.kind == "category":
        return (column.name, column.kind, column.fill, column.categories)
    return (column.name, column.kind, column.fill, column.offset, column.scale)


def literal(value: Any) -> str:
    """Return a value as source; in ASCII where it holds what UTF-8 does not."""
    text = pprint.pformat(value, width=WIDTH, compact=True)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ascii(value)
    return text


def weights(model: Model) -> str:
    """Return the weights as source: weight and bias of each layer, in little-endian bytes, in base64."""
    arrays = [array.ravel() for layer in model.layers for array in layer]
    values = np.concatenate(arrays)
    text = base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()
    lines = "\n".join(text[start : start + WIDTH] for start in range(0, len(text), WIDTH))
    return f'WEIGHTS = """\n{lines}\n"""'
