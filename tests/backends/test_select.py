import importlib

import pytest

from xpmlp.backends import BACKENDS, NumpyBackend, load_backend
from xpmlp.errors import MissingDependencyError, SettingsError


def test_a_backend_is_loaded_by_its_name() -> None:
    backend = load_backend("numpy")
    assert type(backend) is NumpyBackend
    assert backend.name == "numpy"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'numpyy' is not one of .*numpy") as refusal:
        load_backend("numpyy")
    assert all(name in str(refusal.value) for name in BACKENDS)


def test_the_device_of_numpy_is_the_cpu() -> None:
    assert load_backend("numpy", "cpu").device == "cpu"
    with pytest.raises(SettingsError, match=r"'cuda': NumPy has only cpu"):
        load_backend("numpy", "cuda")


@pytest.mark.parametrize("name", [name for name, entry in BACKENDS.items() if entry.extra])
def test_a_library_that_is_missing_is_named_with_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingDependencyError, match=rf'pip install "xpmlp\[{BACKENDS[name].extra}\]"'):
        load_backend(name)


def refuse(name: str) -> None:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
