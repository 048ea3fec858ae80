"""Raw values of images, brought between -1 and 1."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Num, Shaped, UInt8

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
    x = memory_for(images, np.dtype(np.float32), what=what)
    # Types that float32 holds exactly are divided in float32; the others in float64, buffer by buffer.
    precision = np.result_type(images.dtype, np.float32)
    with np.errstate(over="ignore"):
        np.divide(images, precision.type(scale), out=x, casting="same_kind")
    rows = x.reshape(len(x), -1)
    if images.dtype.kind == "f":
        check_finite(rows, what=what, input_shape=images.shape[1:])
    return rows


def copied(images: UInt8[np.ndarray, "rows *shape"], *, what: str) -> UInt8[np.ndarray, "rows features"]:
    """The images as they are, a row each, in memory of NumPy's.

    Linux puts that into large pages where it has them, in which rows are found sooner than in what a file was read to.
    """
    copy = memory_for(images, images.dtype, what=what)
    np.copyto(copy, images)
    return copy.reshape(len(copy), -1)


def memory_for(images: Num[np.ndarray, "*shape"], dtype: np.dtype[Any], *, what: str) -> Shaped[np.ndarray, "*shape"]:
    """An array of the images' shape.

    Raises
    ------
    DataError
        Where there is too little memory for it.
    """
    try:
        return np.empty(images.shape, dtype)
    except MemoryError as error:
        needed = images.size * dtype.itemsize / 1e9
        message = f"{what}: its images take {needed:.1f} GB as {dtype}, more than this machine's memory has free."
        raise DataError(message) from error
