"""Tables larger than memory, in Parquet or .npy files: a schema and a sample of the rows, and a stream of all."""

import itertools
import math
import os
import shlex
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from xpmlp.errors import DataError
from xpmlp.model.table_schema import TableSchema

from ..dataset import Dataset, Split
from ..memory import Memory, format_bytes
from ..splitting import BY_ROW_NUMBER, TEST_FRACTION, draw
from ..tables.columns import Target, are_whole, decide_task, read_target
from ..tables.converted import READERS
from ..tables.encoding import encode
from ..tables.files import (
    TARGETS,
    array_files,
    joined_files,
    map_array,
    open_parquet,
    parquet_files,
    split_name,
    table_format,
)
from ..tables.files import table_of_arrays as table_of
from ..tables.kinds import WrongCells, convert
from ..tables.loading import FoundColumns, find_columns, record_split
from ..tables.options import TableOptions, Task
from ..tables.statistics import Moments, TableStatistics, moments
from ..tables.table import Table, import_polars, polars_errors, reports_polars_errors
from ..tables.text_file import TEXT_COPIES
from ..tables.values import read_texts
from .rows import PIECE_FRACTION, Piece, RowStream, SourceFiles

MOST_COPIES = 5  # of .npy files: their bytes, and inputs in float32
COLUMN_COPIES = 40  # bytes of a row that loading a table takes beside its inputs: copies of a column at a time
MOST_BYTES = 2**24  # of a piece: from many small ones, more different rows come together in a block
MEASURED_ROWS = 1000  # of which the bytes of a row are estimated
SAMPLE_ROWS, SAMPLE_PIECES = 100_000, 32
MOST_CLASSES = 10_000


