"""``xpmlp export``: a saved model for use without this package: a page, a graph, or a Python file."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from xpmlp.datasets.memory import format_bytes
from xpmlp.datasets.tables.loading import rows_to_predict
from xpmlp.datasets.tables.table import Table, import_polars
from xpmlp.errors import SettingsError, XpmlpError
from xpmlp.export import to_onnx, to_script
from xpmlp.model import Model, TableSchema, load_model
from xpmlp.model.model_file import find_model_file
from xpmlp.optional_imports import import_optional
from xpmlp.page import to_page
from xpmlp.training import predict
from xpmlp.training.evaluation_rows import find_recorded_rows
from xpmlp.whole_files import write_whole

from . import options
from .console import make_console, print_notes
from .page_content import content_of_run, read_run

KINDS = (".html", ".onnx", ".py")
SAMPLES = 256
MICROSECONDS_A_DAY = 86_400e6
LARGEST_DIFFERENCE = 1e-3  # between computations in float32 in different order, relative to the largest value


def export(
    model: options.ModelPath,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A .html file that shows the network at work in any browser; a .onnx file, for ONNX Runtime in any "
            "language; or a .py file that needs only NumPy.",
        ),
    ],
    small: Annotated[
        bool, options.flag("--small", "Store the weights of a .html file as float16, for half its size.")
    ] = False,
    data_dir: options.DataDirectory = None,
    force: options.ForceFile = False,
) -> None:
    """Write MODEL as a page to look at, as an ONNX graph, or as a Python file.

    The page works offline and sends nothing: draw a digit, change a value, and watch the network. The other two take
    raw values, such as pixels of 0 to 255, and scale them. Before they are written, they are run on random samples and
    compared with [bold]xpmlp predict[/bold].
    """
    options.check_output(output, KINDS, force=force)
    file = find_model_file(model)
    trained = load_model(file)
    if output.suffix.lower() == ".html":
        write_whole(output, page_of(file, trained, data_dir, small=small))
        make_console().print(f"written to {output}: {format_bytes(output.stat().st_size)}")
        return
    if small:
        raise SettingsError("--small: is for .html files. Leave it out.")
    if output.suffix.lower() == ".onnx":
        content = to_onnx(trained)
        run = run_onnx if importlib.util.find_spec("onnxruntime") is not None else None
    else:
        content, run = to_script(trained, output.stem).encode(), run_script
    difference = None if run is None else largest_difference(trained, content, run)
    if difference is not None and not difference <= LARGEST_DIFFERENCE:  # NaN is refused, too
        raise XpmlpError(
            f"{output}: not written, because its predictions differ from the model's by {difference:.1g}. This is a "
            "bug in xpmlp: please report it with the model."
        )
    write_whole(output, content)
    agrees = "" if difference is None else f"; agrees with predict to {max(difference, 1e-16):.0e} on {SAMPLES} samples"
    make_console().print(f"written to {output}: {format_bytes(len(content))}{agrees}")
    if difference is None:
        print_notes("onnxruntime is not installed, so the graph was checked but not run. Run: pip install onnxruntime")


def page_of(file: Path, model: Model, data_dir: Path | None, *, small: bool) -> bytes:
    """Return the page of a model, with the test rows of its data and the run's files beside it, if found."""
    rows = training = None
    try:
        found = find_recorded_rows(model, data_dir)
        rows, training = found.split, found.load_train and found.load_train()
    except XpmlpError as error:
        print_notes(f"without examples and scores: {error}")
    content = content_of_run(model, rows, training, *read_run(file.parent))
    try:
        return to_page(model, content, small=small)
    except XpmlpError as error:
        raise XpmlpError(f"{file}: {error}") from error


def largest_difference(model: Model, content: bytes, run: Callable[[Model, bytes, Any], Any]) -> float:
    """Return the largest difference between an export's predictions and the model's on random samples.

    It is relative to the largest prediction if that is above 1.
    """
    columns = model.raw_columns
    if columns is None:
        random, shape = np.random.default_rng(0), (SAMPLES, *model.input_shape)
        is_scaled = model.input_scale != 1.0  # from whole numbers
        raw: Any = np.floor(random.random(shape) * model.input_scale) if is_scaled else random.standard_normal(shape)
        dtype = np.float32 if model.input_scale != 1.0 else model.layers[0].weight.dtype
        x = (raw.reshape(SAMPLES, -1) / model.input_scale).astype(dtype)
    else:
        raw = random_table(columns)
        x = rows_to_predict(Table.of("samples", import_polars().DataFrame(raw)), columns).x
    prediction = predict(model, x, prepared=True)
    expected = prediction.labels if model.task == "regression" else prediction.probabilities
    expected = expected.reshape(SAMPLES, -1).astype(np.float64)
    predicted = run(model, content, raw).reshape(SAMPLES, -1).astype(np.float64)
    return float(np.abs(predicted - expected).max() / max(1.0, np.abs(expected).max()))


def run_onnx(model: Model, content: bytes, raw: Any) -> Any:
    """Return a graph's predictions for raw values."""
    onnxruntime = import_optional("onnxruntime", extra="onnx", purpose="Running an ONNX graph")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    columns = model.raw_columns
    feeds: dict[str, Any] = {}
    if columns is None:
        dtype = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
        feeds["input"] = raw.astype(dtype)
    else:
        if columns.numbers:
            days = {column.name: raw[column.name].astype(np.int64) / MICROSECONDS_A_DAY for column in columns.dates}
            values = [days.get(column.name, raw[column.name]) for column in columns.numbers]
            feeds["numbers" if columns.categories else "input"] = np.array(values, np.float64).T
        if columns.categories:
            feeds["categories"] = np.array([raw[column.name] for column in columns.categories], object).T
    (predicted,) = session.run(["prediction" if model.task == "regression" else "probabilities"], feeds)
    return predicted


def run_script(model: Model, content: bytes, raw: Any) -> Any:
    """Return a Python file's predictions for raw values."""
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(compile(content, "exported", "exec"), namespace)
    return namespace["predict" if model.task == "regression" else "predict_probabilities"](raw)


def random_table(columns: TableSchema) -> dict[str, Any]:
    """Return columns of random raw values in the model's range."""
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {}
    for column in columns.numbers:
        if column.kind == "date":
            days = (column.latest or 0.0) - 1000.0 * rng.random(SAMPLES)
            table[column.name] = (days * MICROSECONDS_A_DAY).astype("datetime64[us]")
        elif column.kind == "boolean":
            table[column.name] = rng.integers(0, 2, SAMPLES).astype(np.float64)
        else:
            table[column.name] = column.offset + column.scale * rng.standard_normal(SAMPLES)
            table[column.name][: SAMPLES // 8 if column.indicator else 0] = np.nan
    return table | {column.name: rng.choice(column.categories, SAMPLES).tolist() for column in columns.categories}
