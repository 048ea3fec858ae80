"""JAX: an epoch is one compiled loop over its batches."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import SettingsError
from xpmlp.nn.samples import Samples, make_batch, take_rows
from xpmlp.nn.step import State, Step
from xpmlp.threads import describe_threads

from .base import Backend
from .devices import Device, device_number


class JaxBackend(Backend):
    """JAX's arrays on any device that its plug-ins reach: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; None for its default."""

    name: ClassVar[str] = "jax"
    calls_host = False

    def __init__(self, device: str | None = None) -> None:
        super().__init__(jnp, find_device(device))

    @staticmethod
    def name_of(device: Any) -> str:
        """Return the name of a device, or that of the first over which an array is spread."""
        return name_of_device(min(getattr(device, "device_set", (device,)), key=lambda device: device.id))

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return JAX's devices, and the host's processor last."""
        devices = jax.devices()
        if devices[0].platform != "cpu":
            devices = [*devices, *jax.devices("cpu")]
        return tuple(Device(name_of_device(device), device.device_kind, *memory_of(device)) for device in devices)

    def free_memory(self) -> int | None:
        """Return the bytes of device memory that JAX may still take; None if it does not report them."""
        return memory_of(self.device)[1]

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether an error means that the device has too little memory."""
        return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Use this device, with float64 enabled, and TF32 only if requested."""
        precision = "tensorfloat32" if self.tf32 else "highest"
        with jax.enable_x64(True), jax.default_device(self.device), jax.default_matmul_precision(precision):
            yield

    def to_numpy(self, array: Any) -> Shaped[np.ndarray, "..."]:
        """Move an array of the device to the host; bfloat16, which NumPy lacks, becomes float32."""
        return np.asarray(array.astype(jnp.float32) if array.dtype == jnp.bfloat16 else array)

    def synchronize(self, state: State) -> None:
        """Block until the state is computed."""
        jax.block_until_ready(state)

    def run_epoch(
        self, step: Step, state: State, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[State, Any]:
        """Take one step for each batch; see `Backend.run_epoch`.

        The epoch is compiled once: nothing in it depends on the epoch or the learning rates.
        """
        return compiled_epoch(step)(state, samples, order, learning_rates, batch_size)

    def linear_algebra(self) -> str | None:
        """Return the library of the matrix products, and on the CPU its threads: one for each core it may use."""
        if self.device.platform != "cpu":
            return "XLA"
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return f"XLA, {describe_threads(threads)}"


def find_device(name: str | None) -> jax.Device:
    """Return the device of that name, or raise a `SettingsError` with the names of those that JAX has."""
    if name is None:
        return jax.devices()[0]
    platform, _, index = name.partition(":")
    try:
        devices = jax.devices(platform)
    except RuntimeError as error:
        hint = ' JAX reaches NVIDIA\'s GPUs through a plug-in: pip install "jax[cuda13]"' if platform == "cuda" else ""
        here = ", ".join(name_of_device(device) for device in jax.devices())
        raise SettingsError(
            f"device {name!r}: JAX has only {here} here.{hint or ' Use one of those, or another backend.'}"
        ) from error
    return devices[device_number(name, index, len(devices))]


def name_of_device(device: jax.Device) -> str:
    """Return a device's name as `load_backend` takes it; JAX calls NVIDIA's GPUs ``gpu``."""
    platform = "cuda" if device.platform == "gpu" and "NVIDIA" in device.device_kind else device.platform
    return platform if platform == "cpu" and device.id == 0 else f"{platform}:{device.id}"


def memory_of(device: jax.Device) -> tuple[int | None, int | None]:
    """Return the bytes of device memory that JAX may use, and those still free; None if it does not report them."""
    statistics = device.memory_stats() or {}
    limit = statistics.get("bytes_limit")
    return limit, None if limit is None else limit - statistics.get("bytes_in_use", 0)


@functools.lru_cache(maxsize=8)
def compiled_epoch(step: Step) -> Callable[..., tuple[State, Any]]:
    """Compile the repetition of a step: a scan over the full batches, then the smaller one that may be left."""

    def take_step(state: State, samples: Samples, rows: Any, learning_rate: Any) -> tuple[State, Any]:
        return step(jnp, state, *make_batch(jnp, take_rows(jnp, samples, rows)), learning_rate)

    def epoch(state: State, samples: Samples, order: Any, learning_rates: Any, batch_size: int) -> tuple[State, Any]:
        full = order.shape[-1] // batch_size
        batches = jnp.reshape(order[..., : full * batch_size], (*order.shape[:-1], full, batch_size))
        batches = jnp.moveaxis(batches, -2, 0)
        state, objectives = jax.lax.scan(
            lambda state, batch: take_step(state, samples, *batch),
            state,
            (batches, learning_rates[:full]),
        )
        objectives = jnp.moveaxis(objectives, 0, -1)
        if full * batch_size < order.shape[-1]:
            state, objective = take_step(state, samples, order[..., full * batch_size :], learning_rates[full])
            objectives = jnp.concatenate([objectives, objective[..., None]], axis=-1)
        return state, objectives

    compiled: Callable[..., tuple[State, Any]] = jax.jit(epoch, static_argnames="batch_size")
    return compiled
