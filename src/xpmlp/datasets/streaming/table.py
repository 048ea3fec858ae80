"""A table larger than memory: its schema and a sample of its rows, and a stream of all."""

import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from xpmlp.errors import DataError
from xpmlp.model.table_schema import Kind, TableSchema

from ..dataset import Dataset, Provenance, Split, counted
from ..memory import format_bytes
from ..splitting import BY_ROW_NUMBER, TEST_FRACTION, draw
from ..tables.columns import Target, decide_task, find_features, find_pixels, find_target, read_target
from ..tables.encoding import encode
from ..tables.kinds import (
    WrongCells,
    as_kinds,
    convert,
    drop_unusable,
    find_kinds,
    refuse_wrong_cells,
    wrong_cells_note,
)
from ..tables.loading import USE_MISSING, find_classes, short_name
from ..tables.options import TableOptions, Task
from ..tables.schema import dropped_note, infrequent_notes, missing_notes, refuse_missing
from ..tables.statistics import Moments, TableStatistics, moments
from ..tables.suspicions import note_suspicions
from ..tables.table import Table, import_polars, reports_polars_errors
from ..tables.values import read_texts
from .arrays import ArrayFiles
from .limit import Memory
from .parquet import ParquetFiles
from .rows import PIECE_FRACTION, Piece, RowStream, draw_rows, pack

SAMPLE_ROWS, SAMPLE_PIECES = 100_000, 32
MOST_CLASSES = 10_000
COLUMN_COPIES = 40  # bytes of a row that loading a table takes beside its inputs: copies of a column at a time


class TablePieces(NamedTuple):
    """The pieces of a table, whose columns are converted as those of a sample.

    Attributes
    ----------
    kinds
        Of the columns that are read, besides the target.
    infinite
        Columns that may hold infinite numbers; None before the table is measured.
    """

    files: ParquetFiles | ArrayFiles
    sample: Table
    kinds: Mapping[str, Kind]
    target: str
    infinite: Collection[str] | None = None

    def open(self, piece: Piece) -> tuple[Table, dict[str, WrongCells]]:
        """Return the rows of a piece, and the cells that are not of their column's kind."""
        polars = import_polars()
        table = self.files.read(piece, [*self.kinds, self.target])
        if table.schema[self.target] == polars.String and self.sample.schema[self.target] != polars.String:
            table, _ = convert(replace(table, reading=self.sample.reading), {self.target: "number"})
        table = replace(table, formats=self.sample.formats, reading=self.sample.reading)
        table, wrong = convert(table, self.kinds, self.infinite)
        frame = table.collect()
        return replace(table, frame=frame.lazy(), schema=dict(frame.schema)), wrong


@dataclass(frozen=True, eq=False, kw_only=True)
class TableStream(RowStream):
    """The rows of a table in Parquet or .npy files.

    Attributes
    ----------
    tables
        Opens a piece.
    """

    tables: TablePieces
    schema: TableSchema
    task: Task

    def check(self, piece: Piece) -> None:
        """Refuse a piece whose file is gone or has changed."""
        self.tables.files.check(piece)

    def read(self, piece: Piece, part: Any) -> Split:
        """Return the rows of a piece that belong to a part of the data, as inputs with their labels."""
        mask = self.mask(piece, part)
        table, _ = self.tables.open(piece)
        target = read_target(table, self.tables.target, self.task)
        (x,), _ = encode(self.schema, table, [mask])
        return Split(x, target.values[mask])


def needed_memory(rows: int, columns: int) -> int:
    """Estimate the bytes that a table takes in memory."""
    return rows * (4 * columns + COLUMN_COPIES)


