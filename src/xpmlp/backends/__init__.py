"""The array libraries: for each a namespace, a device, and how a training step is repeated over an epoch.

A backend is one small file with one class over `Backend`, listed in `BACKENDS`. It is imported when it is asked for:
nobody waits for a library that they do not use, or needs to have it.
"""

from .base import Backend
from .numpy import NumpyBackend
from .samples import Samples
from .select import BACKENDS, load_backend

__all__ = ["BACKENDS", "Backend", "NumpyBackend", "Samples", "load_backend"]
