"""JAX: an epoch is one compiled loop over its batches."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from xpmlp.errors import SettingsError
from xpmlp.nn.step import Step, TrainingState

from .base import Backend, device_number
from .samples import Samples, take_rows


class JaxBackend(Backend):
    """JAX's arrays, on whatever device its plug-ins reach.

    Parameters
    ----------
    device
        A platform, such as ``"cpu"`` or ``"cuda"``, with ``":1"`` behind it for one that is not the first; None for
        JAX's default.

    Raises
    ------
    SettingsError
        Where JAX has no such device.
    """

    name: ClassVar[str] = "jax"

    def __init__(self, device: str | None = None) -> None:
        super().__init__(jnp, find_device(device))

    def scope(self) -> AbstractContextManager[object]:
        """Let JAX keep float64, which it otherwise rounds to float32 without a word, and work on this device."""
        stack = ExitStack()
        stack.enter_context(jax.enable_x64(True))
        stack.enter_context(jax.default_device(self.device))
        return stack

    def wait(self, state: TrainingState) -> None:
        """Return when the state is computed."""
        jax.block_until_ready(state)

    def run_epoch(
        self, step: Step, state: TrainingState, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[TrainingState, Any]:
        """Take one step for each batch; see `Backend.run_epoch`.

        The whole epoch is compiled as one, at the first one, and found again at the next: nothing in it depends on the
        epoch or on the learning rate.
        """
        return compiled_epoch(step)(state, samples, order, learning_rates, batch_size)

    def describe(self) -> dict[str, str]:
        """Return what a record of a run should say of the library and the device."""
        return {"backend": self.name, "library": f"jax {jax.__version__}", "device": str(self.device)}


def find_device(name: str | None) -> jax.Device:
    """Return the device of that name.

    Raises
    ------
    SettingsError
        Where JAX has none, naming those that it has.
    """
    if name is None:
        return jax.devices()[0]
    platform, _, index = name.partition(":")
    try:
        devices = jax.devices(platform)
    except RuntimeError as error:
        hint = ' JAX reaches NVIDIA\'s GPUs through a plug-in: pip install "jax[cuda13]"' if platform == "cuda" else ""
        here = ", ".join(str(device) for device in jax.devices())
        raise SettingsError(f"device {name!r}: JAX has only {here} here.{hint}") from error
    number = device_number(name, index, len(devices))
    return devices[number]


@functools.lru_cache(maxsize=8)
def compiled_epoch(step: Step) -> Callable[..., tuple[TrainingState, Any]]:
    """Compile the repetition of a step: a scan over the full batches, then the smaller one that may be left."""

    def take_step(state: TrainingState, samples: Samples, rows: Any, learning_rate: Any) -> tuple[TrainingState, Any]:
        return step(jnp, state, *take_rows(jnp, samples, rows), learning_rate)

    def epoch(
        state: TrainingState, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[TrainingState, Any]:
        full = order.shape[0] // batch_size
        batches = jnp.reshape(order[: full * batch_size], (full, batch_size))
        state, objectives = jax.lax.scan(
            lambda state, batch: take_step(state, samples, *batch), state, (batches, learning_rates[:full])
        )
        objectives = jnp.moveaxis(objectives, 0, -1)
        if full * batch_size < order.shape[0]:
            state, objective = take_step(state, samples, order[full * batch_size :], learning_rates[full])
            objectives = jnp.concatenate([objectives, objective[..., None]], axis=-1)
        return state, objectives

    compiled: Callable[..., tuple[TrainingState, Any]] = jax.jit(epoch, static_argnames="batch_size")
    return compiled
