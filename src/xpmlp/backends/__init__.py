"""The array libraries: for each a namespace, a device, and how a training step is repeated over an epoch.

A backend is one small file with one class over `Backend`, listed in `BACKENDS`. It is imported when it is asked for:
nobody waits for a library that they do not use, or needs to have it. ``docs/backends.md`` shows how one is added.
"""

from .base import Backend
from .devices import Device, is_gpu
from .numpy import NumpyBackend
from .resident import HostSamples, hold
from .samples import Samples
from .select import BACKENDS, backend_of, load_backend, usable_backends
from .survey import BackendStatus, survey_backends

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendStatus",
    "Device",
    "HostSamples",
    "NumpyBackend",
    "Samples",
    "backend_of",
    "hold",
    "is_gpu",
    "load_backend",
    "survey_backends",
    "usable_backends",
]
