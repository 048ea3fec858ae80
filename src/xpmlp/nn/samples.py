"""Samples: inputs, targets and weights, for training or evaluation."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float, Integer, UInt8


class Samples(NamedTuple):
    """Rows of data, on the host or on a device.

    Attributes
    ----------
    x
        Inputs; bytes if there is a divisor, by which they are divided first.
    targets
        Targets; one-hot for classes.
    weight
        Weight of each row; None if all are equal.
    divisor
        Divisor of `x`; None if `x` holds the inputs themselves.
    """

    x: Float[Any, "*#models rows features"] | UInt8[Any, "*#models rows features"]
    targets: Float[Any, "*#models rows outputs"]
    weight: Float[Any, "*#models rows"] | None = None
    divisor: float | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.x.shape[-2])

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays that are not None."""
        return tuple(array for array in self[:3] if array is not None)

    def map(self, function: Callable[[Any], Any]) -> "Samples":
        """Apply `function` to each array, and return samples of the results."""
        x, targets, weight, divisor = self
        return Samples(function(x), function(targets), None if weight is None else function(weight), divisor)


def take_rows(xp: Any, samples: Samples, rows: Integer[Any, "*groups batch"]) -> Samples:
    """Return the given rows, in their order.

    Groups of models may each have their own rows of the same samples, which then have no leading axes. The result has
    the leading axes ``(*groups, 1)``, so that it is shared by all models of a group.
    """
    flat = xp.reshape(rows, (-1,)) if rows.ndim > 1 else rows
    x, targets = xp.take(samples.x, flat, axis=-2), xp.take(samples.targets, flat, axis=-2)
    weight = None if samples.weight is None else xp.take(samples.weight, flat, axis=-1)
    if rows.ndim > 1:
        shape = (*rows.shape[:-1], 1, rows.shape[-1])
        x, targets = xp.reshape(x, (*shape, x.shape[-1])), xp.reshape(targets, (*shape, targets.shape[-1]))
        weight = None if weight is None else xp.reshape(weight, shape)
    return samples._replace(x=x, targets=targets, weight=weight)


def slice_rows(samples: Samples, start: int, stop: int) -> Samples:
    """Return the rows from `start` up to `stop`, which may lie beyond the last."""
    stop = min(stop, samples.rows)  # the standard does not define slices beyond the end
    return samples._replace(
        x=samples.x[..., start:stop, :],
        targets=samples.targets[..., start:stop, :],
        weight=None if samples.weight is None else samples.weight[..., start:stop],
    )


class Batch(NamedTuple):
    """A batch as a step takes it: like `Samples`, with `x` divided."""

    x: Float[Any, "*#models rows features"]
    targets: Float[Any, "*#models rows outputs"]
    weight: Float[Any, "*#models rows"] | None


def make_batch(xp: Any, samples: Samples) -> Batch:
    """Return a batch of all samples; bytes are converted to the targets' dtype and divided."""
    x, targets, weight, divisor = samples
    return Batch(x if divisor is None else xp.astype(x, targets.dtype) / divisor, targets, weight)
