"""The source text of an exported Python file, for `string.Template`."""

FILE = '''$docstring

import argparse
import base64
import csv
${more_imports}import sys

import numpy as np

$constants


def read_layers():
    """Return weight and bias of each layer, from the text at the end of this file."""
    values = np.frombuffer(base64.b64decode(WEIGHTS), np.dtype(DTYPE).newbyteorder("<")).astype(DTYPE)
    shapes = [(*MEMBERS, rows, n) for inputs, n in zip(LAYER_SIZES[:-1], LAYER_SIZES[1:]) for rows in (inputs, 1)]
    parts = np.split(values, np.cumsum([np.prod(shape) for shape in shapes]))
    arrays = [part.reshape(shape) for part, shape in zip(parts, shapes)]
    return list(zip(arrays[::2], arrays[1::2]))


${functions}def compute(x):
    """Return the network's outputs for rows of prepared values."""
    for activation, (weight, bias) in zip([$activations], LAYERS[:-1]):
        x = activation(np, x @ weight + bias)
    weight, bias = LAYERS[-1]
    z = x @ weight + bias
    return $output


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
    """Return the rows of a table encoded: numbers filled and scaled, categories one-hot$dates_too.

    `table` maps column names to values, such as a dictionary of lists or a data frame.
    """
    absent = [column["name"] for column in COLUMNS if column["name"] not in table]
    if absent:
        raise ValueError(f"columns are missing: {', '.join(absent)}")
    x = np.concatenate([encode(column, table[column["name"]]) for column in COLUMNS], axis=1)
    if not np.isfinite(x).all():
        raise ValueError("a value is infinite, or too large to compute with")
    return x.astype(DTYPE)


def encode(column, cells):
    """Return the inputs that a column becomes, a row for each cell."""
    values = [read_cell(cell, column) for cell in cells]
    missing = [value is None for value in values]
    if any(missing) and "fill" not in column:
        raise ValueError(f"row {missing.index(True) + 1}, column {column['name']!r}: the value is missing")
    values = [column["fill"] if value is None else value for value in values]
    if column["kind"] == "category":
        codes = {text: code for code, text in enumerate(column["categories"])}
        other = codes.get(column.get("infrequent"), -1)  # a category not seen in training may be all zeros
        found = np.array([codes.get(text, other) for text in values], int)
        return (found[:, None] == np.arange(len(codes))).astype(np.float32)
    numbers = np.array(values, float)
    $scaled
    if column.get("indicator"):
        inputs.append(missing)
    return np.array(inputs, np.float32).T


def read_cell(cell, column):
    """Return the value in a cell; None if there is none, or if WRONG_IS_MISSING and it is not of the column's kind."""
    if is_missing(cell, column):
        return None
    try:
        value = READERS[column["kind"]](cell, column)
    except ValueError as error:
        if WRONG_IS_MISSING:
            return None
        raise ValueError(f"column {column['name']!r}: {cell!r} is not a {column['kind']}") from error
    return None if WRONG_IS_MISSING and value in (np.inf, -np.inf) else value


def is_missing(cell, column):
    """Return whether a cell has no value."""
    if not isinstance(cell, str):
        return cell is None or bool(cell != cell)
    text = cell.strip()
    return text in MISSING or (column["kind"] != "category" and text.lower() in MISSING_NUMBERS)


def as_number(cell, column):
    """Return a cell as a number, true as 1 and false as 0, a duration in seconds."""
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if hasattr(cell, "total_seconds"):
        return cell.total_seconds()
    if "format" in column and isinstance(cell, str):
        return decorated_number(cell, *column["format"])
    return float(TRUTHS.get(str(cell).strip().lower(), cell))


def decorated_number(text, decimal, unit, magnitudes):
    """Return the number in text such as "€1,234", "45 %" or, with magnitudes, "1.2 M"."""
    text = text.replace(unit, "").replace("\\N{MINUS SIGN}", "-").strip()
    text = "-" + text.strip("( )") if text.startswith("(") else text
    if (start := text.rstrip(" -\\N{EN DASH}\\N{EM DASH}")) != text:  # 1.234,50- or 12,-
        text = start if start[-1:] in ",." else "-" + start
    for between in " '\\u2019_\\xa0\\u202f" + ",.".replace(decimal, ""):
        text = text.replace(between, "")
    word = text.lower().lstrip("+-.,0123456789")
    factor = magnitudes.get(word)
    text = text if factor is None else text[: -len(word)]
    return float(text.replace(decimal, ".")) * (factor or 1.0)


def as_text(cell, column):
    """Return a cell in the spelling of the categories: 3.0 as 3, True as true."""
    text = str(cell).strip()
    if text in column["categories"]:
        return text
    if isinstance(cell, (bool, np.bool_)):
        return text.lower()
    try:
        return str(int(float(text))) if float(text).is_integer() else text
    except ValueError:
        return text
$dates

TRUTHS = {"true": 1, "yes": 1, "false": 0, "no": 0}
READERS = {"number": as_number, "boolean": as_number, "category": as_text$date_reader}
'''

