"""The rows that a network learns from or is judged on."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float, Integer, UInt8


class Samples(NamedTuple):
    """Rows of data, on the host or on a device.

    Attributes
    ----------
    x
        What the network is shown; where there is a divisor, bytes that are divided by it first.
    targets
        What it should answer; for classes, one-hot.
    weight
        How much each row counts; None where all count alike.
    divisor
        Of `x`; None where the network is shown `x` as it is.
    """

    x: Float[Any, "*#models rows features"] | UInt8[Any, "*#models rows features"]
    targets: Float[Any, "*#models rows outputs"]
    weight: Float[Any, "*#models rows"] | None = None
    divisor: float | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.x.shape[-2])

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays that there are."""
        return tuple(array for array in self[:3] if array is not None)

    def map(self, function: Callable[[Any], Any]) -> "Samples":
        """Return samples with each of the arrays replaced by what `function` makes of it."""
        x, targets, weight, divisor = self
        return Samples(function(x), function(targets), None if weight is None else function(weight), divisor)


def take_rows(xp: Any, samples: Samples, rows: Integer[Any, " batch"]) -> Samples:
    """Gather the given rows, in their order."""
    return samples._replace(
        x=xp.take(samples.x, rows, axis=-2),
        targets=xp.take(samples.targets, rows, axis=-2),
        weight=None if samples.weight is None else xp.take(samples.weight, rows, axis=-1),
    )


def slice_rows(samples: Samples, start: int, stop: int) -> Samples:
    """Return the rows from `start` up to `stop`, which may lie beyond the last."""
    stop = min(stop, samples.rows)  # the standard does not say what a slice beyond the end is
    return samples._replace(
        x=samples.x[..., start:stop, :],
        targets=samples.targets[..., start:stop, :],
        weight=None if samples.weight is None else samples.weight[..., start:stop],
    )


class Batch(NamedTuple):
    """Rows as a step takes them: the arrays of `Samples`, and `x` as the network is shown it."""

    x: Float[Any, "*#models rows features"]
    targets: Float[Any, "*#models rows outputs"]
    weight: Float[Any, "*#models rows"] | None


def make_batch(xp: Any, samples: Samples) -> Batch:
    """Return a batch of all the samples; bytes become numbers of the targets' dtype, and are divided."""
    x, targets, weight, divisor = samples
    return Batch(x if divisor is None else xp.astype(x, targets.dtype) / divisor, targets, weight)
