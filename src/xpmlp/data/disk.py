"""Samples on disk: an epoch of them is read as a sequence of shuffled blocks that fit into memory."""

import functools
import itertools
import logging
import math
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from xpmlp.datasets import Split
from xpmlp.datasets.memory import format_bytes
from xpmlp.datasets.streaming.rows import BLOCK_FRACTION, RowStream
from xpmlp.errors import DataError
from xpmlp.nn.samples import Samples, slice_rows

logger = logging.getLogger(__name__)

RESERVE = 0.05  # of the disk, which stays free
READERS = 2  # threads: while one waits for the disk or for the other, the other computes


class Block(NamedTuple):
    """Samples on the host to take steps on, in that order of their rows."""

    samples: Samples
    order: Int64[np.ndarray, " rows"]
    is_last: bool


class OwnPiece(NamedTuple):
    """The training rows of a piece that this process reads: its number, the first of them, and how many."""

    number: int
    first: int
    rows: int


def scratch_folder() -> Path:
    """Return the folder for large temporary files: TMPDIR, or /var/tmp, as /tmp is often in memory."""
    large = "/var/tmp"
    is_usable = "TMPDIR" not in os.environ and os.path.isdir(large) and os.access(large, os.W_OK)
    return Path(large if is_usable else tempfile.gettempdir())


class PreparedRows:
    """The prepared rows of some pieces, for as long as the disk has room for them.

    They are in a file without a name, which vanishes with the process.
    """

    def __init__(self) -> None:
        self.file: Any = None
        self.places: dict[int, int] = {}  # where each piece begins
        self.end = 0
        self.is_full = False
        self.lock = threading.Lock()  # held by the thread that writes

    def read(self, piece: int, samples: Samples) -> bool:
        """Read a piece into `samples`; return False if it has not been written."""
        if piece not in self.places:
            return False
        return os.preadv(self.file.fileno(), samples.arrays, self.places[piece]) == count_bytes(samples)

    def write(self, piece: int, samples: Samples) -> None:
        """Append a piece to the file; if the disk is full, warn once."""
        size, folder = count_bytes(samples), scratch_folder()
        with self.lock:
            if self.is_full:
                return
            try:
                disk = shutil.disk_usage(folder)
                if disk.free - size >= RESERVE * disk.total:
                    if self.file is None:
                        self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
                        weakref.finalize(self, self.file.close)
                    if os.pwritev(self.file.fileno(), samples.arrays, self.end) == size:
                        self.places[piece] = self.end
                        self.end += size
                        return
            except OSError:
                pass  # it is full after all
            self.is_full = True
            logger.warning(
                "%s: has no room for more than %s of prepared rows. The rest is read and prepared again in every "
                "epoch, which takes longer. For more room, set TMPDIR to a folder on a larger disk.",
                folder,
                format_bytes(self.end),
            )


def count_bytes(samples: Samples) -> int:
    """Return the size of samples, in bytes."""
    return sum(array.nbytes for array in samples.arrays)