@dataclass(frozen=True)
class LargeTable:
    """A table that takes more memory than it may."""

    table: Table  # all rows; they are read when the table is collected
    files: SourceFiles
    bytes: int  # of all values
    read_rows: Callable[[slice], Any]  # returns a LazyFrame of some rows
    memory: Memory
    lock: threading.Lock = field(default_factory=threading.Lock)  # of several threads, one decodes at a time

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Pieces of equal size, a small part of the memory."""
        rows = self.table.rows
        step = max(1, min(MOST_BYTES, self.memory.limit // PIECE_FRACTION) * rows // self.bytes)
        return tuple(Piece(start, min(step, rows - start)) for start in range(0, rows, step))

    def read(self, piece: Piece, columns: list[str] | None = None) -> Table:
        """Return the rows of a piece, of all columns by default."""
        self.files.check()
        with self.lock, polars_errors(f"{self.name}: cannot be read"):
            chosen = self.read_rows(slice(piece.first, piece.first + piece.rows)).select(
                columns or [*self.table.schema]
            )
            # The streaming engine decodes the pages that it needs, not whole row groups.
            frame = chosen.collect(engine="streaming")
        return replace(self.table, frame=frame.lazy(), schema=dict(frame.schema), rows=frame.height, first=piece.first)

    def read_all(self) -> Iterator[Table]:
        """Yield the table in pieces."""
        return map(self.read, self.pieces)


def needed_memory(table: Table) -> int:
    """Estimate the bytes that a table takes in memory."""
    return table.rows * (4 * len(table.schema) + COLUMN_COPIES)


def find_large_table(
    data: str | Path, memory: str | int | None = None, targets: str | Path | None = None
) -> LargeTable | None:
    """Return a table that takes more than that memory, by default most of the free one; None for other data.

    `targets` is the file with the targets of an array in a .npy file.
    """
    limit = Memory.of(memory)
    path = Path(os.path.expanduser(data))
    if limit is None or not os.path.exists(path):
        return None
    kind = table_format(path)
    is_array = kind == "npy" or (kind == "npz" and os.path.isdir(path))
    found = [*array_files(path, targets).values()] if is_array else parquet_files(path)
    size = sum(file.stat().st_size for file in found if file.is_file())
    if is_array and MOST_COPIES * size > limit.limit:
        needed = sum(array.size * (array.itemsize + 4) for array in map(map_array, found))
        return open_arrays(path, targets, limit) if needed > limit.limit else None
    if kind == "parquet" and size:
        tables = open_parquet(path, trusted=True)
        table = joined_files(path, tables)
        return open_pieces(table, tables, limit) if needed_memory(table) > limit.limit else None
    if kind is not None and not is_array and TEXT_COPIES * size > limit.limit:
        can_scan = kind == "csv" and path.suffix.lower() not in (*READERS, ".zip", ".bz2", ".xz")
        other, convert = path.with_suffix("" if kind == "npz" else ".parquet"), "Save it as Parquet"
        if can_scan:
            code = f"import polars; polars.scan_csv({str(path)!r}).sink_parquet({str(other)!r})"
            convert = f"Convert it once: python -c {shlex.quote(code)}"
        elif kind == "npz":
            convert = f"Unpack it once: python -m zipfile -e {shlex.quote(str(path))} {shlex.quote(str(other))}"
        given = other if can_scan or kind == "npz" else "the Parquet file"
        raise DataError(
            f"{path}: takes about {format_bytes(TEXT_COPIES * size)} in memory, more than {limit.reason}, and only "
            f"Parquet and .npy can be streamed. {convert}. Then give {given}, or a larger --memory."
        )
    return None


def open_pieces(table: Table, parts: list[Table], memory: Memory) -> LargeTable:
    """Open a table in Parquet files; the bytes of its values are estimated from the first rows and the files' sizes."""
    files = SourceFiles(parquet_files(Path(table.name)))
    head = table.head(MEASURED_ROWS)
    stored = sum(size for size, _ in files.stamps.values())
    size = max(head.estimated_size() * table.rows // max(head.height, 1), stored)
    ends = list(itertools.accumulate(part.rows for part in parts))

    def read_rows(rows: slice) -> Any:
        # Of the files that hold them alone: to find a row by its number, Polars opens all files before it.
        chosen = []
        for part, end in zip(parts, ends, strict=True):
            start = end - part.rows
            low, high = max(rows.start, start), min(rows.stop, end)
            if low < high:
                chosen.append(part.frame.slice(low - start, high - low))
        return import_polars().concat(chosen)

    return LargeTable(table, files, size, read_rows, memory)


def open_arrays(path: Path, targets: str | Path | None, memory: Memory) -> LargeTable:
    """Open a .npy file, with the targets in another, or a folder of such files, as if they fitted into memory."""
    paths = array_files(path, targets)
    files = SourceFiles(paths.values())
    arrays = {name: map_array(file) for name, file in paths.items()}
    for name, array in arrays.items():
        if split_name(name) is not None:
            raise DataError(
                f"{path}: is streamed, so that rows cannot be in a part of their own, {name}. Give x and y."
            )
        if name in TARGETS and math.prod(array.shape[1:]) > 1:
            raise DataError(f"{paths[name]}: has the shape {array.shape}. To stream it, save one label for each row.")
    sizes = {array.shape[:1] for array in arrays.values()}
    if len(sizes) > 1 or sizes & {(), (0,)}:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(f"{path}: its arrays have different numbers of rows, or none: {shapes}. Give x and y.")
    ((rows,),) = sizes

    def read_rows(chosen: slice) -> Any:
        # Mapped only meanwhile: mapped memory counts as that of the process.
        return table_of(str(path), {name: map_array(file)[chosen] for name, file in paths.items()}).frame

    head = table_of(str(path), {name: array[:1] for name, array in arrays.items()})
    # Of a deferred table, all columns are read when one is used.
    frame = import_polars().defer(lambda: read_rows(slice(None)), schema=head.schema)
    return LargeTable(
        replace(head, frame=frame, rows=rows), files, sum(array.nbytes for array in arrays.values()), read_rows, memory
    )


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
