"""The source text of an exported Python file, for `string.Template`."""

FILE = '''$docstring

import argparse
import base64
import csv
import sys

import numpy as np

$constants


def read_layers():
    """Return weight and bias of each layer, from the text at the end of this file."""
    values = np.frombuffer(base64.b64decode(WEIGHTS), np.dtype(DTYPE).newbyteorder("<")).astype(DTYPE)
    layers, start = [], 0
    for inputs, outputs in zip(LAYER_SIZES[:-1], LAYER_SIZES[1:]):
        middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
        layers.append((values[start:middle].reshape(inputs, outputs), values[middle:end]))
        start = end
    return layers


def compute(x):
    """Return the network's outputs for rows of prepared values."""
    for weight, bias in LAYERS[:-1]:
        z = x @ weight + bias
        x = $activation
    weight, bias = LAYERS[-1]
    z = x @ weight + bias
    $output


$prepare


$predict


$read_file


def main():
    """Write predictions for the samples in a file to standard output, as CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="$file_help")
    path = parser.parse_args().file
    try:
        names, rows = predict_rows(read_file(path))
    except (OSError, ValueError) as error:
        parser.exit(1, f"{path}: {error}\\n")
    writer = csv.writer(sys.stdout, lineterminator="\\n")
    writer.writerow(names)
    writer.writerows(rows)


WEIGHTS = """
$weights
"""

LAYERS = read_layers()

if __name__ == "__main__":
    main()
'''

DOCSTRING = '''"""A $sizes network that $does, in one file that needs NumPy only.

On the command line:

    python $module.py $file > predictions.csv

From Python:

    import $module

$calls

$samples

Exported by xpmlp.
"""'''

ACTIVATIONS = {
    "identity": "z",
    "logistic": "0.5 * np.tanh(0.5 * z) + 0.5  # 1 / (1 + exp(-z)), without overflow",
    "tanh": "np.tanh(z)",
    "relu": "np.maximum(z, 0.0)",
}

OUTPUTS = {
    "softmax_cross_entropy": """exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)""",
    "logistic_cross_entropy": """small = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, small) / (1.0 + small)  # 1 / (1 + exp(-z)), without overflow""",
    "squared_error": "return z",
    "poisson": "return np.exp(z)",
}

ARRAY_INPUT = '''
def prepare(samples):
    """Return raw values scaled, one row per sample."""
    x = np.asarray(samples)
    if x.shape == INPUT_SHAPE:
        x = x[None]
    if x.shape[1:] not in (INPUT_SHAPE, (LAYER_SIZES[0],)):
        raise ValueError(f"the samples have the shape {x.shape}, expected (rows, {', '.join(map(str, INPUT_SHAPE))})")
    x = x.reshape(len(x), LAYER_SIZES[0]).astype($raw_dtype)
    return (x / INPUT_SCALE).astype(DTYPE)
'''

TABLE_INPUT = '''
def prepare(table):
    """Return the rows of a table encoded: numbers filled and scaled, categories one-hot.

    `table` maps column names to values, such as a dictionary of lists or a data frame.
    """
    absent = [name for name, *_ in COLUMNS if name not in table]
    if absent:
        raise ValueError(f"columns are missing: {', '.join(absent)}")
    x = np.zeros((len(table[COLUMNS[0][0]]), LAYER_SIZES[0]), np.float32)
    place = 0
    for name, kind, fill, *how in COLUMNS:
        cells = [fill if is_missing(cell) else cell for cell in table[name]]
        if None in cells:
            raise ValueError(f"row {cells.index(None) + 1}, column {name!r}: the value is missing")
        if kind == "category":
            (categories,) = how
            for row, cell in enumerate(cells):
                text = as_text(cell, categories)
                if text in categories:  # a category not seen in training is all zeros
                    x[row, place + categories.index(text)] = 1.0
            place += len(categories)
        else:
            offset, scale = how
            x[:, place] = (np.array([as_number(cell, name) for cell in cells], float) - offset) / scale
            place += 1
    if not np.isfinite(x).all():
        raise ValueError("a value is infinite, or too large to compute with")
    return x.astype(DTYPE)


def is_missing(cell):
    """Return whether a cell has no value."""
    return cell is None or cell != cell or (isinstance(cell, str) and cell.strip() in MISSING)


def as_number(cell, name):
    """Return a cell as a number, true as 1 and false as 0."""
    try:
        return float({"true": 1, "false": 0}.get(str(cell).strip().lower(), cell))
    except ValueError as error:
        raise ValueError(f"column {name!r}: {cell!r} is not a number") from error


def as_text(cell, categories):
    """Return a cell in the spelling of the categories: 3.0 as 3, True as true."""
    text = str(cell).strip()
    if text in categories:
        return text
    if isinstance(cell, (bool, np.bool_)):
        return text.lower()
    try:
        return str(int(float(text))) if float(text).is_integer() else text
    except ValueError:
        return text
'''

