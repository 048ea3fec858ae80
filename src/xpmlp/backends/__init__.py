"""The array libraries: for each a namespace, a device, and how a training step is repeated over an epoch.

A backend is one small file with one class over `Backend`, listed in `BACKENDS`.
"""

from collections.abc import Callable

from xpmlp.errors import SettingsError

from .base import Backend
from .numpy import NumpyBackend
from .samples import Samples

__all__ = ["BACKENDS", "Backend", "NumpyBackend", "Samples", "load_backend"]

BACKENDS: dict[str, Callable[[], Backend]] = {"numpy": NumpyBackend}


def load_backend(name: str) -> Backend:
    """Return the backend called `name`, ready to use.

    Raises
    ------
    SettingsError
        Where there is none of that name.
    """
    if name not in BACKENDS:
        raise SettingsError(f"backend {name!r} is not one of {', '.join(BACKENDS)}.")
    return BACKENDS[name]()
