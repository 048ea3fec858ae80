"""NumPy, on the CPU: the eager loop, with as many threads as its matrix products are worth."""

import functools
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import array_api_compat.numpy
import numpy as np
from threadpoolctl import ThreadpoolController

from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.step import Step, TrainingState

from .base import Backend
from .devices import Device
from .samples import Samples

# Below so many operations, handing a part of a matrix product to another thread and waiting for it costs more than it
# saves; on a busy machine, where the other thread waits for a core, a hundred times more.
OPERATIONS_WORTH_THREADS = 8_000_000
# Below so many, OpenBLAS stays in one thread of its own accord, and telling it to costs a tenth of a small epoch.
OPERATIONS_IN_ONE_THREAD = 500_000


class NumpyBackend(Backend):
    """NumPy's arrays, which live in the host's memory.

    Raises
    ------
    SettingsError
        For a device other than ``"cpu"``.
    """

    name: ClassVar[str] = "numpy"

    def __init__(self, device: str | None = None) -> None:
        if device not in (None, "cpu"):
            raise SettingsError(f"device {device!r}: NumPy has only cpu. Use another backend, such as torch or jax.")
        super().__init__(array_api_compat.numpy, "cpu")

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return the one device: the processor that Python runs on."""
        return (Device("cpu", "processor"),)

    def scope(self) -> AbstractContextManager[object]:
        """Keep NumPy alone from warning of what is found at the end of an epoch on every library alike: overflow."""
        return np.errstate(all="ignore")

    def run_epoch(
        self, step: Step, state: TrainingState, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[TrainingState, Any]:
        """Take one step for each batch; see `Backend.run_epoch`."""
        with self.threads_for(state.layers, batch_size):
            return super().run_epoch(step, state, samples, order, learning_rates, batch_size)

    def threads_for(self, layers: Layers, batch_size: int) -> AbstractContextManager[object]:
        """Return a context in which small matrix products run in one thread, and large ones as NumPy is set up."""
        largest = max(2 * batch_size * math.prod(layer.weight.shape) for layer in layers)
        if largest <= OPERATIONS_IN_ONE_THREAD or largest >= OPERATIONS_WORTH_THREADS:
            return nullcontext()
        context: AbstractContextManager[object] = self.thread_pools.limit(limits=1, user_api="blas")
        return context

    @functools.cached_property
    def thread_pools(self) -> ThreadpoolController:
        """The linear algebra libraries of this process, looked for once."""
        return ThreadpoolController()

    def linear_algebra(self) -> str | None:
        """Return the library below NumPy that computes the matrix products, and its threads."""
        for pool in self.thread_pools.info():
            if pool["user_api"] == "blas" and "numpy" in pool["filepath"]:
                return describe_pool(pool)
        return next((describe_pool(pool) for pool in self.thread_pools.info() if pool["user_api"] == "blas"), None)

    def describe(self) -> dict[str, str]:
        """Return what a record of a run should say of the library and the device."""
        return {"backend": self.name, "library": f"numpy {np.__version__}", "device": "cpu"}


def describe_pool(pool: dict[str, Any]) -> str:
    """Return a library's name, version, and threads."""
    threads = pool["num_threads"]
    name = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}.get(pool["internal_api"], pool["internal_api"])
    version = ".".join((pool["version"] or "").split(".")[:3])
    return f"{name} {version}, {threads} thread{'s' if threads > 1 else ''}"
