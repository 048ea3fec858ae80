"""``xpmlp predict``: predictions of a saved model for pictures and tables."""

import csv
import io
import math
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from jaxtyping import Float32

from xpmlp.backends import load_backend
from xpmlp.datasets.idx import ELEMENT_TYPES, GZIP_MAGIC
from xpmlp.datasets.idx_folder import FILE_NAME, read_images, stores_images_transposed
from xpmlp.datasets.scaling import scaled
from xpmlp.errors import DataError
from xpmlp.model.image_preprocessor import prepare_image
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model
from xpmlp.training import Prediction
from xpmlp.training import predict as predict_samples
from xpmlp.whole_files import write_whole

from .console import make_console, make_table, print_error, writes_to_terminal
from .evaluation_data import check_shape, note_unusual_scale
from .options import (
    BackendName,
    CommandContext,
    DeviceName,
    ModelPath,
    Threads,
    check_output,
    collect_table_options,
    find_model_file,
    with_reading_options,
)
from .predict_table import FORMATS, ROWS_SHOWN, are_tables, describe_count, predict_table, to_json


class Sample(NamedTuple):
    """Where a sample is: a file, and the row in it if the file holds several."""

    path: Path
    row: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.row is None else f"{self.path}[{self.row}]"


@with_reading_options
def predict(
    context: CommandContext,
    model: ModelPath,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Pictures of any size and color, dark on light or light on dark; folders of pictures; IDX files; or "
            "one table.",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list instead, with the probability of every class.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the predictions to a .csv or .json file instead; for a table, the whole table with its "
            "predictions, also as .parquet or .arrow.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace that file if it exists.")] = False,
    table: Any = None,
    backend: BackendName = "numpy",
    device: DeviceName = None,
    threads: Threads = None,
) -> None:
    """Classify pictures with MODEL, or predict each row of a table."""
    is_table = are_tables(inputs)
    if output is not None:
        check_output(output, FORMATS if is_table else (".csv", ".json"), force=force)
    compute = load_backend(backend, device)
    trained = load_model(find_model_file(model))
    if is_table:
        given = collect_table_options(context.params)
        predict_table(trained, inputs[0], compute, given, output=output, as_json=as_json)
        return
    samples, x, failures = read_inputs(inputs, trained)
    if samples:
        prediction = predict_samples(trained, x, compute, prepared=True)
        if output is not None:
            is_csv = output.suffix.lower() == ".csv"
            text = to_csv(samples, prediction) if is_csv else to_json(trained, samples, prediction)
            # A file name that is not Unicode is written as its bytes.
            write_whole(output, text.encode(errors="surrogateescape"))
            make_console().print(f"{describe_count(len(samples))} written to {output}")
        elif as_json:
            typer.echo(to_json(trained, samples, prediction), nl=False)
        else:
            print_table(samples, prediction)
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(1)


def read_inputs(
    inputs: list[Path], model: Model
) -> tuple[list[Sample], Float32[np.ndarray, "rows features"], list[str]]:
    """Return where each readable sample is, the samples, and what is wrong with the other inputs."""
    samples: list[Sample] = []
    blocks = [np.empty((0, math.prod(model.input_shape)), np.float32)]
    failures = []
    waiting = inputs[::-1]
    while waiting:
        path = waiting.pop()
        try:
            if path.is_dir():
                waiting += list_folder(path)[::-1]
            else:
                block, places = read_samples(path, model)
                blocks.append(block)
                samples += places
        except DataError as error:
            failures.append(str(error))
    return samples, np.concatenate(blocks), failures


def list_folder(path: Path) -> list[Path]:
    """Return the files in a folder in the order of their names, without hidden ones."""
    try:
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}). Check the folder's permissions."
        ) from error
    if not files:
        raise DataError(f"{path}: holds no files. Give pictures, a folder of pictures, or an IDX file.")
    return files


def read_samples(path: Path, model: Model) -> tuple[Float32[np.ndarray, "rows features"], list[Sample]]:
    """Read a picture or an IDX file as the model's inputs."""
    if is_idx(path):
        images = read_images(path)
        name = FILE_NAME.fullmatch(path.name)
        # The training images of such a file were transposed, too.
        if images.ndim >= 3 and name is not None and stores_images_transposed(name["prefix"] or ""):
            images = images.swapaxes(1, 2)
        check_shape(model, images.shape[1:], str(path))
        x = scaled(images, model.input_scale, what=str(path))
        note_unusual_scale(x, model, what=str(path))
        return x, [Sample(path, row) for row in range(len(images))]
    if model.image_preprocessor is None:
        raise DataError(
            f"{path}: the model was not trained on images, so it cannot classify a picture. Give an IDX file whose "
            f"samples have the shape {' × '.join(map(str, model.input_shape))}."
        )
    return prepare_image(path, model.image_preprocessor)[None, :], [Sample(path)]


def is_idx(path: Path) -> bool:
    """Return whether a file is an IDX file, plain or gzipped, by its first bytes or, if damaged, by its name."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError:
        return False  # opening it as a picture reports the error
    is_plain = len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in ELEMENT_TYPES and magic[3] > 0
    return is_plain or magic[:2] == GZIP_MAGIC or FILE_NAME.fullmatch(path.name) is not None


def to_csv(samples: list[Sample], prediction: Prediction) -> str:
    """Return a header and a line for each sample."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["input", "row", "label", "probability"])
    for sample, label, probabilities in zip(samples, prediction.labels, prediction.probabilities, strict=True):
        writer.writerow([sample.path, sample.row, label, f"{probabilities.max():.6f}"])
    return text.getvalue()


def print_table(samples: list[Sample], prediction: Prediction) -> None:
    """Print a row for each sample; on a terminal, only the first ones."""
    console = make_console()
    shown = min(len(samples), ROWS_SHOWN) if writes_to_terminal(console) else len(samples)
    table = make_table("", "input", "label", "probability")
    confidence = prediction.probabilities.max(axis=1)
    for sample, label, probability in zip(samples[:shown], prediction.labels, confidence, strict=False):
        table.add_row(str(sample), str(label), f"{100 * probability:.2f} %")
    console.print(table)
    if shown < len(samples):
        console.print(f"and {len(samples) - shown:,} more; --output FILE writes all of them")
