"""PyTorch computes; its autograd sleeps."""

import numpy as np
import pytest

from xpmlp.backends import load_backend
from xpmlp.errors import SettingsError

torch = pytest.importorskip("torch", reason="torch is not installed")


def test_autograd_records_nothing() -> None:
    backend = load_backend("torch", "cpu")
    weight = torch.ones(3, requires_grad=True)
    with backend.scope():
        assert not (weight * 2.0).requires_grad
    assert (weight * 2.0).requires_grad


def test_float32_is_as_wide_as_was_asked_and_left_as_it_was() -> None:
    setting = torch.backends.cuda.matmul
    backend = load_backend("torch", "cpu")
    for before in (False, True):
        setting.allow_tf32 = before
        with backend.scope():
            assert setting.allow_tf32 is False
        assert setting.allow_tf32 is before
    setting.allow_tf32 = False


def test_read_only_memory_is_moved_without_a_warning() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    np.testing.assert_array_equal(load_backend("torch", "cpu").asarray(array).numpy(), [0.0, 1.0, 2.0])


@pytest.mark.parametrize("device", ["cuda:99", "xpu", "cpu:1", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(SettingsError, match=f"device '{device}'"):
        load_backend("torch", device)


def test_without_a_name_the_device_is_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert load_backend("torch").device.type == expected
