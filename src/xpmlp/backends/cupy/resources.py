"""Streams and a cuBLAS handle: what a thread needs to compute, capture and copy on a GPU."""

import functools
import threading
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
    """

    def __init__(self, device: Any) -> None:
        self.device = device
        with device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.transfer_stream = cupy.cuda.Stream(non_blocking=True)

    @functools.cached_property
    def cublas(self) -> Any:
        """A handle for captured products on the stream; see `CublasHandle`."""
        from .cublas import CublasHandle  # the bindings need not be installed

        with self.device:
            return CublasHandle(self.stream)


@functools.cache
def make_resources(number: int, thread: int) -> DeviceResources:
    """Return a thread's resources of a device. A later thread of the same identifier gets them, too.

    They are never destroyed: destroying a cuBLAS handle synchronizes the device, which invalidates the captures of
    other threads.
    """
    return DeviceResources(cupy.cuda.Device(number))


def thread_resources(device: Any) -> DeviceResources:
    """Return this thread's resources of a device."""
    return make_resources(device.id, threading.get_ident())
