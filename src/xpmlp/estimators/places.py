"""Where arrays live, and how they get from one place to another."""

import functools
from numbers import Number
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.backends import Backend, NumpyBackend, infer_backend, load_backend

numpy_backend = functools.cache(NumpyBackend)  # one for all: looking for the linear algebra libraries takes a while


def home_of(*values: Any) -> Backend:
    """Return the backend of what a caller passed.

    What belongs to no library says nothing of it: None, numbers, lists, and labels that no device can hold.

    Raises
    ------
    SettingsError
        Where two libraries or two devices are mixed, naming both.
    """
    backend = infer_backend(*(value for value in values if not is_homeless(value)))
    return numpy_backend() if backend.name == "numpy" else backend


def is_homeless(value: Any) -> bool:
    """Tell whether a value can go with arrays of any library."""
    if type(value).__module__.partition(".")[0] in ("pandas", "polars") and len(value.shape) == 1:
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "OSU"
    return value is None or isinstance(value, Number | str | list | tuple)


def on_host(backend: Backend) -> bool:
    """Tell whether a backend's arrays are NumPy's."""
    return backend.name == "numpy"


def find_backend(name: str | None, device: str | None, home: Backend) -> Backend:
    """Return the backend of that name, by default that of the arrays at hand; and on that device, if one is named."""
    if name is None and device is None:
        return home
    if name in (None, home.name) and device in (None, home.device_name):
        return home
    if name == "numpy":
        return numpy_backend() if device is None else load_backend(name, device)
    return load_backend(name or home.name, device)


def same_place(first: Backend, second: Backend) -> bool:
    """Tell whether two backends compute with the same library on the same device."""
    return (first.name, first.device_name) == (second.name, second.device_name)


def move(array: Shaped[Any, "..."], home: Backend, target: Backend, dtype: str | None = None) -> Any:
    """Move an array from the backend that it belongs to, to another; over the host, where the libraries differ."""
    if same_place(home, target) and dtype is None:
        return array
    if home.name != target.name:
        with home.scope():
            array = home.to_numpy(array)
    with target.scope():
        return target.asarray(array, dtype)


def to_host(backend: Backend, array: Any) -> Shaped[np.ndarray, "..."]:
    """Return an array of a backend, or of the host, as one of the host."""
    if isinstance(array, np.ndarray):
        return array
    with backend.scope():
        return backend.to_numpy(array)


def dtype_name(array: Any) -> str:
    """Return the name of an array's dtype, which every library spells alike but for a prefix."""
    return str(array.dtype).rpartition(".")[2]
