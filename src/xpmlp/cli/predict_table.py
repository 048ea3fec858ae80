"""``xpmlp predict`` for tables: the table with a prediction for each row."""

import functools
import io
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.table import Table as ScreenTable

from xpmlp.backends import Backend
from xpmlp.datasets.dataset import counted
from xpmlp.datasets.streaming.large_table import LargeTable, find_large_table
from xpmlp.datasets.tables.loading import Rows
from xpmlp.datasets.tables.options import TableOptions
from xpmlp.datasets.tables.table import Table, import_polars
from xpmlp.datasets.tables.values import read_texts
from xpmlp.errors import DataError, SettingsError
from xpmlp.model.model import Model
from xpmlp.model.table_schema import reading_of
from xpmlp.plots import shortened
from xpmlp.training import Prediction, predict
from xpmlp.training.inputs import is_table_file, read_rows, table_inputs
from xpmlp.whole_files import write_whole

from .console import describe_prediction, make_console, make_table, print_notes, print_rows

PROBABILITIES_SHOWN = 6  # columns on a screen
LONGEST_TEXT = 60
STREAMED_FORMATS = (".csv", ".parquet")
FORMATS = (".csv", ".parquet", ".arrow", ".feather", ".json")


def are_tables(inputs: list[Path]) -> bool:
    """Return whether the inputs are a table; refuse one among several inputs, as each has columns of its own."""
    tables = list(filter(is_table_file, inputs))
    if tables and len(inputs) > 1:
        raise SettingsError(f"{tables[0]}: is a table, and a table must be the only input. Give one at a time.")
    return bool(tables)


def predict_table(
    model: Model,
    path: Path,
    backend: Backend,
    given: TableOptions,
    *,
    output: Path | None,
    as_json: bool,
    memory: str | None = None,
) -> None:
    """Predict each row of a table, and write or print the table with the predictions."""
    large = find_large_table(path, memory)
    if large is not None:
        predict_pieces(model, large, backend, TableOptions.recorded(model.training, given), output)
        return
    table = read_rows(model, path, TableOptions.recorded(model.training, given))
    rows = table_inputs(model, table)
    print_notes(*rows.notes)
    if not len(rows.x):
        raise DataError(f"{table.name}: no row has all the values that the model needs.")
    prediction = predict(model, rows.x, backend, prepared=True)
    if as_json:
        places = [(path, row) for row in np.flatnonzero(rows.usable).tolist()]
        typer.echo(to_json(model, places, prediction), nl=False)
        return
    added = prediction_columns(model, table, rows, prediction)
    if output is None:
        print_rows(table.rows, functools.partial(tables_of, model, table, added))
        return
    frame = table.collect().with_columns(added)
    write_whole(output, frame_to_bytes(frame, output.suffix.lower()))
    make_console().print(f"{counted(len(rows.x), 'prediction')} written to {output}")


def predict_pieces(
    model: Model, large: LargeTable, backend: Backend, options: TableOptions, output: Path | None
) -> None:
    """Predict each row of a table larger than memory, and write the table with the predictions, piece by piece."""
    name = large.name
    if output is None or output.suffix.lower() not in STREAMED_FORMATS:
        raise SettingsError(
            f"{name}: takes more memory than {large.memory.reason}, so its predictions are written piece by piece. "
            f"Give --output FILE{' or FILE'.join(STREAMED_FORMATS)}, or a larger --memory."
        )
    count = 0

    def predicted() -> Iterator[Any]:
        nonlocal count
        noted = False
        for piece in large.read_all():
            rows = table_inputs(model, read_texts(piece, options, model.table_schema))
            for note in () if noted else rows.notes:
                print_notes(f"rows {piece.first + 1:,} to {piece.first + piece.rows:,}: {note}")
                noted = True
            count += len(rows.x)
            added = prediction_columns(model, piece, rows, predict(model, rows.x, backend, prepared=True))
            yield piece.collect().with_columns(added)

    if output.suffix.lower() == ".csv":
        frames = enumerate(predicted())
        write_whole(output, (frame_to_csv(frame, header=number == 0) for number, frame in frames))
    else:
        write_parquet_parts(output, predicted())
    make_console().print(f"{counted(count, 'prediction')} written to {output}")


def write_parquet_parts(output: Path, frames: Iterable[Any]) -> None:
    """Write one Parquet file from frames, of which one at a time is in memory."""
    polars = import_polars()
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name[:40]}.") as name:
        parts = list[Path]()
        for frame in frames:
            parts.append(Path(name) / f"{len(parts)}.parquet")
            frame.write_parquet(parts[-1])
        whole = Path(name) / "whole.parquet"
        polars.concat([polars.scan_parquet(part) for part in parts]).sink_parquet(whole)
        with whole.open("rb") as file:
            write_whole(output, iter(lambda: file.read(2**24), b""))


