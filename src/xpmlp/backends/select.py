"""A backend by its name."""

import importlib
from typing import NamedTuple

from xpmlp.errors import SettingsError
from xpmlp.optional_imports import import_optional

from .base import Backend


class BackendEntry(NamedTuple):
    """Where a backend is found: its class and module, the library that it needs, and the extra that brings that."""

    module: str
    class_name: str
    library: str
    extra: str | None = None


BACKENDS: dict[str, BackendEntry] = {
    "numpy": BackendEntry("xpmlp.backends.numpy", "NumpyBackend", "numpy"),
    "torch": BackendEntry("xpmlp.backends.torch", "TorchBackend", "torch", extra="torch"),
    "jax": BackendEntry("xpmlp.backends.jax", "JaxBackend", "jax", extra="jax"),
}


def load_backend(name: str = "numpy", device: str | None = None) -> Backend:
    """Return the backend called `name`, ready to use.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; None for the library's own choice.

    Raises
    ------
    SettingsError
        Where there is none of that name, or it has no such device.
    MissingDependencyError
        Where its library is not installed; the message holds the command that installs it.
    """
    if name not in BACKENDS:
        raise SettingsError(f"backend {name!r} is not one of {', '.join(BACKENDS)}.")
    entry = BACKENDS[name]
    if entry.extra is not None:
        import_optional(entry.library, extra=entry.extra, purpose=f"The backend {name}")
    backend: Backend = getattr(importlib.import_module(entry.module), entry.class_name)(device)
    return backend
