"""Streams and a cuBLAS handle: what a thread needs to compute, capture and copy on a GPU."""

import threading
import weakref
from collections import deque
from typing import Any

import cupy


class DeviceResources:
    """Resources of one device, used by one thread at a time.

    Attributes
    ----------
    stream
        For computations. Only a stream of our own can be captured.
    transfer_stream
        For copies beside them. CuPy's pool keeps freed memory for the stream that it was allocated on.
    cublas
        A handle for captured products; None before the first one.
    """

    def __init__(self, device: Any) -> None:
        with device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.transfer_stream = cupy.cuda.Stream(non_blocking=True)
        self.cublas: Any = None


class Lease:
    """Takes idle resources of a device, or new ones, and returns them when it is deleted.

    They are never destroyed: destroying a cuBLAS handle synchronizes the device, which invalidates the captures of
    other threads.
    """

    idle: dict[int, deque[DeviceResources]] = {}  # noqa: RUF012 - of each device, shared by all threads

    def __init__(self, device: Any) -> None:
        idle = self.idle.setdefault(device.id, deque())
        try:
            self.resources = idle.pop()
        except IndexError:
            self.resources = DeviceResources(device)
        # Unlike __del__, this keeps the streams alive if garbage collection finds this object in a reference cycle.
        weakref.finalize(self, idle.append, self.resources).atexit = False


class Leases(threading.local):
    """A thread's leases by device; they end with the thread."""

    def __init__(self) -> None:
        self.by_device: dict[int, Lease] = {}


LEASES = Leases()


def thread_resources(device: Any) -> DeviceResources:
    """Return this thread's resources of a device."""
    leases = LEASES.by_device
    if device.id not in leases:
        leases[device.id] = Lease(device)
    return leases[device.id].resources