def prediction_columns(model: Model, table: Table, rows: Rows, prediction: Prediction) -> list[Any]:
    """Return the columns to add: predictions and probabilities, empty in rows that could not be predicted."""
    polars = import_polars()
    names, columns = [f"probability_{label}" for label in model.classes], list(prediction.probabilities.T)
    if model.task == "regression":
        many = len(model.output_names) > 1
        unit = target_unit(model)
        kinds = {"prediction": prediction.labels}
        kinds |= {} if prediction.spread is None else {"spread": prediction.spread}
        names = [f"{kind}_{name}" if many else kind for kind in kinds for name in model.output_names]
        names = [f"{name} ({unit})" if unit else name for name in names]
        columns = [column for array in kinds.values() for column in array.reshape(len(rows.x), -1).T]
    elif model.task == "multilabel":
        names = [*(f"prediction_{label}" for label in model.classes), *names]
        columns = [*prediction.labels.T, *columns]
    else:
        names, columns = ["prediction", *names], [prediction.labels, *columns]
    taken = set(table.schema)
    series = []
    for name, column in zip(names, columns, strict=True):
        while name in taken:
            name += "_"
        taken.add(name)
        values = iter(column.tolist())
        cells = [next(values) if is_usable else None for is_usable in rows.usable.tolist()]
        series.append(polars.Series(name, cells, strict=False))
    return series


def target_unit(model: Model) -> str:
    """Return the unit beside the target's numbers in the training data, such as €; empty if there was none."""
    schema = model.table_schema
    form = None if schema is None else reading_of(schema).formats.get(schema.target or "")
    return "" if form is None else form.unit


def frame_to_csv(frame: Any, *, header: bool = True) -> bytes:
    """Return a data frame as CSV, with JSON for lists, structs and bytes, which CSV does not have."""
    polars = import_polars()
    names = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype == polars.Binary]
    texts = [
        polars.Series(name, [None if cell is None else json.dumps(cell, default=str) for cell in frame[name].to_list()])
        for name in names
    ]
    return bytes(frame.with_columns(texts).write_csv(include_header=header).encode())


def frame_to_bytes(frame: Any, suffix: str) -> bytes:
    """Return the content of a file of that type."""
    if suffix == ".csv":
        return frame_to_csv(frame)
    if suffix == ".json":
        return bytes((json.dumps(frame.to_dicts(), indent=2, default=str) + "\n").encode())
    content = io.BytesIO()
    if suffix == ".parquet":
        frame.write_parquet(content)
    else:
        frame.write_ipc(content)
    return content.getvalue()


def to_json(model: Model, places: Iterable[tuple[Path, int | None]], prediction: Prediction) -> str:
    """Return a list with an object for each prediction, with its file and the row in it."""
    objects, unit = [], target_unit(model)
    labels, probabilities_of = prediction.labels.tolist(), prediction.probabilities.tolist()
    spreads = [None] * len(labels) if prediction.spread is None else prediction.spread.tolist()
    for (path, row), label, probabilities, spread in zip(places, labels, probabilities_of, spreads, strict=True):
        values: dict[str, Any] = {"input": str(path), "row": row}
        if model.task == "regression":
            numbers = {"prediction": label} | ({} if spread is None else {"spread": spread})
            if len(model.output_names) > 1:
                numbers = {
                    name: dict(zip(model.output_names, of_each, strict=True)) for name, of_each in numbers.items()
                }
            values |= numbers
            values |= {"unit": unit} if unit else {}
        else:
            named = dict(zip(map(str, model.classes), probabilities, strict=True))
            values |= {"label": label, "probability": max(probabilities), "probabilities": named}
        objects.append(values)
    return json.dumps(objects, indent=2) + "\n"


def screen_table(columns: dict[str, list[Any]]) -> ScreenTable:
    """Return columns as a table for the screen, with long texts shortened to a line."""

    def text_of(cell: Any) -> str:
        if isinstance(cell, float):
            return describe_prediction(cell)
        return "" if cell is None else shortened(" ".join(str(cell).split()), LONGEST_TEXT)

    screen = make_table("", *columns, left=0)
    for cells in zip(*columns.values(), strict=True):
        screen.add_row(*map(text_of, cells))
    return screen


def tables_of(model: Model, table: Table, added: list[Any], shown: int) -> Iterator[ScreenTable]:
    """Yield the first predictions beside the target column, with all probabilities, and with the largest alone."""
    target = None if model.table_schema is None else model.table_schema.target
    columns: dict[str, list[Any]] = {"row": list(range(1, shown + 1))}
    if target is not None and target in table.schema:
        columns[target] = table.head(shown)[target].to_list()
    given = [series.head(shown) for series in added]
    if not model.classes or len(added) <= 1 + PROBABILITIES_SHOWN:
        yield screen_table(columns | {series.name: series.to_list() for series in given})
    if model.classes:
        best = np.max(np.array([series.to_numpy() for series in given[1:]], dtype=np.float64), axis=0)
        columns[given[0].name] = given[0].to_list()
        yield screen_table(columns | {"probability": [None if np.isnan(value) else float(value) for value in best]})
