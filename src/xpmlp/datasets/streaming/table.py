"""A table larger than memory: its schema and a sample of its rows, and a stream of all."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from xpmlp.errors import DataError
from xpmlp.model.table_schema import TableSchema

from ..dataset import Dataset, Split
from ..memory import format_bytes
from ..splitting import BY_ROW_NUMBER, TEST_FRACTION, draw
from ..tables.columns import Target, are_whole, decide_task, read_target
from ..tables.encoding import encode
from ..tables.kinds import WrongCells, convert
from ..tables.loading import FoundColumns, find_columns, record_split
from ..tables.options import TableOptions, Task
from ..tables.statistics import Moments, TableStatistics, moments
from ..tables.table import Table, import_polars, reports_polars_errors
from ..tables.values import read_texts
from .large_table import LargeTable, needed_memory
from .rows import PIECE_FRACTION, Piece, RowStream

SAMPLE_ROWS, SAMPLE_PIECES = 100_000, 32
MOST_CLASSES = 10_000


def read_piece(large: LargeTable, found: FoundColumns, piece: Piece) -> tuple[Table, dict[str, WrongCells]]:
    """Return the rows of a piece, converted as those of a sample, and the cells that are not of their column's kind."""
    polars, sample, target = import_polars(), found.table, found.target.name
    table = large.read(piece, [*found.kinds, target])
    table = replace(table, formats=sample.formats, reading=sample.reading)
    if table.schema[target] == polars.String and sample.schema[target] != polars.String:
        table, _ = convert(table, {target: "number"})
    table, wrong = convert(table, found.kinds)
    frame = table.collect()
    return replace(table, frame=frame.lazy(), schema=dict(frame.schema)), wrong


@dataclass(frozen=True, eq=False, kw_only=True)
class TableStream(RowStream):
    """The rows of a table in Parquet or .npy files."""

    large: LargeTable
    found: FoundColumns  # without rows
    schema: TableSchema

    def read(self, piece: Piece, part: Any) -> Split:
        """Return the rows of a piece that belong to a part of the data, as inputs with their labels."""
        mask = self.mask(piece, part)
        table, _ = read_piece(self.large, self.found, piece)
        target = read_target(table, self.found.target.name, self.found.target.task)
        (x,), _ = encode(self.schema, table, [mask])
        return Split(x, target.values[mask])


@reports_polars_errors
def load_table_stream(large: LargeTable, options: TableOptions) -> Dataset:
    """Measure a table in one pass, and return a sample of its rows together with the stream of all.

    Columns are judged by the sample: their kinds, formats of dates, images. Means, deviations, extremes, categories and
    numbers of missing values are those of all training rows; medians are the sample's.
    """
    if options.test is not None:
        raise DataError(f"{large.name}: is streamed, so --test cannot be used. Leave it out: test rows are held out.")
    pieces, whole = large.pieces, large.table
    sample, numbers = take_sample(large, pieces, options)
    found = find_columns(sample, options)
    name, test_fraction = found.target.name, options.test_fraction or TEST_FRACTION
    statistics, targets = TableStatistics(found.kinds), TargetStatistics(name)
    # Few rows of a column of text may all be numbers.
    task = options.task or ("classification" if found.target.values.dtype.kind == "U" else None)
    kept = []
    for piece in pieces:
        table, wrong = read_piece(large, found, piece)
        target = read_target(table, name, task)
        usable = statistics.usable_rows(table, target, options.missing, wrong)
        train = usable & (draw(piece.numbers) >= test_fraction)
        statistics.add(table, train)
        targets.add(target, usable, train)
        kept.append(piece._replace(usable=None if usable.all() else np.packbits(usable)))
    extremes = [column.extremes or (0, 0) for column in statistics.columns.values()]
    if found.pixels is not None and not all(low >= 0 and high <= found.pixels.white for low, high in extremes):
        found.pixels = None
    task, note = targets.decide(task)
    target = found.target = read_target(found.table, name, task)
    usable = TableStatistics(found.kinds).usable_rows(found.table, target, options.missing)
    draws = draw(numbers)
    is_train = draws >= test_fraction
    parts, labels = (is_train & usable, ~is_train & usable), np.asarray(sorted(targets.labels))
    dataset = found.dataset(whole.name, statistics, options, parts, labels, [note, *statistics.row_notes(whole, name)])
    assert dataset.table_schema is not None
    stream = TableStream(
        name=whole.name,
        pieces=tuple(kept),
        files=large.files,
        memory=large.memory.limit,
        test_fraction=test_fraction,
        labels=targets.labels if dataset.classes else {},
        mean=targets.numbers.mean,
        deviation=targets.numbers.deviation if targets.numbers.count else 1.0,
        lowest=targets.numbers.low,
        sample_draws=draws[parts[0]],
        large=large,
        found=replace(found, table=replace(found.table, frame=found.table.head(0).lazy(), rows=0)),
        schema=dataset.table_schema,
    )
    if not stream.train_counts.any():
        raise DataError(f"{whole.name}: no rows to train on.")
    return replace(
        dataset,
        split=record_split(whole, dataset.table_schema, test_fraction) | {"drawn_by": BY_ROW_NUMBER},
        stream=stream,
        why_streamed=f"about {format_bytes(needed_memory(whole))} in memory, more than {large.memory.reason}",
    )