@reports_polars_errors
def load_table_stream(path: Path, files: ParquetFiles | ArrayFiles, options: TableOptions, memory: Memory) -> Dataset:
    """Measure a table in one pass, and return a sample of its rows together with the stream of all.

    Columns are judged by the sample: their kinds, formats of dates, images. Means, deviations, extremes, categories and
    numbers of missing values are those of all training rows; medians are the sample's.
    """
    if options.test is not None:
        raise DataError(f"{path}: is streamed, so --test cannot be used. Leave it out: test rows are held out.")
    pieces = files.pieces(memory.limit // PIECE_FRACTION)
    sample, numbers = take_sample(files, pieces, memory.limit // PIECE_FRACTION, options)
    name, guess = find_target(sample, options.target)
    features = find_features(sample, name, options)
    read_target(sample, name, options.task)
    found = find_kinds(sample, features, options)
    kinds = found.kinds
    test_fraction = options.test_fraction or TEST_FRACTION
    sample, _ = as_kinds(sample, found, options)
    pixels = find_pixels(sample, kinds, options)
    shape, white = pixels or (None, None)
    dropped = drop_unusable(sample, kinds, found.unusable, options)
    measured = measure(TablePieces(files, sample, dict(kinds), name), pieces, options, test_fraction)
    statistics, targets, whole = measured.statistics, measured.targets, files.table
    extremes = [column.extremes or (0, 0) for column in statistics.columns.values()]
    if white is not None and not all(low >= 0 and high <= white for low, high in extremes):
        shape, white = None, None
    dropped += drop_unusable(
        sample, kinds, statistics.unusable(are_pixels=shape is not None, strict=options.strict), options
    )
    statistics.kinds = kinds
    task, note = targets.decide(options.task)
    draws = draw_rows(numbers)
    in_train = draws >= test_fraction
    schema = statistics.schema(sample, in_train, name, options, white=white)
    target = read_target(sample, name, task)
    in_train, in_test = (part & ~target.missing for part in (in_train, ~in_train))
    if options.missing == "drop":
        complete = ~sample.rows_with_missing(kinds)
        in_train, in_test = in_train & complete, in_test & complete
    (train_x, test_x), _ = encode(schema, sample, [in_train, in_test])
    classes: tuple[int | str, ...] = ()
    if task == "classification":
        labels = np.asarray(sorted(targets.labels))
        classes = find_classes(whole, target, Split(np.empty((len(labels), 0), np.float32), labels))
    stream = TableStream(
        name=whole.name,
        pieces=measured.pieces,
        memory=memory.limit,
        test_fraction=test_fraction,
        labels=targets.labels if classes else {},
        mean=targets.numbers.mean,
        deviation=targets.numbers.deviation if targets.numbers.count else 1.0,
        lowest=targets.numbers.low,
        sample_draws=draws[in_train],
        tables=TablePieces(
            files, replace(sample, frame=sample.head(0).lazy(), rows=0), kinds, name, set(statistics.wrong)
        ),
        schema=schema,
        task=task,
    )
    if not stream.train_counts.any():
        raise DataError(f"{whole.name}: no rows to train on.")
    notes = [
        *sample.notes,
        guess,
        note,
        *dropped,
        *found.notes(sample),
        *wrong_cells_note(whole, kinds, {key: cells for key, cells in statistics.wrong.items() if key in kinds}),
        *measured.notes,
        *([] if shape else note_suspicions(sample, list(kinds), target, in_train | in_test)),
        *missing_notes(whole, statistics.missing, schema, is_training=True),
        *infrequent_notes(whole, schema),
    ]
    return Dataset(
        name=short_name(path),
        train=Split(train_x, target.values[in_train]),
        test=Split(test_x, target.values[in_test]),
        classes=classes,
        input_shape=shape or (schema.inputs,),
        input_scale=white or 1.0,
        source=f"the table {path}",
        notes=tuple(found for found in notes if found is not None),
        table_schema=schema,
        split={
            "file": Path(whole.name).name,
            "rows": whole.rows,
            "test_fraction": test_fraction,
            "drawn_by": BY_ROW_NUMBER,
        },
        provenance=Provenance("table", os.path.abspath(path), options=options.to_json()),
        stream=stream,
        why_streamed=f"about {format_bytes(needed_memory(whole.rows, len(whole.schema)))} in memory, more than "
        f"{memory.reason}",
    )


def take_sample(
    files: ParquetFiles | ArrayFiles, pieces: tuple[Piece, ...], most_bytes: int, options: TableOptions
) -> tuple[Table, Int64[np.ndarray, " rows"]]:
    """Return rows spread over a table, and their numbers."""
    columns = list(files.table.schema)
    chosen = [pieces[index] for index in spread(len(pieces), SAMPLE_PIECES)]
    rows = max(1000, min(SAMPLE_ROWS, most_bytes // (8 * len(columns))))
    frames, numbers = [], []
    for piece in chosen:
        taken = spread(piece.rows, -(-rows // len(chosen)))
        frames.append(files.read(piece, columns).collect()[taken])
        numbers.append(piece.first + taken)
    frame = import_polars().concat(frames)
    table = Table.of(files.table.name, frame, row_shape=files.table.row_shape)
    return read_texts(table, options, None), np.concatenate(numbers)


def spread(count: int, wanted: int) -> Int64[np.ndarray, " taken"]:
    """Return at most as many of the numbers from 0 to below `count` as are wanted, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


class TargetStatistics:
    """What a pass over a table finds out about the column to predict."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.labels: Counter[int | str] = Counter()  # of whole numbers or texts, in all usable rows
        self.is_text = False
        self.is_whole = True
        self.numbers = Moments()  # of the training rows

    def add(self, target: Target, usable: Bool[np.ndarray, " rows"], train: Bool[np.ndarray, " rows"]) -> None:
        """Add a piece of the table."""
        values = target.values[usable]
        self.is_text = values.dtype.kind == "U"
        if not self.is_text:
            self.numbers = self.numbers.merge(moments(target.values[train].astype(np.float64)))
            self.is_whole = self.is_whole and bool((np.trunc(values) == values).all())
        if self.is_text or (self.is_whole and len(self.labels) <= MOST_CLASSES):
            values = values if self.is_text else values.astype(np.int64)
            found, counts = np.unique(values, return_counts=True)
            self.labels.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def decide(self, task: Task | None) -> tuple[Task, str | None]:
        """Return the task, and a note if it was inferred."""
        is_many = len(self.labels) > MOST_CLASSES
        if is_many and (self.is_text or task == "classification"):
            raise DataError(
                f"The target {self.name!r} has more than {MOST_CLASSES:,} classes, such as "
                f"{', '.join(repr(label) for label in list(self.labels)[:3])}. Choose another column with --target."
            )
        if self.is_text or task is not None:
            return task or "classification", None
        if not self.is_whole or is_many:
            return "regression", None
        return decide_task(self.name, list(self.labels.values()))


@dataclass(frozen=True, eq=False)
class Measured:
    """What a pass over a table finds out."""

    statistics: TableStatistics
    targets: TargetStatistics
    pieces: tuple[Piece, ...]
    notes: list[str]


def measure(tables: TablePieces, pieces: tuple[Piece, ...], options: TableOptions, test_fraction: float) -> Measured:
    """Read all pieces once."""
    kinds, target = tables.kinds, tables.target
    statistics, targets, kept = TableStatistics(kinds), TargetStatistics(target), []
    without_target = incomplete = 0
    counts: Counter[str] = Counter()
    for piece in pieces:
        table, wrong = tables.open(piece)
        read = read_target(table, target, options.task)
        usable = ~read.missing
        without_target += int(read.missing.sum())
        if options.missing == "refuse":
            refuse_pieces(table, read, kinds, wrong)
        if options.missing == "drop" and (found := table.missing_counts(list(kinds))):
            complete = ~table.rows_with_missing(found)
            incomplete += int((usable & ~complete).sum())
            usable &= complete
            counts.update(found)
        kept.append(piece._replace(usable=pack(usable)))
        train = usable & (draw(piece.first, piece.rows) >= test_fraction)
        statistics.add(table, train, wrong)
        targets.add(read, usable, train)
    notes = [f"{counted(without_target, 'row')} dropped: no value in {target!r}, the target"] if without_target else []
    notes += [dropped_note(tables.files.table, incomplete, counts)] if incomplete else []
    return Measured(statistics, targets, tuple(kept), notes)


def refuse_pieces(table: Table, target: Target, kinds: Mapping[str, Kind], wrong: Mapping[str, WrongCells]) -> None:
    """Refuse a piece with missing values, or cells that are not of their column's kind."""
    counts = {target.name: int(target.missing.sum())} if target.missing.any() else {}
    refuse_wrong_cells(table, kinds, wrong, "Correct the cell, or leave the column out with --exclude.")
    refuse_missing(table, counts | table.missing_counts(list(kinds)), USE_MISSING, target.missing if counts else None)
