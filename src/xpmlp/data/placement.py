"""Data beside the device that computes with them: there once and for all, or fed to it block by block."""

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from xpmlp.backends.base import Backend
from xpmlp.nn.samples import Batch, Samples, make_batch, slice_rows
from xpmlp.nn.step import Step, TrainingState

logger = logging.getLogger(__name__)

PART_FOR_DATA = 0.8  # of a device's free memory; the rest is for the network and what it computes
LARGEST_BLOCK = 2**28  # bytes: large enough that a copy runs at full speed, small enough to gather in between
BLOCKS = 3  # at most at a time on the device: one that is computed with, one on its way, one being set in place


@dataclass(frozen=True)
class StreamedSamples:
    """Rows that stay on the host, because the device has too little memory for them all.

    Attributes
    ----------
    samples
        NumPy arrays.
    dtype
        The name of the dtype that they have on the device.
    block_bytes
        Bytes that a block of rows may take there.
    place
        The block on the device that recorded steps read; empty until there is one. It outlasts an epoch, so that a
        recording does.
    """

    samples: Samples
    dtype: str
    block_bytes: int
    place: list[Samples] = field(default_factory=list, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.samples.rows

    @property
    def row_bytes(self) -> int:
        """Bytes of a row on the device."""
        return count_bytes(self.samples, self.dtype) // self.rows

    def block_rows(self, batch_size: int) -> int:
        """Return the rows of a block: as many whole batches as the block holds, at least one."""
        return max(self.block_bytes // (self.row_bytes * batch_size), 1) * batch_size

    def set_in_place(self, block: Samples) -> Samples:
        """Write a block where recorded steps read it, and return that place: that of the first, or largest, block."""
        if not self.place or self.place[0].rows < block.rows:
            self.place[:] = [block]
            return block
        return write_over(self.place[0], block)


def count_bytes(samples: Samples, dtype: str) -> int:
    """Return the bytes that samples take on a device."""
    itemsize = np.dtype(dtype).itemsize
    x, *others = (math.prod(array.shape) for array in samples.arrays)
    return int(x * (itemsize if samples.divisor is None else 1) + sum(others) * itemsize)


def place_samples(backend: Backend, samples: Samples, dtype: str) -> Samples | StreamedSamples:
    """Move samples to the device if they fit there; else say so, and keep them on the host.

    Parameters
    ----------
    samples
        Arrays of the host, or of the backend's library; as `dtype` they are not copied where they are there already.
        Bytes that have a divisor stay bytes.
    """
    free = backend.free_memory()
    needed = count_bytes(samples, dtype)
    on_host = all(isinstance(array, np.ndarray) for array in samples.arrays)
    if free is None or not on_host or needed <= PART_FOR_DATA * free:
        return move_samples(backend, samples, dtype)
    held = StreamedSamples(samples, dtype, min(LARGEST_BLOCK, int(PART_FOR_DATA * free / BLOCKS)))
    logger.warning(
        "The data need %s, but %s has only %s free: they stay on the host, and are fed to it in blocks of up to %s.",
        in_bytes(needed),
        backend.device_name,
        in_bytes(free),
        in_bytes(held.block_bytes),
    )
    return held


def move_samples(backend: Backend, samples: Samples, dtype: str) -> Samples:
    """Move rows to the backend's device; bytes that have a divisor stay bytes."""
    x, targets, weight, divisor = samples
    return Samples(
        backend.asarray(x, dtype if divisor is None else None),
        backend.asarray(targets, dtype),
        None if weight is None else backend.asarray(weight, dtype),
        divisor,
    )


def rows_on_device(backend: Backend, held: Samples | StreamedSamples, start: int, stop: int) -> Batch:
    """Return the rows from `start` up to `stop`, which may lie beyond the last, on the device."""
    if isinstance(held, StreamedSamples):
        return make_batch(backend.xp, move_samples(backend, slice_rows(held.samples, start, stop), held.dtype))
    return make_batch(backend.xp, slice_rows(held, start, stop))


def train_epoch(
    backend: Backend,
    step: Step,
    state: TrainingState,
    held: Samples | StreamedSamples,
    order: Integer[np.ndarray, " rows"],
    learning_rates: Float[np.ndarray, " steps"],
    batch_size: int,
) -> tuple[TrainingState, Float[Any, "*models steps"]]:
    """Take one step for each batch, wherever the data are; see `Backend.run_epoch`.

    Parameters
    ----------
    order, learning_rates
        On the host.
    """
    dtype = str(state.layers[0].weight.dtype).rpartition(".")[2]
    if isinstance(held, StreamedSamples):
        return train_streamed_epoch(backend, step, state, held, order, learning_rates, batch_size)
    return backend.run_epoch(
        step, state, held, backend.asarray(order), backend.asarray(learning_rates, dtype), batch_size
    )


def train_streamed_epoch(
    backend: Backend,
    step: Step,
    state: TrainingState,
    held: StreamedSamples,
    order: Integer[np.ndarray, " rows"],
    learning_rates: Float[np.ndarray, " steps"],
    batch_size: int,
) -> tuple[TrainingState, Float[Any, "*models steps"]]:
    """Take one step for each batch, gathering and copying the next block of them while the device computes."""
    size = held.block_rows(batch_size)

    def fetch(start: int) -> Samples:
        rows = order[start : start + size]
        block = held.samples.map(lambda array: array[rows])
        # The feeder is another thread, which has none of what was set for this one.
        with backend.scope(), backend.transfers():
            return move_samples(backend, block, held.dtype)

    objectives = []
    starts = range(0, len(order), size)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="xpmlp-feeder") as feeder:
        upcoming = feeder.submit(fetch, 0)
        for start in starts:
            block = upcoming.result()
            is_last = start + size >= len(order)
            # What another thread asks of a GPU while a step is recorded spoils the recording. The first block's steps
            # are recorded, and the last one's, after which nothing is fetched.
            records = backend.records_steps and not held.place
            if not (is_last or records):
                upcoming = feeder.submit(fetch, start + size)
            rows = block.rows
            if backend.records_steps:
                block = held.set_in_place(block)
            rates = learning_rates[start // batch_size : math.ceil((start + rows) / batch_size)]
            state, part = backend.run_epoch(
                step,
                state,
                block,
                backend.asarray(np.arange(rows)),
                backend.asarray(rates, held.dtype),
                batch_size,
            )
            if records and not is_last:
                upcoming = feeder.submit(fetch, start + size)
            # Before this block's memory is given back, and taken for another's copy.
            backend.wait(state)
            objectives.append(part)
    return state, backend.xp.concat(objectives, axis=-1)


def write_over(place: Samples, block: Samples) -> Samples:
    """Write a block over the first rows of another."""
    for into, array in zip(place.arrays, block.arrays, strict=True):
        into[: array.shape[0], ...] = array
    return place


def in_bytes(count: int) -> str:
    """Return a number of bytes in words."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} GiB"