ONE_CLASS = '''
def predict_probabilities(samples):
    """Return the probability of each class, shape (rows, classes), in the order of CLASSES."""
    PROBABILITIES


def predict(samples):
    """Return the most probable class of each sample."""
    return most_probable(predict_probabilities(samples))


def most_probable(probabilities):
    """Return the most probable class of each row."""
    return $classes[np.argmax(probabilities, axis=1)]


def predict_rows(samples):
    """Return the names of the columns to write, and a row for each sample."""
    probabilities = predict_probabilities(samples)
    rows = ([label, *row] for label, row in zip(most_probable(probabilities).tolist(), probabilities.tolist()))
    return ["prediction", *(f"probability_{label}" for label in CLASSES)], rows
'''

PREDICT = {
    "multiclass": ONE_CLASS.replace("PROBABILITIES", "return compute(prepare(samples))"),
    "binary": ONE_CLASS.replace(
        "PROBABILITIES",
        "positive = compute(prepare(samples))\n    return np.concatenate([1.0 - positive, positive], axis=1)",
    ),
    "multilabel": '''
def predict_probabilities(samples):
    """Return the probability of each class, independent of the others, shape (rows, classes), in CLASSES' order."""
    return compute(prepare(samples))


def predict(samples):
    """Return whether each class is present in each sample, shape (rows, classes)."""
    return predict_probabilities(samples) > 0.5


def predict_rows(samples):
    """Return the names of the columns to write, and a row for each sample."""
    probabilities = predict_probabilities(samples)
    names = [f"{what}_{label}" for what in ("prediction", "probability") for label in CLASSES]
    return names, ([*(value > 0.5 for value in row), *row] for row in probabilities.tolist())
''',
    "regression": '''
def predict(samples):
    """Return the predicted number of each sample, or a row of numbers if there are several outputs."""
    outputs = compute(prepare(samples))
    return outputs[:, 0] if len(OUTPUT_NAMES) == 1 else outputs


def predict_rows(samples):
    """Return the names of the columns to write, and a row for each sample."""
    return list(OUTPUT_NAMES), compute(prepare(samples)).tolist()
''',
}

READ_ARRAY = '''
def read_file(path):
    """Read an array of samples from a .npy file, or from a CSV file of numbers, one sample per line."""
    if path.endswith(".npy"):
        return np.load(path)
    try:
        return np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError:
        return np.loadtxt(path, delimiter=",", ndmin=2, skiprows=1)  # skip the header
'''

READ_TABLE = '''
def read_file(path):
    """Read the columns of a CSV file with a header."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        separator = max(",;\\t|", key=file.readline().count)
        file.seek(0)
        lines = [line for line in csv.reader(file, delimiter=separator) if line]
    if len(lines) < 2:
        raise ValueError("the file has no rows")
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(lines[0]):
            raise ValueError(f"row {number} has {len(line)} cells, but there are {len(lines[0])} columns")
    return {name.strip(): list(cells) for name, *cells in zip(*lines)}
'''
