"""The rows that a network learns from or is judged on."""

from typing import Any, NamedTuple

from jaxtyping import Float, Integer


class Samples(NamedTuple):
    """Rows of data, on the host or on a device.

    Attributes
    ----------
    x
        What the network is shown.
    targets
        What it should answer; for classes, one-hot.
    weight
        How much each row counts; None where all count alike.
    """

    x: Float[Any, "*#models rows features"]
    targets: Float[Any, "*#models rows outputs"]
    weight: Float[Any, "*#models rows"] | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.x.shape[-2])


def take_rows(xp: Any, samples: Samples, rows: Integer[Any, " batch"]) -> Samples:
    """Gather the given rows, in their order."""
    return Samples(
        xp.take(samples.x, rows, axis=-2),
        xp.take(samples.targets, rows, axis=-2),
        None if samples.weight is None else xp.take(samples.weight, rows, axis=-1),
    )


def slice_rows(samples: Samples, start: int, stop: int) -> Samples:
    """Return the rows from `start` up to `stop`, which may lie beyond the last."""
    stop = min(stop, samples.rows)  # the standard does not say what a slice beyond the end is
    return Samples(
        samples.x[..., start:stop, :],
        samples.targets[..., start:stop, :],
        None if samples.weight is None else samples.weight[..., start:stop],
    )
