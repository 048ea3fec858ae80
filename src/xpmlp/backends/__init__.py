"""The array libraries: for each a namespace, a device, and how a training step is repeated over an epoch.

A backend is a subclass of `Backend`, in one file or one folder, listed in `BACKENDS`. Its library is imported when the
backend is loaded, and only then needed. ``docs/backends.md`` shows how to add one.
"""

from .base import Backend
from .check import BackendStatus, check_backends
from .devices import Device, is_gpu
from .numpy import NumpyBackend
from .select import BACKENDS, infer_backend, load_backend, usable_backends

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendStatus",
    "Device",
    "NumpyBackend",
    "check_backends",
    "infer_backend",
    "is_gpu",
    "load_backend",
    "usable_backends",
]
