"""Raw values of images, brought between -1 and 1."""

import numpy as np
from jaxtyping import Float32, Num

from xpmlp.errors import DataError

from .dataset import check_finite


def scale_of(images: Num[np.ndarray, "rows *shape"], *, what: str) -> float:
    """What to divide by so that values lie between -1 and 1."""
    if images.dtype.kind in "iu":
        return float(np.iinfo(images.dtype).max)
    check_finite(images.reshape(len(images), -1), what=what, input_shape=images.shape[1:])
    return max(1.0, -float(images.min()), float(images.max()))


def scaled(images: Num[np.ndarray, "rows *shape"], scale: float, *, what: str) -> Float32[np.ndarray, "rows features"]:
    """The images divided by `scale`, a row each, without an intermediate array."""
    try:
        x = np.empty(images.shape, np.float32)
    except MemoryError as error:
        needed = images.size * 4 / 1e9
        message = f"{what}: its images take {needed:.1f} GB as float32, more than this machine's memory has free."
        raise DataError(message) from error
    # Types that float32 holds exactly are divided in float32; the others in float64, buffer by buffer.
    precision = np.result_type(images.dtype, np.float32)
    with np.errstate(over="ignore"):
        np.divide(images, precision.type(scale), out=x, casting="same_kind")
    rows = x.reshape(len(x), -1)
    if images.dtype.kind == "f":
        check_finite(rows, what=what, input_shape=images.shape[1:])
    return rows
