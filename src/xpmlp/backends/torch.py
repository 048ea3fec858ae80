"""PyTorch, on the CPU and on GPUs, without its autograd: the gradients are ours."""

from contextlib import AbstractContextManager
from typing import Any, ClassVar

import array_api_compat.torch
import numpy as np
import torch
from jaxtyping import Shaped

from xpmlp.errors import SettingsError
from xpmlp.nn.step import TrainingState

from .base import Backend, device_number


class TorchBackend(Backend):
    """PyTorch's tensors.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; None for a GPU where PyTorch has one, else the CPU.

    Raises
    ------
    SettingsError
        Where PyTorch has no such device.
    """

    name: ClassVar[str] = "torch"

    def __init__(self, device: str | None = None) -> None:
        super().__init__(array_api_compat.torch, find_device(device))

    def scope(self) -> AbstractContextManager[object]:
        """Keep PyTorch from recording what it would need for gradients of its own."""
        context: AbstractContextManager[object] = torch.no_grad()
        return context

    def asarray(self, array: Shaped[np.ndarray, "..."], dtype: str | None = None) -> Any:
        """Move an array of the host to the device, as the dtype of that name, by default its own.

        Raises
        ------
        SettingsError
            For float64 on a device that lacks it.
        """
        if self.device.type == "mps" and (dtype or str(array.dtype)) == "float64":
            raise SettingsError("dtype float64: Apple's GPUs lack it. Use float32, or another device.")
        # PyTorch warns of read-only memory, because it could write there. Nothing here ever does.
        shared = array if array.flags.writeable else array.copy()
        return super().asarray(shared, dtype)

    def to_numpy(self, array: Any) -> Shaped[np.ndarray, "..."]:
        """Move an array of the device to the host."""
        return np.asarray(array.cpu())

    def wait(self, state: TrainingState) -> None:
        """Return when all that was asked of the device so far is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def describe(self) -> dict[str, str]:
        """Return what a record of a run should say of the library and the device."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return {"backend": self.name, "library": f"torch {torch.__version__}", "device": name}


def find_device(name: str | None) -> torch.device:
    """Return the device of that name.

    Raises
    ------
    SettingsError
        Where PyTorch has none, naming those that it has.
    """
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if name is None:
        name = next(kind for kind in ("cuda", "mps", "cpu") if counts[kind])
    kind, _, index = name.partition(":")
    if not counts.get(kind):
        here = ", ".join(kind for kind, count in counts.items() if count)
        hint = (
            " This installation of PyTorch was built without CUDA." if kind == "cuda" and not torch.version.cuda else ""
        )
        raise SettingsError(f"device {name!r}: PyTorch has only {here} here.{hint}")
    number = device_number(name, index, counts[kind])
    return torch.device(kind, number) if kind == "cuda" else torch.device(kind)
