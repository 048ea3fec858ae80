"""The array libraries: for each a namespace, a device, and how a training step is repeated over an epoch.

A backend is one small file with one class over `Backend`, listed in `BACKENDS`. It is imported when it is asked for:
nobody waits for a library that they do not use, or needs to have it. ``docs/backends.md`` shows how one is added.
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
