"""The samples that a network learns from, or is judged on, out of a dataset's splits."""

from typing import Any

import numpy as np

from xpmlp.datasets import ByteSplit, Split, one_hot
from xpmlp.nn.samples import Samples

LARGER_THAN_CACHES = 2**25  # bytes of inputs in float32: fewer are gathered as quickly


def make_samples(
    split: Split,
    classes: tuple[int | str, ...],
    center: float = 0.0,
    spread: float = 1.0,
    *,
    as_bytes: bool = False,
) -> Samples:
    """Return rows with their labels one-hot, or without classes with their numbers, less `center`, by `spread`.

    Parameters
    ----------
    as_bytes
        Whether many inputs that are stored in bytes are best left so.
    """
    if classes:
        targets: Any = one_hot(split.labels, classes)
    else:
        targets = ((split.labels[:, None] - center) / spread).astype(np.float64)
    if as_bytes and isinstance(split, ByteSplit) and 4 * split.stored.size > LARGER_THAN_CACHES:
        return Samples(split.stored, targets, divisor=split.divisor)
    return Samples(split.x, targets)