@dataclass(frozen=True, eq=False)
class DiskSamples:
    """The training rows of a stream; two blocks of them are in memory at a time.

    Attributes
    ----------
    prepare
        Makes samples of rows.
    row
        A prepared row, for its types and size.
    part
        Which part of the rows is read, and how many parts there are: one for each process.
    fill_to
        Rows per epoch, the same for each process: rows of weight 0 fill up those read. None for no filling.
    prepared
        Rows that an earlier epoch has prepared.
    """

    stream: RowStream
    prepare: Callable[[Split], Samples]
    row: Samples
    part: tuple[int, int] = (0, 1)
    fill_to: int | None = None
    prepared: PreparedRows = field(default_factory=PreparedRows)

    @property
    def rows(self) -> int:
        """Number of training rows, those of the other parts included."""
        return int(self.stream.train_counts.sum())

    def for_process(self, rank: int, size: int, rows: int) -> "DiskSamples":
        """Return the part of one of several processes, with weights, filled up to `rows` rows per epoch."""

        def weighted(samples: Samples) -> Samples:
            if samples.weight is not None:
                return samples
            return samples._replace(weight=np.ones(samples.rows, samples.targets.dtype))

        prepare = self.prepare
        return replace(
            self,
            prepare=lambda split: weighted(prepare(split)),
            row=weighted(self.row),
            part=(rank, size),
            fill_to=rows,
            prepared=PreparedRows(),
        )

    @functools.cached_property
    def own_pieces(self) -> list[OwnPiece]:
        """The rows of this part: those of some pieces, of which the first and the last may be shared."""
        number, parts = self.part
        ends = np.cumsum(self.stream.train_counts)
        firsts = ends - self.stream.train_counts
        low, high = self.rows * number // parts, self.rows * (number + 1) // parts
        starts, stops = np.clip(firsts, low, high), np.clip(ends, low, high)
        found = enumerate(zip((starts - firsts).tolist(), (stops - starts).tolist(), strict=True))
        return [OwnPiece(index, first, rows) for index, (first, rows) in found if rows]

    def block_rows(self, batch_size: int) -> int:
        """Return the number of rows of a block: all batches that fit.

        Raises
        ------
        DataError
            If there is too little memory for one.
        """
        batch_bytes = count_bytes(self.row) * batch_size
        rows = self.stream.memory // BLOCK_FRACTION // batch_bytes * batch_size
        if not rows:
            needed = BLOCK_FRACTION * batch_bytes
            raise DataError(
                f"{self.stream.name}: --memory: {format_bytes(self.stream.memory)} is too little for a batch of "
                f"{batch_size:,} rows. {format_bytes(math.ceil(1.01 * needed))} is needed; or use a smaller batch."
            )
        return rows

    def count_blocks(self, batch_size: int) -> int:
        """Return the approximate number of blocks per epoch: which pieces fit into one depends on their order."""
        return math.ceil(self.rows / self.part[1] / self.block_rows(batch_size))

    def blocks(self, seed: int, batch_size: int) -> Iterator[Block]:
        """Yield an epoch's rows in an order that depends on the seed alone: pieces at random, shuffled within a block.

        Every block but the last consists of whole batches; the rows that are left over go into the next one.
        """
        size = self.block_rows(batch_size)
        generator = np.random.default_rng(seed)
        pieces = [self.own_pieces[index] for index in generator.permutation(len(self.own_pieces))]
        left_over: Samples | None = None
        done = 0
        # One is trained on while the other is filled.
        buffers = [self.allocate(0), self.allocate(0)]
        while pieces:
            rows = 0 if left_over is None else left_over.rows
            count = 0
            while pieces[count:] and (not count or rows + pieces[count].rows <= size):
                rows, count = rows + pieces[count].rows, count + 1
            chosen, pieces = pieces[:count], pieces[count:]
            buffers.reverse()
            if buffers[0].rows <= rows:
                buffers[0] = self.allocate(max(size, rows) + 1)
            samples = slice_rows(buffers[0], 0, rows + 1)  # the last row fills up an epoch
            self.read(samples, left_over, chosen)
            shuffled = generator.permutation(rows)
            whole = rows // batch_size * batch_size if pieces else rows
            rest = shuffled[whole:]
            left_over = samples.map(lambda array, rest=rest: array[rest]) if len(rest) else None  # type: ignore[misc]
            if whole:
                missing = 0 if pieces or self.fill_to is None else self.fill_to - done - whole
                done += whole
                yield Block(samples, np.concatenate([shuffled[:whole], np.full(missing, rows)]), not pieces)

    def allocate(self, rows: int) -> Samples:
        """Allocate samples of `rows` rows."""
        return self.row.map(lambda array: np.empty((rows, *array.shape[1:]), array.dtype))

    def read(self, samples: Samples, left_over: Samples | None, chosen: list[OwnPiece]) -> None:
        """Write the rows left over by the last block and those of some pieces into `samples`; its last row is 0."""
        filled = 0 if left_over is None else left_over.rows
        if left_over is not None:
            copy(left_over, slice_rows(samples, 0, filled))
        self.stream.files.check()  # prepared rows are read without them
        ends = itertools.accumulate((piece.rows for piece in chosen), initial=filled)
        parts = [slice_rows(samples, start, stop) for start, stop in itertools.pairwise(ends)]
        with ThreadPoolExecutor(READERS, thread_name_prefix="xpmlp-reader") as readers:
            list(readers.map(self.read_piece, chosen, parts))
        samples.map(lambda array: array[-1:].fill(0))

    def read_piece(self, piece: OwnPiece, part: Samples) -> None:
        """Write the rows of a piece into `part`, and keep them for the next epoch."""
        source = self.stream.pieces[piece.number]
        if not self.prepared.read(piece.number, part):
            split = self.stream.read(source, "train").take(slice(piece.first, piece.first + piece.rows))
            copy(self.prepare(split), part)
            if not self.stream.is_prepared:
                self.prepared.write(piece.number, part)


def copy(source: Samples, target: Samples) -> None:
    """Copy rows into arrays of the same shape."""
    for array, other in zip(source.arrays, target.arrays, strict=True):
        other[...] = array