SCALED = 'inputs = [(numbers - column.get("offset", 0.0)) / column.get("scale", 1.0)]'
SCALED_PARTS = """parts = column.get("parts", [("elapsed", column.get("offset", 0.0), column.get("scale", 1.0))])
    inputs = [(date_part(numbers, part) - offset) / scale for part, offset, scale in parts]"""

DATES = '''

def as_days(cell, column):
    """Return a date, a time or a timestamp, or text that holds one, as days since 1970."""
    cell = cell.astype("datetime64[us]").item() if isinstance(cell, np.datetime64) else cell
    if isinstance(cell, (str, int, float, np.number)):
        text = cell.strip() if isinstance(cell, str) else str(int(cell))
        cell = parse_date(text, column.get("format", "%Y-%m-%d"))
        if cell is None:
            raise ValueError(f"{text!r} is not a date")
    elif isinstance(cell, datetime.time):
        cell = datetime.datetime.combine(datetime.date(1970, 1, 1), cell)
    elif not isinstance(cell, datetime.datetime):
        cell = datetime.datetime.combine(cell, datetime.time())
    if cell.tzinfo is not None:
        cell = cell.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return (cell - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)


def parse_date(text, form):
    """Return text as a date, by its format or as ISO 8601; None if it is neither."""
    if "%z" in form:
        text = re.sub(r"\\s?(Z|UTC|GMT)\\Z", "+0000", text)
    if "%y" not in form.lower():  # times
        text, form = f"1970-01-01 {text}", f"%Y-%m-%d {form}"
    for month in ("%B", "%b"):
        for fraction in (".%f", ""):
            try:
                return datetime.datetime.strptime(text, form.replace("%.f", fraction).replace("%B", month))
            except ValueError:
                pass
    try:
        return datetime.datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return None


def date_part(days, part):
    """Return a part of days since 1970."""
    if part == "elapsed":
        return days
    whole = np.floor(days)
    if part == "hour":
        return (days - whole) * 24.0
    if part == "weekday":
        return np.mod(whole + 3.0, 7.0) + 1.0  # 1970 began on a Thursday
    date = whole.astype("datetime64[D]")
    month = date.astype("datetime64[M]")
    if part == "year":
        return date.astype("datetime64[Y]").astype(int) + 1970
    return month.astype(int) % 12 + 1 if part == "month" else (date - month).astype(int) + 1
'''

CLASSES = '''
def predict_probabilities(samples):
    """Return the probability of each class, shape (rows, classes), in the order of CLASSES."""
    $probabilities


def predict(samples):
    """Return the most probable class of each sample."""
    return choose(predict_probabilities(samples))


def choose(probabilities):
    """Return the most probable class of each row."""
    return $classes[np.argmax(probabilities, axis=1)]


def predict_rows(samples):
    """Return the names of the columns to write, and a row for each sample."""
    probabilities = predict_probabilities(samples)
    rows = ([label, *row] for label, row in zip(choose(probabilities).tolist(), probabilities.tolist()))
    return ["prediction", *(f"probability_{label}" for label in CLASSES)], rows
'''

PREDICT = {
    "multiclass": CLASSES.replace("$probabilities", "return compute(prepare(samples))"),
    "binary": CLASSES.replace(
        "$probabilities",
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
    """Read the columns of a CSV file."""
    with open(path, newline="", encoding=ENCODING) as file:
        lines = [line.lstrip(" ") for line in file if not (COMMENT and line.startswith(COMMENT))]
    if HEADER and lines:  # the line with the most names; titles may stand before it
        found = [sum(column["name"] in line for column in COLUMNS) for line in lines[:100]]
        lines = lines[found.index(max(found)) :]
    first = lines[0] if lines else ""
    separator = SEPARATOR if SEPARATOR in first else max(",;\\t|", key=first.count)
    rows = [row for row in csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\\t") if row]
    names = [name.strip() for name in rows.pop(0)] if HEADER and rows else []
    if not rows:
        raise ValueError("the file has no rows")
    names = names or [f"column_{number}" for number in range(1, len(rows[0]) + 1)]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise ValueError(f"row {number} has {len(row)} cells, but there are {len(names)} columns")
    return {name: list(cells) for name, *cells in zip(names, *rows)}
'''
