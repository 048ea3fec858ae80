import pytest

from xpmlp.backends import BACKENDS, NumpyBackend, load_backend
from xpmlp.errors import SettingsError


def test_a_backend_is_loaded_by_its_name() -> None:
    backend = load_backend("numpy")
    assert type(backend) is NumpyBackend
    assert backend.name == "numpy"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'numpyy' is not one of .*numpy") as refusal:
        load_backend("numpyy")
    assert all(name in str(refusal.value) for name in BACKENDS)
