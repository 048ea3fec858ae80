"""Sums over the processes of one machine through memory that all of them see: each adds up a part, all read the whole.

MPI's own ``Allreduce`` passes messages, which are copied twice more. Here the engine lets a matrix product write its
result where the others read it (`xpmlp.backends.engine.tracing.trace_update`).
"""

import contextlib
import math
import mmap
import os
import tempfile
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
        arrays = [np.ndarray(shape, dtype, memory, rank * size) for rank in range(mpi.size + 1)]
        self.source, self.result = arrays[mpi.rank], arrays[-1]
        part = math.ceil(self.result.size / mpi.size)
        self.parts = [array.reshape(-1)[mpi.rank * part : (mpi.rank + 1) * part] for array in arrays]

    def __call__(self, array: Shaped[np.ndarray, "..."]) -> None:
        """Replace an array by its sum."""
        np.copyto(self.source, array)
        self.add_up()
        np.copyto(array, self.result)

    def add_up(self) -> None:
        """Add up this process's part of the arrays, as soon as all are there, and wait for the other parts."""
        first, second, *others, result = self.parts
        self.mpi.Barrier()
        np.add(first, second, out=result)
        for other in others:
            np.add(result, other, out=result)
        self.mpi.Barrier()


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
