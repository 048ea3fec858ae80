"""Streams, memory and a cuBLAS handle: what a thread needs to compute, capture and copy on a GPU."""

import weakref
from collections import deque
from typing import Any

import cupy

IDLE: dict[int, deque["DeviceResources"]] = {}  # of each device, for reuse


class DeviceResources:
    """Resources of one device, used by one thread of one backend at a time.

    Attributes
    ----------
    stream
        For computations. Only a stream of our own can be captured.
    transfer_stream
        For copies beside them. CuPy's pool keeps freed memory for the stream that it was allocated on.
    capture_pool
        For the results within a captured step: as long as it can be replayed, no other array may use their memory.
    cublas
        A handle for captured products; None before the first one.
    """

    def __init__(self, device: Any) -> None:
        with device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.transfer_stream = cupy.cuda.Stream(non_blocking=True)
            # Blocks come from CuPy's own pool and return to it, so that released memory serves other arrays.
            self.capture_pool = cupy.cuda.MemoryPool(cupy.cuda.get_allocator())
        self.cublas: Any = None


class Lease:
    """Takes idle resources of a device, or new ones, and returns them when it is deleted.

    They are reused because they are expensive, and because destroying a cuBLAS handle synchronizes the device, which
    invalidates captures in other threads.
    """

    def __init__(self, device: Any) -> None:
        idle = IDLE.setdefault(device.id, deque())
        try:
            self.resources = idle.pop()
        except IndexError:
            self.resources = DeviceResources(device)
        # Unlike __del__, this keeps the streams alive if garbage collection finds this object in a reference cycle.
        weakref.finalize(self, idle.append, self.resources).atexit = False
