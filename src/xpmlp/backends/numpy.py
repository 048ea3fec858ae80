"""NumPy, on the CPU: the eager loop as it is."""

from contextlib import AbstractContextManager
from typing import ClassVar

import array_api_compat.numpy
import numpy as np

from .base import Backend


class NumpyBackend(Backend):
    """NumPy's arrays, which live in the host's memory."""

    name: ClassVar[str] = "numpy"

    def __init__(self) -> None:
        super().__init__(array_api_compat.numpy, "cpu")

    def scope(self) -> AbstractContextManager[object]:
        """Keep NumPy alone from warning of what is found at the end of an epoch on every library alike: overflow."""
        return np.errstate(all="ignore")

    def describe(self) -> dict[str, str]:
        """Return what a record of a run should say of the library and the device."""
        return {"backend": self.name, "library": f"numpy {np.__version__}", "device": "cpu"}
