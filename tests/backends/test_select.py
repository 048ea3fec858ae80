"""A backend is found by its name, by what the machine has, or by the arrays that it is to compute with."""

import importlib
import logging
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from xpmlp.backends import BACKENDS, Backend, NumpyBackend, infer_backend, load_backend, select, usable_backends
from xpmlp.errors import BackendError, MissingDependencyError, SettingsError

Place = Any  # see conftest.py


def test_a_backend_is_loaded_by_its_name() -> None:
    backend = load_backend("numpy", "cpu")
    assert type(backend) is NumpyBackend
    assert (backend.name, backend.device) == ("numpy", "cpu")
    with pytest.raises(SettingsError, match=r"'numpyy' is not one of numpy, cupy, torch, jax, auto"):
        load_backend("numpyy")
    with pytest.raises(SettingsError, match=r"'cuda': NumPy has only cpu"):
        load_backend("numpy", "cuda")


@pytest.mark.parametrize("name", [name for name, entry in BACKENDS.items() if entry.extra])
def test_a_missing_library_is_named_with_its_installation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingDependencyError, match=rf'pip install "xpmlp\[{BACKENDS[name].extra}\]"'):
        load_backend(name)


def refuse(name: str) -> None:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libcudart.so.12: cannot open shared object file.\nAnd more."),
        RuntimeError("libcudart.so.12: cannot open shared object file"),
        ModuleNotFoundError("No module named 'filelock'", name="filelock"),
    ],
)
def test_a_library_that_is_broken_is_said_to_be(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", Mock(side_effect=error))
    with pytest.raises(BackendError) as refusal:
        load_backend("torch")
    reason = str(error).splitlines()[0].removesuffix(".")
    assert f"torch is installed, but it cannot be imported here ({reason}). Install it again: pip" in str(refusal.value)
    assert refusal.value.__cause__ is error
    monkeypatch.undo()
    assert load_backend("auto", "cpu").name == "numpy"


def test_a_library_may_not_start(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    fail = Mock(side_effect=RuntimeError("Unable to initialize backend 'cuda'"))
    monkeypatch.setattr(select, "backend_class", lambda name: fail if name == "jax" else without_gpus(name))
    with pytest.raises(BackendError, match=r"jax is installed, but it does not start here \(Unable to initialize"):
        load_backend("jax")
    assert usable_backends() == ["numpy"]
    with caplog.at_level(logging.INFO, logger="xpmlp"):
        assert load_backend("auto").name == "numpy"
    assert "jax: jax is installed, but it does not start here" in caplog.text


def test_auto_is_numpy_without_a_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(select, "backend_class", without_gpus)
    assert usable_backends() == ["numpy", "jax"]
    with caplog.at_level(logging.INFO, logger="xpmlp"):
        backend = load_backend("auto")
    assert type(backend) is NumpyBackend
    (message,) = caplog.messages
    assert message.startswith("backend auto: numpy on the cpu, because no GPU can be used ")
    assert message.endswith("(cupy: there is no driver; torch is not installed; jax finds no GPU)")
    with pytest.raises(SettingsError, match=r"'cuda': no backend can use it here. cupy: there is no driver; torch is"):
        load_backend("auto", "cuda")


def test_auto_takes_the_first_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Gpu(Backend):
        name = "torch"

        def __init__(self, device: str | None) -> None:
            super().__init__(np, device or "cuda:0")

    monkeypatch.setattr(select, "backend_class", lambda name: Gpu if name == "torch" else without_gpus(name))
    with caplog.at_level(logging.INFO, logger="xpmlp"):
        assert load_backend("auto").device_name == "cuda:0"
        assert load_backend("auto", "cuda:1").device_name == "cuda:1"
        assert type(load_backend("auto", "cpu")) is NumpyBackend
    assert caplog.messages == [
        "backend auto: torch on cuda:0, a GPU",
        "backend auto: torch on cuda:1, a GPU",
        "backend auto: numpy on the cpu, as asked for",
    ]


def without_gpus(name: str) -> Any:
    """Stand in for `backend_class` on a machine with a broken CuPy, no PyTorch, and JAX for the CPU."""
    if name == "cupy":
        raise BackendError("there is no driver.")
    if name == "torch":
        raise MissingDependencyError("not here")
    return NumpyBackend if name == "numpy" else lambda device: Backend(np, "cpu")


@pytest.mark.parametrize("host", [np.ones(3), np.float32(1.0), [1.0, 2.0], {"a": [1]}, "text", None])
def test_what_lives_on_the_host_belongs_to_numpy(host: Any) -> None:
    assert type(infer_backend(host, None)) is NumpyBackend


def test_arrays_belong_to_the_backend_of_their_library_on_their_device(place: Place) -> None:
    array = place.asarray([1.0, 2.0])
    backend = infer_backend(array, None, place.asarray([[0]], "int64"))
    with backend.scope():
        moved = backend.asarray(np.zeros(2))
        assert moved.device == array.device
        assert type(moved + array) is type(array) or place.name == "numpy-readonly"
    known = {"numpy-readonly": "numpy"}.get(place.name, place.name)
    assert backend.name == (known if known in BACKENDS else "array-api")


def test_arrays_of_two_libraries_are_refused_with_both_named(place: Place) -> None:
    if place.name.startswith("numpy"):
        pytest.skip("it takes another library than NumPy")
    with pytest.raises(SettingsError, match=rf"{place.name[:15].replace('-', '.')}.* on .*, and numpy on cpu"):
        infer_backend(place.asarray([1.0]), np.ones(2))


def test_arrays_on_two_devices_of_one_library_are_refused_with_both_named() -> None:
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    first, second = (strict.ones(2, device=strict.Device(name)) for name in ("CPU_DEVICE", "device1"))
    with pytest.raises(SettingsError, match=r"CPU_DEVICE.*device1"):
        infer_backend(first, second)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "auto"])
def test_tf32_is_refused_where_there_is_no_gpu_that_has_it(name: str) -> None:
    try:
        backend = load_backend(name, "cpu")
    except MissingDependencyError:
        pytest.skip(f"{name} is not installed")
    assert not backend.tf32
    with pytest.raises(SettingsError, match=r"tf32: only NVIDIA's GPUs have it, but .* computes on cpu"):
        load_backend(name, "cpu", tf32=True)
