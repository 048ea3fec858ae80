"""Scaling raw values of images to the range from -1 to 1."""

import math

import numpy as np
from jaxtyping import Float32, Num

from xpmlp.errors import DataError


def find_scale(images: Num[np.ndarray, "rows *shape"], *, what: str) -> float:
    """Return the divisor that brings values between -1 and 1."""
    if images.dtype.kind in "iu":
        return float(np.iinfo(images.dtype).max)
    check_finite(images.reshape(len(images), -1), what=what, input_shape=images.shape[1:])
    return max(1.0, -float(images.min()), float(images.max()))


def scaled(images: Num[np.ndarray, "rows *shape"], scale: float, *, what: str) -> Float32[np.ndarray, "rows features"]:
    """Return the images divided by `scale`, flattened to rows, without an intermediate array."""
    x = np.empty(images.shape, np.float32)
    # Types that float32 holds exactly are divided in float32; the others in float64, buffer by buffer.
    precision = np.result_type(images.dtype, np.float32)
    with np.errstate(over="ignore"):
        np.divide(images, precision.type(scale), out=x, casting="same_kind")
    rows = x.reshape(len(x), math.prod(x.shape[1:]))
    if images.dtype.kind == "f":
        check_finite(rows, what=what, input_shape=images.shape[1:])
    return rows


def check_finite(x: Num[np.ndarray, "rows features"], *, what: str, input_shape: tuple[int, ...]) -> None:
    """Refuse NaN and infinity; `input_shape` is a row's shape before flattening, to locate the first."""
    # The extremes alone tell (NaN is both), without an array as large as the data.
    if x.size == 0 or (np.isfinite(x.min()) and np.isfinite(x.max())):
        return
    finite = np.isfinite(x)
    count = x.size - np.count_nonzero(finite)
    row, feature = (int(index) for index in np.unravel_index(np.argmin(finite), x.shape))
    position = [int(index) for index in np.unravel_index(feature, input_shape)]
    if len(position) == 1:
        where = f"column {position[0]}"
    elif len(position) == 2:
        where = f"pixel row {position[0]}, pixel column {position[1]}"
    else:
        where = f"position {tuple(position)}"
    raise DataError(
        f"{what}: {count} of {x.size} values are not finite (NaN or infinity). The first is {x[row, feature]} in row "
        f"{row}, {where}, counted from 0. Correct these values or remove their rows."
    )
