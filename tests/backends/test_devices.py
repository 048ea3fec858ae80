"""Devices by their names."""

import pytest

from xpmlp.backends import is_gpu
from xpmlp.backends.devices import device_number
from xpmlp.errors import SettingsError


@pytest.mark.parametrize(("name", "expected"), [("cpu", False), ("cpu:0", False), ("cuda", True), ("mps", True)])
def test_a_gpu_is_what_is_not_the_processor(name: str, expected: bool) -> None:
    assert is_gpu(name) is expected


@pytest.mark.parametrize(("index", "expected"), [("", 0), ("0", 0), ("1", 1)])
def test_the_number_of_a_device_is_0_where_none_is_given(index: str, expected: int) -> None:
    assert device_number(f"cuda:{index}", index, 2) == expected


@pytest.mark.parametrize(
    ("index", "count", "reason"),
    [
        ("x", 2, "not a number"),
        ("-1", 2, "not a number"),
        ("2", 2, "are only 2.* Use one of cuda:0 to cuda:1"),
        ("1", 1, "is only one. Use cuda:0"),
    ],
)
def test_a_device_that_there_cannot_be_is_refused(index: str, count: int, reason: str) -> None:
    with pytest.raises(SettingsError, match=rf"device 'cuda:{index}': .*{reason}"):
        device_number(f"cuda:{index}", index, count)
