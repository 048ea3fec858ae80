"""The base class of all backends, which serves any eager library that follows the Array API standard."""

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Integer, Shaped

from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples, make_batch, take_rows
from xpmlp.nn.step import State, Step

from .devices import Device

logger = logging.getLogger(__name__)


class Backend:
    """An array namespace, a device, and how a step is repeated over an epoch.

    A library's own backend is a subclass that overrides what that library does differently, above all `run_epoch`.

    Parameters
    ----------
    xp
        The library's Array API namespace.
    device
        The device of the arrays, as the library names it; None for its default.
    """

    name: ClassVar[str] = "array-api"
    # Recordings capture buffer addresses: inputs must not be reallocated between epochs.
    records_steps: bool = False
    # Whether a step may call the host. A program that is compiled as a whole may not.
    calls_host: bool = True
    # Whether image data stay uint8 and each batch is scaled: a quarter of the memory and of its traffic.
    gathers_bytes: bool = False
    # Whether float32 products may round their inputs to TF32. Libraries that do so by default are told not to.
    tf32: bool = False
    # Whether several runs, each in a Python thread of its own, keep several cores busy.
    trains_in_threads: bool = False

    def __init__(self, xp: Any, device: Any = None) -> None:
        self.xp = xp
        self.device = device

    def scope(self) -> AbstractContextManager[object]:
        """Return a context with the library's settings, for all work with this backend's arrays."""
        return nullcontext()

    @property
    def device_name(self) -> str:
        """The device as `load_backend` takes it, such as ``"cuda:0"``."""
        return self.name_of(self.device)

    @staticmethod
    def name_of(device: Any) -> str:
        """Return the name of a device of the library, as `load_backend` takes it."""
        return str(device)

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return the devices of this machine, the library's default first."""
        return ()

    def asarray(self, array: Shaped[Any, "..."], dtype: str | None = None) -> Any:
        """Move an array of the host or of this library to the device, as that dtype; copy only if needed."""
        target = None if dtype is None else getattr(self.xp, dtype)
        return self.xp.asarray(array, dtype=target, device=self.device)

    def to_numpy(self, array: Any) -> Shaped[np.ndarray, "..."]:
        """Move an array of the device to the host."""
        try:
            return np.asarray(array)
        except (RuntimeError, TypeError):  # a library that copies from its devices on request only
            return np.from_dlpack(array, device="cpu", copy=True)

    def update_on_host(self, update: Callable[[Any], None], array: Any) -> Any:
        """Let a function change a NumPy array in place, and return the result on the device; `array` may be reused."""
        host = self.to_numpy(array)
        host = host if host.flags.writeable and host.flags.c_contiguous else host.copy()
        update(host)
        return self.asarray(host)

    def synchronize(self, state: State) -> None:
        """Block until queued device work, of which `state` is the result, finishes."""

    def run_epoch(
        self,
        step: Step,
        state: State,
        samples: Samples,
        order: Integer[Any, "*groups rows"],
        learning_rates: Float[Any, "steps ..."],
        batch_size: int,
    ) -> tuple[State, Float[Any, "*models steps"]]:
        """Take one step for each batch, without reading anything back to the host.

        Parameters
        ----------
        samples, order, learning_rates
            Arrays of this backend. `order` holds the rows of the batches, one batch after the other, of which the last
            may be smaller; `learning_rates` a number for each batch, or an array of shape ``(*models, 1, 1)``. With
            leading axes in `order`, groups of models have their own batches; see `take_rows`.

        Returns
        -------
        state
            After the last step.
        objectives
            Of each batch, in order.
        """
        objectives = []
        rows = order.shape[-1]
        for index, start in enumerate(range(0, rows, batch_size)):
            # The standard does not say what a slice beyond the end is.
            batch = make_batch(self.xp, take_rows(self.xp, samples, order[..., start : min(start + batch_size, rows)]))
            state, objective = step(self.xp, state, *batch, learning_rates[index, ...])
            objectives.append(objective)
            del batch  # before the next one takes memory
        return state, self.xp.stack(objectives, axis=-1)

    def run_ensemble_epoch(self, *arguments: Any) -> tuple[State, Float[Any, "members steps"]]:
        """Take one step for each batch with the members of an ensemble, which share their settings; see `run_epoch`."""
        return self.run_epoch(*arguments)

    def threads_for(self, layers: Layers, rows: int) -> AbstractContextManager[object]:
        """Return a context with the number of threads for products of that many rows with a network's weights."""
        return nullcontext()

    def run_threads(self, layers: Layers, rows: int, threads: int | None) -> AbstractContextManager[int | None]:
        """Return a context for a run with batches of that many rows; its value is the run's number of threads.

        `threads` is the number to use, or None to choose one. The value is None if there is no such setting.
        """
        if threads is not None:
            logger.warning("backend %s on %s has no number of threads to set: it is ignored.", self.name, self.device)
        return nullcontext()

    def release_recordings(self) -> None:
        """Release cached recordings."""

    def transfer_stream(self) -> AbstractContextManager[object]:
        """Return a context for another thread, in which copies to the device run beside the computation.

        Call it in the computing thread and enter it in the other one. On exit, the copies are complete.
        """
        return self.scope()

    def free_memory(self) -> int | None:
        """Return the free bytes of device memory; None if it is the host's, or the library does not report them."""
        return None

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether an error of the library means that the device has too little memory."""
        return isinstance(error, MemoryError)

    def linear_algebra(self) -> str | None:
        """Return the library of the matrix products, and its threads; None if unknown."""
        return None

    def describe(self) -> dict[str, str]:
        """Return the library and the device, for the record of a run."""
        version = getattr(sys.modules.get(self.name), "__version__", None)
        library = self.xp.__name__ if version is None else f"{self.name} {version}"
        return {"backend": self.name, "library": library, "device": str(self.device)}
