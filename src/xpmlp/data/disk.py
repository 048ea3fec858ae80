"""Samples on disk: an epoch of them is read as a sequence of shuffled blocks that fit into memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from xpmlp.datasets import Split
from xpmlp.datasets.memory import format_bytes
from xpmlp.datasets.streaming.rows import BLOCK_FRACTION, RowStream
from xpmlp.errors import DataError
from xpmlp.nn.samples import Samples


class Block(NamedTuple):
    """Samples on the host to take steps on, in that order of their rows."""

    samples: Samples
    order: Int64[np.ndarray, " rows"]
    is_last: bool


@dataclass(frozen=True, eq=False)
class DiskSamples:
    """The training rows of a stream, of which a block at a time is in memory.

    Attributes
    ----------
    prepare
        Makes samples of rows.
    row_bytes
        Bytes that a prepared row takes.
    part
        Which part of the rows of each epoch are read, and how many parts there are: one for each process.
    fill_to
        Rows that an epoch has, filled up with rows that weigh nothing: as many for each process. None for those read.
    """

    stream: RowStream
    prepare: Callable[[Split], Samples]
    row_bytes: int
    part: tuple[int, int] = (0, 1)
    fill_to: int | None = None

    @property
    def rows(self) -> int:
        """Number of training rows, those of the other parts included."""
        return int(self.stream.train_counts.sum())

    def for_process(self, rank: int, size: int, rows: int) -> "DiskSamples":
        """Return the part of one of several processes, with weights, filled up to that many rows an epoch."""

        def prepare(split: Split) -> Samples:
            samples = self.prepare(split)
            return samples if samples.weight is not None else samples._replace(weight=np.ones(samples.rows, np.float32))

        return replace(self, prepare=prepare, row_bytes=self.row_bytes + 4, part=(rank, size), fill_to=rows)

    def block_rows(self, batch_size: int) -> int:
        """Return the rows of a block: as many batches as fit.

        Raises
        ------
        DataError
            If there is too little memory for one.
        """
        limit = self.stream.memory // BLOCK_FRACTION
        rows = limit // (self.row_bytes * batch_size) * batch_size
        if not rows:
            needed = BLOCK_FRACTION * self.row_bytes * batch_size
            raise DataError(
                f"{self.stream.name}: --memory: {format_bytes(self.stream.memory)} are too few for a batch of "
                f"{batch_size:,} rows. {format_bytes(math.ceil(1.01 * needed))} are needed; or use a smaller batch."
            )
        return rows

    def count_blocks(self, batch_size: int) -> int:
        """Return the number of blocks of an epoch, nearly: which pieces fit into one depends on their order."""
        return math.ceil(self.rows / self.part[1] / self.block_rows(batch_size))

    def blocks(self, seed: int, batch_size: int) -> Iterator[Block]:
        """Yield an epoch's rows in an order that depends on the seed alone: pieces at random, shuffled within a block.

        Every block but the last consists of whole batches; the rows that are left over go into the next one.
        """
        size = self.block_rows(batch_size)
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(self.stream.pieces))
        counts = self.stream.train_counts[order]
        # Where each piece begins and ends within this part of the epoch's rows.
        low, high = (self.rows * number // self.part[1] for number in (self.part[0], self.part[0] + 1))
        ends = np.cumsum(counts)
        starts, ends = (np.clip(bound, low, high) for bound in (ends - counts, ends))
        offsets = starts - (np.cumsum(counts) - counts)
        mine = np.flatnonzero(ends > starts)
        left_over: Samples | None = None
        position = done = 0
        while position < len(mine):
            rows = 0 if left_over is None else left_over.rows
            chosen = list[tuple[int, int, int]]()
            while position < len(mine):
                piece = mine[position]
                taken = int(ends[piece] - starts[piece])
                if chosen and rows + taken > size:
                    break
                chosen.append((int(order[piece]), int(offsets[piece]), taken))
                rows, position = rows + taken, position + 1
            samples = self.gather(left_over, chosen, rows)
            shuffled = generator.permutation(rows)
            is_last = position == len(mine)
            whole = rows if is_last else rows // batch_size * batch_size
            rest = shuffled[whole:]
            left_over = samples.map(lambda array, rest=rest: array[rest]) if len(rest) else None  # type: ignore[misc]
            if whole:
                missing = self.fill_to - done - whole if is_last and self.fill_to is not None else 0
                done += whole
                yield Block(samples, np.concatenate([shuffled[:whole], np.full(missing, rows)]), is_last)
            del samples  # before the next block is read

    def gather(self, left_over: Samples | None, chosen: list[tuple[int, int, int]], rows: int) -> Samples:
        """Return the rows left over by the last block, and those of some pieces: from which, and how many."""
        block: Samples | None = None
        filled = 0

        def fill(part: Samples) -> None:
            nonlocal block, filled
            if block is None:
                more = rows + (self.fill_to is not None)  # the last row fills up an epoch
                block = part.map(lambda array: np.empty((more, *array.shape[1:]), array.dtype))
                block.map(lambda array: array[-1:].fill(0))
            for target, array in zip(block.arrays, part.arrays, strict=True):
                target[filled : filled + len(array)] = array
            filled += part.rows

        if left_over is not None:
            fill(left_over)
        for index, offset, taken in chosen:
            split: Any = self.stream.read(self.stream.pieces[index], "train")
            fill(self.prepare(split.take(slice(offset, offset + taken))))
        assert block is not None
        return block
