"""Choose a backend by its name, by the arrays of a call, or by the devices of this machine."""

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import array_api_compat

from xpmlp.errors import BackendError, MissingDependencyError, SettingsError, XpmlpError
from xpmlp.optional_imports import import_optional

from .base import Backend
from .devices import is_gpu

logger = logging.getLogger(__name__)


class BackendEntry(NamedTuple):
    """A backend's module and class, its library, and the extra that installs that.

    `owns` returns whether an array is this library's, without importing it.
    """

    module: str
    class_name: str
    library: str
    owns: Callable[[Any], bool]
    extra: str | None = None


BACKENDS: dict[str, BackendEntry] = {
    "numpy": BackendEntry(".numpy", "NumpyBackend", "numpy", array_api_compat.is_numpy_array),
    "cupy": BackendEntry(".cupy.backend", "CupyBackend", "cupy", array_api_compat.is_cupy_array, extra="cuda13"),
    "torch": BackendEntry(".torch.backend", "TorchBackend", "torch", array_api_compat.is_torch_array, extra="torch"),
    "jax": BackendEntry(".jax", "JaxBackend", "jax", array_api_compat.is_jax_array, extra="jax"),
}

AUTO = "auto"


def load_backend(name: str = "numpy", device: str | None = None, *, tf32: bool = False) -> Backend:
    """Return a backend by its name.

    Parameters
    ----------
    name
        One of `BACKENDS`; or ``"auto"`` for the first of CuPy, PyTorch and JAX that can use a GPU, else NumPy. What
        was chosen, and why, is logged.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; None for the library's own choice.
    tf32
        Whether a GPU may round the inputs of float32 products to 10 bits behind the point, for speed.

    Raises
    ------
    SettingsError
        If there is no backend of that name, or it lacks that device, or TF32.
    MissingDependencyError
        If its library is not installed; the message holds the command that installs it.
    BackendError
        If its library is installed, but cannot be used on this machine.
    """
    if name == AUTO:
        backend = choose_backend(device)
        return load_backend(backend.name, backend.device_name, tf32=True) if tf32 else backend
    make = backend_class(name)
    with unusable_explained(name, "it does not start"):
        backend = make(device)
    if tf32:
        if not backend.device_name.startswith("cuda"):
            raise SettingsError(f"tf32: only NVIDIA's GPUs have it, but {name} computes on {backend.device_name} here.")
        backend.tf32 = True
    return backend


def backend_class(name: str) -> type[Backend]:
    """Import a backend's module and return its class, which takes a device."""
    if name not in BACKENDS:
        raise SettingsError(f"backend {name!r} is not one of {', '.join(BACKENDS)}, {AUTO}.")
    entry = BACKENDS[name]
    with unusable_explained(name, "it cannot be imported"):
        if entry.extra is not None:
            import_optional(entry.library, extra=entry.extra, purpose=f"The backend {name}")
        found: type[Backend] = getattr(importlib.import_module(entry.module, __package__), entry.class_name)
        return found


@contextmanager
def unusable_explained(name: str, what: str) -> Iterator[None]:
    """Turn any error of an installed library that does not work into a `BackendError`; keep explained errors."""
    try:
        yield
    except (XpmlpError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        extra = BACKENDS[name].extra
        again = f'Install it again: pip install --force-reinstall "xpmlp[{extra}]", or use' if extra else "Use"
        raise BackendError(
            f"{BACKENDS[name].library} is installed, but {what} here ({reason[0].removesuffix('.')}). "
            f"{again} another backend, such as numpy."
        ) from error


def choose_backend(device: str | None = None) -> Backend:
    """Return the first backend that can use a GPU, else NumPy, and log why."""
    refusals = []
    for name in ("cupy", "torch", "jax"):
        if device == "cpu":
            break
        try:
            backend = load_backend(name, device)
        except MissingDependencyError:
            refusals.append(f"{name} is not installed")
        except (BackendError, SettingsError) as error:
            refusals.append(f"{name}: {str(error).removesuffix('.')}")
        else:
            if is_gpu(backend.device_name):
                logger.info("backend auto: %s on %s, a GPU", name, backend.describe()["device"])
                return backend
            refusals.append(f"{name} finds no GPU")
    if device not in (None, "cpu"):
        raise SettingsError(f"device {device!r}: no backend can use it here. {'; '.join(refusals)}.")
    reason = "as asked for" if device == "cpu" else f"because no GPU can be used ({'; '.join(refusals)})"
    logger.info("backend auto: numpy on the cpu, %s", reason)
    return load_backend("numpy")


def usable_backends() -> list[str]:
    """Return the names of the backends that work on this machine."""
    usable = []
    for name in BACKENDS:
        try:
            load_backend(name)
        except (MissingDependencyError, BackendError):
            continue
        usable.append(name)
    return usable


def infer_backend(*arrays: Any) -> Backend:
    """Return the backend of the arrays' library, on their device.

    Lists, data frames and NumPy arrays belong to NumPy; None is ignored. Another library that follows the Array API
    standard gets the generic `Backend`.

    Raises
    ------
    SettingsError
        If two libraries or two devices are mixed; the message names both.
    """
    places = {place: None for place in map(place_of, arrays) if place is not None}  # a set that keeps its order
    if len(places) > 1:
        first, second, *_ = (f"{name} on {device}" for name, device, _ in places)
        raise SettingsError(f"The arrays of one call are of different places: {first}, and {second}. Move them to one.")
    name, device, namespace = next(iter(places), ("numpy", "cpu", None))
    return load_backend(name, device) if namespace is None else Backend(namespace, device)


def place_of(array: Any) -> tuple[str, Any, Any] | None:
    """Return an array's backend, its device, and its namespace if it has no backend of its own."""
    if array is None:
        return None
    for name, entry in BACKENDS.items():
        if entry.owns(array):
            return name, backend_class(name).name_of(array.device), None
    if hasattr(array, "__array_namespace__") and hasattr(array, "device"):
        namespace = array.__array_namespace__()
        return namespace.__name__, array.device, namespace
    return "numpy", "cpu", None
