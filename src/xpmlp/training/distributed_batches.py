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
    share is filled up with a row that weighs nothing.

    Attributes
    ----------
    fill
        Index of that row.
    """

    communicator: Communicator
    batch_size: int
    fill: int

    @property
    def rows(self) -> int:
        """Number of rows in the share."""
        return math.ceil(self.batch_size / self.communicator.size)

    @property
    def first_row(self) -> int:
        """Position in the batch of the first of them."""
        return self.communicator.rank * self.rows

    def combine(self, backend: Backend) -> Any:
        """Return what adds up losses and gradients over all processes."""
        return keep if self.communicator.size == 1 else Combine(self.communicator, backend)

    def order(self, order: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " own"]:
        """Return the rows of this process, batch by batch, out of the order of all rows."""
        if self.communicator.size == 1:
            return order
        whole = np.pad(order, (0, -len(order) % self.batch_size), constant_values=self.fill)
        missing = self.rows * self.communicator.size - self.batch_size
        batches = np.pad(whole.reshape(-1, self.batch_size), ((0, 0), (0, missing)), constant_values=self.fill)
        return batches[:, self.first_row : self.first_row + self.rows].reshape(-1)

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
        """Return this process's part of validation samples; it may be empty."""
        rows = math.ceil(samples.rows / self.communicator.size)
        start = min(self.communicator.rank * rows, samples.rows)
        return samples if rows == samples.rows else slice_rows(samples, start, start + rows)


class OwnShare(Share):
    """A process's share of each batch if it holds training rows of its own: as many as happen to be among its rows.

    All shares are as large as the largest of any process so far: all processes capture a step at the same time.
    """

    communicator: OwnRows
    largest = 0

    @property
    def rows(self) -> int:
        """Number of rows in the share."""
        return max(self.largest, super().rows)

    @property
    def first_row(self) -> int:
        """Position that no other process's rows have; not that in the batch."""
        return self.communicator.rank * self.batch_size

    def order(self, order: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " own"]:
        """Return the rows of this process, batch by batch, out of the order of all rows."""
        steps = math.ceil(len(order) / self.batch_size)
        holder = self.communicator.holder(order)
        shares = np.arange(len(order)) // self.batch_size * self.communicator.size + holder
        self.largest = max(self.rows, int(np.bincount(shares).max()))
        batch = np.flatnonzero(holder == self.communicator.rank) // self.batch_size
        counts = np.bincount(batch, minlength=steps)
        place = np.arange(len(batch)) - (np.cumsum(counts) - counts)[batch]
        batches = np.full((steps, self.rows), self.fill, order.dtype)
        batches[batch, place] = self.communicator.own(order)
        return batches.reshape(-1)

    def validation(self, samples: Samples) -> Samples:
        """Return the validation samples, which are this process's own."""
        return samples


def make_share(communicator: Communicator, backend: Backend, batch_size: int, rows: int) -> Share:
    """Return this process's share of each batch, of that many rows of its own or of all; refuse what has none."""
    if communicator.size > 1 and not backend.calls_host:
        raise SettingsError(
            f"backend {backend.name}: compiles an epoch as a whole, which cannot wait for other processes. Train in "
            "several processes with numpy, torch or cupy."
        )
    if isinstance(communicator, OwnRows):
        return OwnShare(communicator, batch_size, rows)
    if batch_size < communicator.size:
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
