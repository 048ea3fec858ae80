"""Samples on the device that computes, or on the host and streamed to it block by block."""

import functools
import logging
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from xpmlp.backends.base import Backend
from xpmlp.datasets.memory import format_bytes
from xpmlp.nn.samples import Batch, Samples, make_batch, slice_rows
from xpmlp.nn.step import Step, TrainingState

from .disk import Block, DiskSamples

logger = logging.getLogger(__name__)

DATA_FRACTION = 0.8  # of a device's free memory; the rest is for the network and its activations
MAX_BLOCK_BYTES = 2**28  # copies run at full speed, and gathering the next block does not take long
MAX_BLOCKS = 3  # on the device at a time: one in use, one being copied, one in the fixed buffer of a recording


@dataclass(frozen=True)
class StreamedSamples:
    """Samples that stay on the host, because they do not fit into the device's memory.

    Attributes
    ----------
    samples
        NumPy arrays.
    dtype
        Name of their dtype on the device.
    block_bytes
        Upper bound of a block's size on the device.
    buffer
        The block on the device that recorded steps read; empty before the first epoch. Recordings capture its
        addresses, so it is kept from one epoch to the next.
    """

    samples: Samples
    dtype: str
    block_bytes: int
    buffer: list[Samples] = field(default_factory=list, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.samples.rows

    def block_rows(self, batch_size: int) -> int:
        """Return the number of rows of a block: all whole batches that fit, at least one."""
        row_bytes = count_bytes(self.samples, self.dtype) // self.rows
        return max(self.block_bytes // (row_bytes * batch_size), 1) * batch_size

    def blocks(self, order: Integer[np.ndarray, " rows"], batch_size: int) -> Iterator[Block]:
        """Yield the rows of an epoch in order, in blocks of whole batches."""
        size = self.block_rows(batch_size)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            block = self.samples.map(lambda array, rows=rows: array[rows])  # type: ignore[misc]
            yield Block(block, np.arange(len(rows)), start + size >= len(order))


def copy_to_buffer(buffer: list[Samples], block: Samples) -> Samples:
    """Copy a block into the buffer, and return the buffer; the first block becomes the buffer itself.

    The copy is only queued: keep `block` until the device has finished.
    """
    if not buffer or buffer[0].rows < block.rows:
        buffer[:] = [block]
        return block
    for target, array in zip(buffer[0].arrays, block.arrays, strict=True):
        target[: array.shape[0], ...] = array
    return buffer[0]


def count_bytes(samples: Samples, dtype: str) -> int:
    """Return the size of samples on a device, in bytes."""
    itemsize = np.dtype(dtype).itemsize
    x, *others = (math.prod(array.shape) for array in samples.arrays)
    return int(x * (itemsize if samples.divisor is None else 1) + sum(others) * itemsize)


def place_samples(backend: Backend, samples: Samples, dtype: str) -> Samples | StreamedSamples:
    """Move samples to the device if they fit; otherwise log a warning and keep them on the host.

    Parameters
    ----------
    samples
        Host arrays, or arrays of the backend's library. Arrays that are on the device with this dtype are not copied.
        Bytes with a divisor stay bytes.
    """
    free = backend.free_memory()
    needed = count_bytes(samples, dtype)
    on_host = all(isinstance(array, np.ndarray) for array in samples.arrays)
    if free is None or not on_host or needed <= DATA_FRACTION * free:
        return move_samples(backend, samples, dtype)
    streamed = StreamedSamples(samples, dtype, min(MAX_BLOCK_BYTES, int(DATA_FRACTION * free / MAX_BLOCKS)))
    logger.warning(
        "The data need %s, but %s has only %s free: they stay on the host and are streamed in blocks of up to %s.",
        format_bytes(needed),
        backend.device_name,
        format_bytes(free),
        format_bytes(streamed.block_bytes),
    )
    return streamed


def move_samples(backend: Backend, samples: Samples, dtype: str) -> Samples:
    """Move samples to the device; bytes with a divisor stay bytes."""
    x, targets, weight, divisor = samples
    return Samples(
        backend.asarray(x, dtype if divisor is None else None),
        backend.asarray(targets, dtype),
        None if weight is None else backend.asarray(weight, dtype),
        divisor,
    )


def rows_on_device(backend: Backend, samples: Samples | StreamedSamples, start: int, stop: int) -> Batch:
    """Return the rows from `start` up to `stop`, or to the last, as a batch on the device."""
    if isinstance(samples, StreamedSamples):
        return make_batch(backend.xp, move_samples(backend, slice_rows(samples.samples, start, stop), samples.dtype))
    return make_batch(backend.xp, slice_rows(samples, start, stop))


def train_epoch(
    backend: Backend,
    step: Step,
    state: TrainingState,
    samples: Samples | StreamedSamples | DiskSamples,
    order: Integer[np.ndarray, " rows"] | int,
    learning_rates: Float[np.ndarray, " steps"],
    batch_size: int,
    *,
    alone: bool = True,
) -> tuple[TrainingState, Float[Any, "*models steps"]]:
    """Take one step for each batch, wherever the samples are; see `Backend.run_epoch`.

    Parameters
    ----------
    order, learning_rates
        Host arrays. For samples on disk, `order` is the seed of the epoch's order.
    alone
        Whether no other process takes part in the step. Else it calls the host, which no CUDA graph can, once a batch.
    """
    dtype = str(state.layers[0].weight.dtype).rpartition(".")[2]
    run_epoch = backend.run_epoch if state.layers[0].weight.ndim == 2 else backend.run_ensemble_epoch
    if not alone:
        run_epoch = functools.partial(Backend.run_epoch, backend) if backend.records_steps else backend.run_epoch
    if isinstance(samples, Samples):
        rates = backend.asarray(learning_rates, dtype)
        return run_epoch(step, state, samples, backend.asarray(order), rates, batch_size)
    # The next block is read and copied while the device computes.
    blocks: Iterator[Block] = samples.blocks(order, batch_size)  # type: ignore[arg-type]
    buffer = samples.buffer if isinstance(samples, StreamedSamples) else []

    def fetch(transfer_stream: AbstractContextManager[object]) -> Block:
        block = next(blocks)
        with transfer_stream:
            return block._replace(samples=move_samples(backend, block.samples, dtype))

    objectives, done, is_last = [], 0, False
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="xpmlp-transfer") as pool:
        upcoming = pool.submit(fetch, backend.transfer_stream())
        while not is_last:
            fetched, order, is_last = upcoming.result()
            # Device calls of other threads can invalidate a capture. The first block's steps are captured, and the
            # last block's, after which nothing is fetched.
            captures = backend.records_steps and not buffer
            block = copy_to_buffer(buffer, fetched) if backend.records_steps else fetched
            if not (is_last or captures):
                upcoming = pool.submit(fetch, backend.transfer_stream())
            steps = math.ceil(len(order) / batch_size)
            rates = backend.asarray(learning_rates[done : done + steps], dtype)
            state, part = run_epoch(step, state, block, backend.asarray(order), rates, batch_size)
            done += steps
            if captures and not is_last:
                upcoming = pool.submit(fetch, backend.transfer_stream())
            # Until here `fetched` must live: its memory would go to the next block while this one is still read.
            backend.synchronize(state)
            objectives.append(part)
    return state, backend.xp.concat(objectives, axis=-1)
