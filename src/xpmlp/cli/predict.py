"""``xpmlp predict``: predictions of a saved model for pictures and tables."""

import csv
import functools
import io
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from jaxtyping import Bool, Float32, Num
from rich.table import Table

from xpmlp.backends import load_backend
from xpmlp.datasets.dataset import counted, joined, listing
from xpmlp.datasets.idx import ELEMENT_TYPES, GZIP_MAGIC
from xpmlp.datasets.idx_folder import FILE_NAME, open_images, stores_images_transposed
from xpmlp.datasets.load import refuse_tables_and_runs
from xpmlp.datasets.picture_folder import is_picture, is_run, walk
from xpmlp.datasets.scaling import scaled
from xpmlp.datasets.tables.options import TableOptions
from xpmlp.errors import DataError, SettingsError
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model
from xpmlp.model.picture_file import read_picture
from xpmlp.plots.inputs import draw_inputs
from xpmlp.training import Prediction
from xpmlp.training import predict as predict_samples
from xpmlp.training.evaluation_rows import check_shape, find_rows, unusual_scale
from xpmlp.training.inputs import LARGEST_SCALED, is_named, named_pictures, read_marks
from xpmlp.training.prediction import STRANGE_FRACTION, unfamiliar
from xpmlp.whole_files import write_whole

from . import options
from .console import describe_prediction, make_console, make_table, print_error, print_notes, print_rows
from .options import flag, option
from .predict_table import FORMATS, are_tables, predict_table, to_json

PICTURE_FORMATS = (".csv", ".json")
MOST_NAMED = 5  # pictures in a note
# The values of white in images of the usual kinds.
WHITES = (1.0, 16.0, 255.0, 65535.0, 2.0**31 - 1)


class Sample(NamedTuple):
    """Where a sample is: a file, and the row or the mark in it, from 0, if the file holds several."""

    path: Path
    row: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.row is None else f"{self.path}[{self.row}]"


@options.grouped(table=options.READING_OPTIONS, compute=options.STREAMING_OPTIONS)
def predict(
    model: options.ModelPath,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Pictures of any size, photos or dark and light ink; folders of pictures; IDX files; a table; or the "
            "name of a dataset, such as digits, for its test rows.",
        ),
    ],
    as_json: Annotated[bool, flag("--json", "Print a JSON list instead, with the probability of every class.")] = False,
    output: Annotated[
        Path | None,
        option(
            "FILE",
            "Write the predictions to a .csv or .json file instead; for a table, the whole table with its "
            "predictions, also as .parquet or .arrow.",
            None,
            "--output",
            "-o",
        ),
    ] = None,
    force: Annotated[bool, flag("--force", "Replace files that exist.")] = False,
    single: Annotated[bool, flag("--single", "Read each picture as one mark, even if it shows several.")] = False,
    show: Annotated[Path | None, option("FILE.png", "Draw each picture beside what the network sees of it.")] = None,
    table: Any = None,
    compute: Any = None,
) -> None:
    """Classify pictures with MODEL, or predict each row of a table."""
    is_table = are_tables(inputs)
    options.check_output(output, FORMATS if is_table else PICTURE_FORMATS, force=force)
    options.check_output(show, (".png",), force=force)
    backend, memory = load_backend(compute["backend"], compute["device"]), compute["memory"]
    trained = load_model(model)
    given = options.collect_table_options(table)
    if is_table and (pictures := named_pictures(trained, inputs[0], TableOptions.recorded(trained.training, given))):
        inputs, is_table, single = pictures, False, True
        options.check_output(output, PICTURE_FORMATS, force=force)
    if is_table:
        if show is not None:
            raise SettingsError(f"--show: {inputs[0]} is a table, and only pictures can be shown. Leave it out.")
        predict_table(trained, inputs[0], backend, given, output=output, as_json=as_json, memory=memory)
        return
    samples, x, failures = read_inputs(inputs, trained, single=single)
    if samples:
        prediction = predict_samples(trained, x, backend, prepared=True)
        print_notes(*notes(samples, prediction, unfamiliar(trained, x, backend)))
        if output is not None:
            is_csv = output.suffix.lower() == ".csv"
            text = to_csv(samples, prediction) if is_csv else to_json(trained, samples, prediction)
            # A file name that is not Unicode is written as its bytes.
            write_whole(output, text.encode(errors="surrogateescape"))
            make_console().print(f"{counted(len(samples), 'prediction')} written to {output}")
        elif as_json:
            typer.echo(to_json(trained, samples, prediction), nl=False)
        else:
            print_rows(len(samples), functools.partial(tables_of, samples, prediction))
        if show is not None:
            images = x.reshape(-1, *trained.input_shape)
            names = [str(sample.path) for sample in samples]
            write_whole(show, draw_inputs(names, open_picture, images, prediction.labels))
            print_notes(f"the network's inputs are shown in {show}")
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(1)


def open_picture(name: str) -> Any:
    """Return a picture to show; None for the rows of an IDX file or a named dataset."""
    return None if is_idx(Path(name)) or is_named(Path(name)) else read_picture(Path(name))