def take_sample(
    large: LargeTable, pieces: tuple[Piece, ...], options: TableOptions
) -> tuple[Table, Int64[np.ndarray, " rows"]]:
    """Return rows spread over a table, and their numbers."""
    chosen = [pieces[index] for index in spread(len(pieces), SAMPLE_PIECES)]
    rows = max(1000, min(SAMPLE_ROWS, large.memory.limit // PIECE_FRACTION // (8 * len(large.table.schema))))
    frames, numbers = [], []
    for piece in chosen:
        taken = spread(piece.rows, -(-rows // len(chosen)))
        frames.append(large.read(piece).collect()[taken])
        numbers.append(piece.first + taken)
    frame = import_polars().concat(frames)
    table = replace(large.table, frame=frame.lazy(), rows=frame.height)
    return read_texts(table, options, None), np.concatenate(numbers)


def spread(count: int, wanted: int) -> Int64[np.ndarray, " taken"]:
    """Return at most as many of the numbers from 0 to below `count` as are wanted, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


class TargetStatistics:
    """What a pass over a table finds out about the column to predict."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.labels: Counter[int | str] = Counter()  # of whole numbers or texts, in all usable rows
        self.has_fractions = False
        self.numbers = Moments()  # of the training rows

    def add(self, target: Target, usable: Bool[np.ndarray, " rows"], train: Bool[np.ndarray, " rows"]) -> None:
        """Add a piece of the table."""
        values = target.values[usable]
        is_text = values.dtype.kind == "U"
        if not is_text:
            self.numbers = self.numbers.merge(moments(target.values[train].astype(np.float64)))
            self.has_fractions |= not are_whole(values).all()
        if not self.has_fractions and len(self.labels) <= MOST_CLASSES:
            found, counts = np.unique(values if is_text else values.astype(np.int64), return_counts=True)
            self.labels.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def decide(self, task: Task | None) -> tuple[Task, str | None]:
        """Return the task, and a note if it was inferred."""
        is_many = len(self.labels) > MOST_CLASSES
        if is_many and task == "classification":
            raise DataError(
                f"The target {self.name!r} has more than {MOST_CLASSES:,} classes, such as "
                f"{', '.join(repr(label) for label in list(self.labels)[:3])}. Choose another column with --target."
            )
        if task is not None or self.has_fractions or is_many:
            return task or "regression", None
        return decide_task(self.name, [*self.labels.values()])
