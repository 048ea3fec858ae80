"""Which rows of each batch a process computes."""

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
from jaxtyping import Int64

from xpmlp.backends import Backend
from xpmlp.data import DiskSamples
from xpmlp.errors import SettingsError
from xpmlp.nn.objective import keep
from xpmlp.nn.samples import Samples, slice_rows

from .distributed import Combine, Communicator, OwnRows


@dataclass
class Share:
    """This process's share of each batch.

    All processes have equally many rows of each batch, so that all take the same steps; where rows are missing, the
    share is filled up with a row that weighs nothing. If each process holds rows of its own, its share is as many as
    happen to be among them, and all shares are as large as the largest of any process so far: all processes capture a
    step at the same time.

    Attributes
    ----------
    fill
        Index of the row that fills up.
    largest
        Rows in the largest share so far.
    """

    communicator: Communicator
    batch_size: int
    fill: int
    largest: int = 0

    @property
    def holds_own(self) -> bool:
        """Whether each process holds rows of its own."""
        return isinstance(self.communicator, OwnRows)

    @property
    def rows(self) -> int:
        """Number of rows in the share."""
        return max(self.largest, math.ceil(self.batch_size / self.communicator.size))

    @property
    def first_row(self) -> int:
        """Position in the batch of the first of them; of own rows, one that no other process's rows have."""
        return self.communicator.rank * (self.batch_size if self.holds_own else self.rows)

    def combine(self, backend: Backend) -> Any:
        """Return what adds up losses and gradients over all processes."""
        return keep if self.communicator.size == 1 else Combine(self.communicator, backend)

    def order(self, order: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " own"]:
        """Return the rows of this process, batch by batch, out of the order of all rows."""
        processes = self.communicator
        if processes.size == 1:
            return order
        batch, position = np.divmod(np.arange(len(order)), self.batch_size)
        holder = processes.holder(order) if isinstance(processes, OwnRows) else position // self.rows
        self.largest = max(self.rows, int(np.bincount(batch * processes.size + holder).max()))
        is_own = holder == processes.rank
        batch = batch[is_own]
        place = np.arange(len(batch)) - np.searchsorted(batch, batch)  # in the share
        steps = math.ceil(len(order) / self.batch_size)
        batches = np.full((steps, self.rows), self.fill, order.dtype)
        batches[batch, place] = processes.own(order[is_own])
        return batches.reshape(-1)

    def samples(self, samples: Any) -> Any:
        """Return training samples with weights, and with the row that fills up a share after the last."""
        if self.communicator.size == 1:
            return samples
        if isinstance(samples, DiskSamples):
            steps = math.ceil(samples.rows / self.batch_size)
            return samples.for_process(self.communicator.rank, self.communicator.size, steps * self.rows)
        weight = np.ones(samples.rows, np.float32) if samples.weight is None else samples.weight
        return samples._replace(weight=weight).map(with_zero_row)

    def validation(self, samples: Samples) -> Samples:
        """Return this process's part of validation samples, which may be empty; its own ones are that already."""
        rows = math.ceil(samples.rows / self.communicator.size)
        if self.holds_own or rows == samples.rows:
            return samples
        start = min(self.communicator.rank * rows, samples.rows)
        return slice_rows(samples, start, start + rows)


def make_share(communicator: Communicator, backend: Backend, batch_size: int, rows: int) -> Share:
    """Return this process's share of each batch, of that many rows of its own or of all; refuse what has none."""
    if communicator.size > 1 and not backend.calls_host:
        raise SettingsError(
            f"backend {backend.name}: compiles an epoch as a whole, which cannot wait for other processes. Train in "
            "several processes with numpy, torch or cupy."
        )
    if batch_size < communicator.size and not isinstance(communicator, OwnRows):
        raise SettingsError(
            f"batch_size: {batch_size} rows are too few for {communicator.size} processes, which each take a part of "
            "every batch. Use larger batches, or fewer processes."
        )
    return Share(communicator, batch_size, rows)


def with_zero_row(array: Any) -> Any:
    """Return an array of any library, or a sparse matrix, with a further row of zeros."""
    if hasattr(array, "tocsr"):
        import scipy.sparse

        return scipy.sparse.vstack([array, 0 * array[:1]], format="csr")
    xp = array_api_compat.array_namespace(array)
    return xp.concat([array, xp.zeros_like(array[:1])])
