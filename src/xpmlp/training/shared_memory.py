"""Sums over the processes of one machine through memory that all of them see: each adds up a part, all read the whole.

MPI's own ``Allreduce`` passes messages, which are copied twice more. Here the engine lets a matrix product write its
result where the others read it (`xpmlp.backends.engine.tracing.trace_update`).
"""

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

FOLDER = "/dev/shm"  # files there are memory
LINE = 64  # bytes: arrays begin at a line of the processor's cache


class SharedSum:
    """The sum of one array over processes on one machine.

    Attributes
    ----------
    source
        This process's array.
    result
        The sum, once `add_up` has been called in all processes and until it is called again.
    """

    def __init__(self, mpi: Any, memory: mmap.mmap, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.mpi = mpi
        size = length(shape, dtype)
        self.arrays = [np.ndarray(shape, dtype, memory, rank * size) for rank in range(mpi.size + 1)]
        self.source, self.result = self.arrays[mpi.rank], self.arrays[-1]
        self.parts = list(map(self.part, self.arrays))
        self.own = slice(mpi.rank, None, mpi.size)  # of the tiles
        self.shared: dict[int, np.ndarray] = {}

    def part(self, array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, " part"]:
        """Return this process's part of an array."""
        size = math.ceil(array.size / self.mpi.size)
        return array.reshape(-1)[self.mpi.rank * size : (self.mpi.rank + 1) * size]

    def __call__(self, array: Shaped[np.ndarray, "..."]) -> None:
        """Replace an array by its sum."""
        np.copyto(self.source, array)
        self.add_up()
        np.copyto(array, self.result)

    def add_up(self) -> None:
        """Add up this process's part of the arrays, as soon as all are there, and wait for the other parts."""
        *sources, result = self.parts
        self.wait()
        add_all(sources, result)
        self.wait()

    def wait(self) -> None:
        """Wait until all processes have come to this point."""
        self.mpi.Barrier()

    def add_up_rows(self, rows: slice, result: Shaped[np.ndarray, "rows columns"]) -> None:
        """Write the sum of some rows to an array of this process; all must have written theirs."""
        add_all([array[rows] for array in self.arrays[:-1]], result)

    def share(self, number: int, array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """Return the one array with that number that all processes see, with the content that each of them gives.

        Raises
        ------
        MemoryError
            If there is too little memory.
        """
        if number not in self.shared:
            memory = share_memory(self.mpi, length(array.shape, array.dtype))
            if memory is None:
                raise MemoryError
            self.shared[number] = np.ndarray(array.shape, array.dtype, memory)
        self.wait()
        np.copyto(self.part(self.shared[number]), self.part(array))
        self.wait()
        return self.shared[number]


def add_all(arrays: Sequence[Shaped[np.ndarray, "*axes"]], result: Shaped[np.ndarray, "*axes"]) -> None:
    """Write the sum of two or more arrays."""
    np.add(arrays[0], arrays[1], out=result)
    for array in arrays[2:]:
        np.add(result, array, out=result)


def length(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the bytes from one array to the next."""
    return math.ceil(math.prod(shape) * dtype.itemsize / LINE) * LINE


def share_memory(mpi: Any, size: int) -> mmap.mmap | None:
    """Return memory that all processes see; None if they are on several machines, or there is not enough."""
    memory = None
    path = mpi.bcast(reserve(size) if mpi.rank == 0 else None)
    if path is not None:
        with contextlib.suppress(OSError, ValueError), open(path, "r+b") as file:
            memory = mmap.mmap(file.fileno(), size)
    everywhere = all(mpi.allgather(memory is not None))
    if path is not None and mpi.rank == 0:
        os.unlink(path)
    return memory if everywhere else None


def reserve(size: int) -> str | None:
    """Return the path of a new file of that many bytes in memory; None if there is none to be had."""
    try:
        with tempfile.NamedTemporaryFile(prefix="xpmlp-", dir=FOLDER, delete=False) as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)  # later, a process that finds no space would be killed
            except BaseException:
                os.unlink(file.name)
                raise
    except (OSError, AttributeError):  # AttributeError: not on this system
        return None
    return file.name