def read_inputs(
    inputs: list[Path], model: Model, *, single: bool
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
                if model.raw_columns is not None or is_run(path):
                    refuse_tables_and_runs(path)
                waiting += list_folder(path)[::-1]
            else:
                block, places = read_samples(path, model, single=single)
                blocks.append(block)
                samples += places
        except DataError as error:
            failures.append(str(error))
    return samples, np.concatenate(blocks), failures


def list_folder(path: Path) -> list[Path]:
    """Return the files in a folder and the folders in it, without hidden ones, and of some pictures only these."""
    files = list(walk(path))
    if not files:
        raise DataError(f"{path}: holds no files. Give pictures, a folder of pictures, or an IDX file.")
    pictures = list(filter(is_picture, files))
    if pictures and (others := [str(file.relative_to(path)) for file in files if not is_picture(file)]):
        print_notes(f"{path}: left out what are no pictures: {listing(others, most=MOST_NAMED)}")
    return pictures or files


def read_samples(
    path: Path, model: Model, *, single: bool
) -> tuple[Float32[np.ndarray, "rows features"], list[Sample]]:
    """Read the marks in a picture, an IDX file, or the test rows of a named dataset, as the model's inputs."""
    if is_named(path):
        x = find_rows(model, str(path)).split.x
        return x, [Sample(path, row) for row in range(len(x))]
    if is_idx(path):
        images = open_images(path).read()
        name = FILE_NAME.fullmatch(path.name)
        # The training images of such a file were transposed, too.
        if images.ndim >= 3 and name is not None and stores_images_transposed(name["prefix"] or ""):
            images = images.swapaxes(1, 2)
        check_shape(model, images.shape[1:], str(path))
        return scaled_as_in_training(images, model, path), [Sample(path, row) for row in range(len(images))]
    x = read_marks(model, path, single=single)
    return x, [Sample(path)] if len(x) == 1 else [Sample(path, mark) for mark in range(len(x))]


def scaled_as_in_training(
    images: Num[np.ndarray, "rows *shape"], model: Model, path: Path
) -> Float32[np.ndarray, "_ _"]:
    """Return images scaled as the model's were, also if their values have another range; or refuse them."""
    x = scaled(images, model.input_scale, what=str(path))
    largest = float(max(x.max(), -x.min())) * model.input_scale if x.size else 0.0
    if largest == 0.0 or 0.1 <= largest / model.input_scale <= LARGEST_SCALED:
        return x
    white = next((white for white in WHITES if largest <= white), math.inf)
    if largest >= white / 2:
        print_notes(
            f"{path}: its values are up to {largest:g}, those of the model's training images were up to "
            f"{model.input_scale:g}; they are divided by {white:g} instead"
        )
        return scaled(images, white, what=str(path))
    if images.dtype == np.uint8:
        print_notes(*unusual_scale(x, model, what=str(path)))
        return x
    raise DataError(
        f"{path}: its largest value is {largest:g}, but the model was trained on values up to {model.input_scale:g}. "
        f"Multiply them by {model.input_scale / largest:.3g}, or by what brings white there."
    )


def is_idx(path: Path) -> bool:
    """Return whether a file is an IDX file, plain or gzipped, by its first bytes or, if damaged, by its name."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError:
        return False  # opening it as a picture reports the error
    is_plain = len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in ELEMENT_TYPES and magic[3] > 0
    return is_plain or magic[:2] == GZIP_MAGIC or FILE_NAME.fullmatch(path.name) is not None


def notes(samples: list[Sample], prediction: Prediction, unknown: Bool[np.ndarray, " rows"]) -> Iterator[str]:
    """Yield notes on pictures that show several marks, or something unlike all that the model was trained on."""
    rows = zip(samples, prediction.labels.tolist(), unknown.tolist(), strict=True)
    strange: list[str] = []
    for path, group in itertools.groupby(rows, key=lambda row: row[0].path):
        marks = list(group)
        count = sum(is_strange for _, _, is_strange in marks)
        if is_idx(path) or is_named(path):
            if count > 4 * STRANGE_FRACTION * len(marks):  # a few are in any data
                yield f"{path}: {count:,} of {len(marks):,} images are unlike those of the model's training"
            continue
        if len(marks) > 1:
            labels = " ".join(str(label) for _, label, _ in marks)
            yield f"{path}: shows {len(marks)} marks, from left to right: {labels}. With --single they are one."
        strange += [str(sample) for sample, _, is_strange in marks if is_strange]
    if strange:
        are, labels = ("is", "the label means") if len(strange) == 1 else ("are", "the labels mean")
        named = joined(strange, most=MOST_NAMED)
        yield f"{named}: {are} unlike anything that the model was trained on, so {labels} little"


def to_csv(samples: list[Sample], prediction: Prediction) -> str:
    """Return a header and a line for each sample."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names, cells = in_columns(prediction)
    writer.writerow(["input", "row", *names])
    writer.writerows([sample.path, sample.row, *row] for sample, row in zip(samples, cells, strict=True))
    return text.getvalue()


def in_columns(prediction: Prediction, *, percent: bool = False) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns with the predictions, and their rows."""
    if not prediction.probabilities.shape[1]:
        return ["prediction"], [
            [" ".join(describe_prediction(value) for value in np.ravel(row))] for row in prediction.labels
        ]
    confidence = prediction.probabilities.max(axis=1).tolist()
    shown = [f"{100 * probability:.2f} %" if percent else f"{probability:.6f}" for probability in confidence]
    return ["label", "probability"], list(map(list, zip(map(str, prediction.labels), shown, strict=True)))


def tables_of(samples: list[Sample], prediction: Prediction, shown: int) -> Iterator[Table]:
    """Yield a table with a row for each of the first samples."""
    names, cells = in_columns(prediction, percent=True)
    table = make_table("", "input", *names)
    for sample, row in zip(samples[:shown], cells, strict=False):
        table.add_row(str(sample), *row)
    yield table
