"""Whether a point fits into the host's memory, found out before anything is measured."""

import itertools

import numpy as np

from xpmlp.datasets.memory import available_memory
from xpmlp.training.errors import COPIES_OF_NETWORK, COPIES_OF_OUTPUTS

from .measurement import Point, describe_point

COPIES_OF_DATA = 2  # as they are read, and as the library wants them


def needed_bytes(point: Point, contenders: int) -> int:
    """Return about how much memory a point takes, over all processes; those of contenders on a GPU included."""
    settings, sizes = point.settings, point.sizes
    rows = point.rows * (sizes[0] + sizes[-1])
    network = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    batch = min(settings.batch_size, point.rows) * (sizes[0] + COPIES_OF_OUTPUTS * sum(sizes[1:]))
    values = contenders * (COPIES_OF_DATA * rows + COPIES_OF_NETWORK * network + batch)
    return int(values * np.dtype(settings.dtype).itemsize)


def why_too_large(point: Point, contenders: int) -> str | None:
    """Return why a point cannot be measured; None where it can."""
    free = available_memory()
    needed = needed_bytes(point, contenders)
    if free is None or needed <= free:
        return None
    return f"{describe_point(point)}: needs about {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} are free"
