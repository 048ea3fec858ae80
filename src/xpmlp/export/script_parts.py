"""The parts that an exported Python file is put together from: source text, to be read there."""

NETWORK = '''
def read_layers():
    """Return weight and bias of each layer, out of the text at the end of this file."""
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
        x = ACTIVATION
    weight, bias = LAYERS[-1]
    z = x @ weight + bias
    OUTPUT
'''

ACTIVATIONS = {
    "identity": "z",
    "logistic": "0.5 * np.tanh(0.5 * z) + 0.5  # 1 / (1 + exp(-z)), which no z makes overflow",
    "tanh": "np.tanh(z)",
    "relu": "np.maximum(z, 0.0)",
}

OUTPUTS = {
    "softmax_cross_entropy": """exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)""",
    "logistic_cross_entropy": """small = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, small) / (1.0 + small)  # 1 / (1 + exp(-z)), which no z makes overflow""",
    "squared_error": "return z",
    "poisson": "return np.exp(z)",
}

ARRAY_INPUT = '''
def prepare(samples):
    """Return raw values as the network sees them: scaled, a row for each sample."""
    x = np.asarray(samples)
    if x.shape == INPUT_SHAPE:
        x = x[None]
    if x.shape[1:] not in (INPUT_SHAPE, (LAYER_SIZES[0],)):
        raise ValueError(f"the samples have the shape {x.shape}, expected (rows, {', '.join(map(str, INPUT_SHAPE))})")
    x = x.reshape(len(x), LAYER_SIZES[0]).astype(RAW_DTYPE)
    return (x / INPUT_SCALE).astype(DTYPE)
'''

TABLE_INPUT = '''
def prepare(table):
    """Return the rows of a table as the network sees them: numbers filled and scaled, categories one-hot.

    `table` maps the names of columns to their values, as a dictionary of lists or a data frame does.
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
                if text in categories:  # one that was not seen in training is none of them
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
    """Tell whether a cell holds no value."""
    return cell is None or cell != cell or (isinstance(cell, str) and cell.strip() in MISSING)


def as_number(cell, name):
    """Return a cell as a number, true being 1 and false 0."""
    try:
        return float({"true": 1, "false": 0}.get(str(cell).strip().lower(), cell))
    except ValueError as error:
        raise ValueError(f"column {name!r}: {cell!r} is not a number") from error


def as_text(cell, categories):
    """Return a cell as the categories are written: 3.0 as 3, True as true."""
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

CLASSES_OF_ONE = '''
def predict_probabilities(samples):
    """Return the probability of each class, shape (rows, classes), in the order of CLASSES."""
    PROBABILITIES


def predict(samples):
    """Return the likeliest class of each sample."""
    return labels_of(predict_probabilities(samples))


def labels_of(probabilities):
    """Return the likeliest class of each row."""
    return np.array(CLASSES)[np.argmax(probabilities, axis=1)]


def answer(samples):
    """Return the names of what is known of each sample, and a row of it for each."""
    probabilities = predict_probabilities(samples)
    rows = ([label, *row] for label, row in zip(labels_of(probabilities).tolist(), probabilities.tolist()))
    return ["prediction", *(f"probability_{label}" for label in CLASSES)], rows
'''

ANSWERS = {
    "multiclass": CLASSES_OF_ONE.replace("PROBABILITIES", "return compute(prepare(samples))", 1),
    "binary": CLASSES_OF_ONE.replace(
        "PROBABILITIES",
        "of_second = compute(prepare(samples))\n    return np.concatenate([1.0 - of_second, of_second], axis=1)",
        1,
    ),
    "multilabel": '''
def predict_probabilities(samples):
    """Return the probability of each class, whatever the others, shape (rows, classes), in the order of CLASSES."""
    return compute(prepare(samples))


def predict(samples):
    """Tell of each sample and each class whether it is there."""
    return predict_probabilities(samples) > 0.5


def answer(samples):
    """Return the names of what is known of each sample, and a row of it for each."""
    probabilities = predict_probabilities(samples)
    names = [f"{what}_{label}" for what in ("prediction", "probability") for label in CLASSES]
    return names, ([*(value > 0.5 for value in row), *row] for row in probabilities.tolist())
''',
    "regression": '''
def predict(samples):
    """Return what is predicted for each sample: a number, or a row of them where there are several outputs."""
    outputs = compute(prepare(samples))
    return outputs[:, 0] if len(OUTPUT_NAMES) == 1 else outputs


def answer(samples):
    """Return the names of what is known of each sample, and a row of it for each."""
    return list(OUTPUT_NAMES), compute(prepare(samples)).tolist()
''',
}

MAIN_OF_ARRAYS = '''
def read_file(path):
    """Read an array of samples from a .npy, or from a text file of numbers, a sample in each line."""
    if path.endswith(".npy"):
        return np.load(path)
    try:
        return np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError:
        return np.loadtxt(path, delimiter=",", ndmin=2, skiprows=1)  # the first line holds names
'''

MAIN_OF_TABLES = '''
def read_file(path):
    """Read the columns of a CSV file whose first line holds their names."""
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

MAIN = '''
def main():
    """Write what is predicted for the samples of a file to standard output, as CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help=FILE_HELP)
    path = parser.parse_args().file
    try:
        names, rows = answer(read_file(path))
    except (OSError, ValueError) as error:
        parser.exit(1, f"{path}: {error}\\n")
    writer = csv.writer(sys.stdout, lineterminator="\\n")
    writer.writerow(names)
    writer.writerows(rows)
'''
