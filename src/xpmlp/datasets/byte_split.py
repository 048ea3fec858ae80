"""Samples whose every value is a byte, as those of most images are, kept as they are stored."""

import functools

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from .dataset import Split
from .scaling import scaled


class ByteSplit(Split):
    """A split of which a network is shown the quotients of bytes.

    Attributes
    ----------
    stored
        The bytes, one row a sample.
    divisor
        What they are divided by.
    x
        The quotients. They take four times the memory, and are there from when they are first asked for.
    """

    stored: UInt8[np.ndarray, "rows features"]
    divisor: float

    def __init__(
        self, stored: UInt8[np.ndarray, "rows features"], divisor: float, labels: Shaped[np.ndarray, " rows"]
    ) -> None:
        for name, value in (("stored", stored), ("divisor", divisor), ("labels", labels)):
            object.__setattr__(self, name, value)  # as the base class does, which allows no other change

    @functools.cached_property
    def x(self) -> Float32[np.ndarray, "rows features"]:
        """What a network is shown."""
        return scaled(self.stored, self.divisor, what="The dataset")

    def take(self, rows: slice) -> "ByteSplit":
        """Return some of the rows."""
        return ByteSplit(self.stored[rows], self.divisor, self.labels[rows])
