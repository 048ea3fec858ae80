"""Errors that end a training run: divergence, and too little memory, with advice on what would fit."""

from typing import Any

from xpmlp.backends import Backend
from xpmlp.datasets.memory import format_bytes
from xpmlp.errors import DataError, DeviceMemoryError, XpmlpError
from xpmlp.nn.layers import Layers
from xpmlp.nn.step import step_bytes

from .run import FitResult

USE_SMALLER = "; use a smaller one."


class FitError(XpmlpError):
    """Training that had to stop.

    Attributes
    ----------
    epoch
        The epoch in which it stopped, from 1.
    result
        The network and history up to the epoch before.
    """

    def __init__(self, message: str, epoch: int, result: FitResult) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what a pickle holds: all but the result, whose backend belongs to this process."""
        return type(self), (str(self), self.epoch, None)


class DivergedError(FitError, ArithmeticError, ValueError):
    """The loss or a weight is no longer a finite number."""


class OutOfMemoryError(FitError, DeviceMemoryError):
    """The device has too little memory for a step."""


class UnreadableDataError(FitError, DataError):
    """Training data on disk that can no longer be read, or are no longer what they were."""


def describe_divergence(epoch: int, objective: float | None, learning_rate: float) -> str:
    """Return in which epoch training diverged, and what to do."""
    return (
        f"Training diverged in epoch {epoch}: the loss is {objective:.3g}. "
        f"The learning rate was {learning_rate:.3g}{USE_SMALLER}"
    )


def describe_shortage(backend: Backend, layers: Layers, batch_size: int) -> str:
    """Return how much memory training needs, how much is free, and what would fit."""
    network, row = step_bytes(layers)
    batch = batch_size * row
    free = backend.free_memory()
    there = "" if free is None else f" ({format_bytes(free)} free)"
    text = (
        f"There is too little memory on {backend.device_name}{there}. A step needs about {format_bytes(network)} for "
        f"the network and {format_bytes(batch)} for a batch of {batch_size:,} rows, beside the data."
    )
    fitting = batch_size // 2 if free is None else min((free - network) // row, batch_size // 2)
    if batch > network and fitting >= 1:
        return f"{text} Use a smaller batch_size: {2 ** (fitting.bit_length() - 1):,} may fit."
    return f"{text} Use fewer or smaller hidden layers, or another device."
