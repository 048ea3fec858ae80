"""What a backend is. This class alone serves any eager library that follows the Array API standard."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Integer, Shaped

from xpmlp.errors import SettingsError
from xpmlp.nn.step import Step, TrainingState

from .samples import Samples, take_rows


class Backend:
    """An array namespace, a device, and how a step is repeated over an epoch.

    A library's own backend is a subclass that says what that library does differently: most of all `run_epoch`.

    Parameters
    ----------
    xp
        The library's Array API namespace.
    device
        Where the arrays live, as the library names it; None for its default.
    """

    name: ClassVar[str] = "array-api"

    def __init__(self, xp: Any, device: Any = None) -> None:
        self.xp = xp
        self.device = device

    def scope(self) -> AbstractContextManager[object]:
        """Return a context in which all work with this backend's arrays is done; it sets what the library needs set."""
        return nullcontext()

    def asarray(self, array: Shaped[np.ndarray, "..."], dtype: str | None = None) -> Any:
        """Move an array of the host to the device, as the dtype of that name, by default its own."""
        target = None if dtype is None else getattr(self.xp, dtype)
        return self.xp.asarray(array, dtype=target, device=self.device)

    def to_numpy(self, array: Any) -> Shaped[np.ndarray, "..."]:
        """Move an array of the device to the host."""
        return np.asarray(array)

    def wait(self, state: TrainingState) -> None:
        """Return when all that was asked of the device so far is done; an eager library on the CPU is done already."""

    def run_epoch(
        self,
        step: Step,
        state: TrainingState,
        samples: Samples,
        order: Integer[Any, " rows"],
        learning_rates: Float[Any, " steps"],
        batch_size: int,
    ) -> tuple[TrainingState, Float[Any, "*models steps"]]:
        """Take one step for each batch, without reading anything back to the host.

        Parameters
        ----------
        samples, order, learning_rates
            Arrays of this backend. `order` says which rows make the batches, one batch after the other, the last one
            as small as it comes out; `learning_rates` holds one number for each.

        Returns
        -------
        state
            After the last step.
        objectives
            Of each batch, in order.
        """
        objectives = []
        rows = order.shape[0]
        for index, start in enumerate(range(0, rows, batch_size)):
            # The standard does not say what a slice beyond the end is.
            batch = take_rows(self.xp, samples, order[start : min(start + batch_size, rows)])
            state, objective = step(self.xp, state, *batch, learning_rates[index])
            objectives.append(objective)
        return state, self.xp.stack(objectives, axis=-1)

    def describe(self) -> dict[str, str]:
        """Return what a record of a run should say of the library and the device."""
        return {"backend": self.name, "library": self.xp.__name__, "device": str(self.device)}


def device_number(name: str, index: str, count: int) -> int:
    """Read the number behind a device's name, as in ``"cuda:1"``; 0 where there is none.

    Raises
    ------
    SettingsError
        Where it is no number, or there are not so many devices.
    """
    if index and not index.isdecimal():
        raise SettingsError(f"device {name!r}: what stands behind the colon is not a number, as in cuda:1.")
    number = int(index or 0)
    if number >= count:
        there = "is only one" if count == 1 else f"are only {count}, numbered from 0"
        raise SettingsError(f"device {name!r}: of this kind there {there}.")
    return number
