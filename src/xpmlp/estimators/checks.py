"""What scikit-learn checks of NumPy arrays, checked of arrays on any device, in its words."""

from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_feature_names, _check_n_features

from xpmlp.backends import Backend

from .places import dtype_name, is_homeless, to_host


def check_samples(estimator: Any, backend: Backend, x: Any, *, reset: bool, dtype: str | None) -> Any:
    """Return samples as a floating-point matrix, or say what is wrong with them.

    Parameters
    ----------
    reset
        Whether they say how many features there are, or have to have as many as those before.
    dtype
        Of what is returned; None to keep float32 and float64, and make float32 of all else.
    """
    name = type(estimator).__name__
    if x.ndim != 2:
        raise ValueError(f"Expected 2D array, got {x.ndim}D array instead: an array of shape {tuple(x.shape)}.")
    rows, features = x.shape
    if rows < 1:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={tuple(x.shape)}) while a minimum of 1 is required by {name}."
        )
    if features < 1:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={tuple(x.shape)}) while a minimum of 1 is required by {name}."
        )
    _check_feature_names(estimator, x, reset=reset)
    _check_n_features(estimator, x, reset=reset)
    x = as_floats(backend, x, dtype)
    check_finite(backend, x, "X")
    return x


def as_floats(backend: Backend, array: Any, dtype: str | None) -> Any:
    """Return an array as the dtype of that name; by default as float32, unless it is float64."""
    if backend.xp.isdtype(array.dtype, "complex floating"):
        raise ValueError("Complex data not supported")
    present = dtype_name(array)
    wanted = dtype or (present if present in ("float32", "float64") else "float32")
    return array if wanted == present else backend.asarray(array, wanted)


def check_finite(backend: Backend, array: Any, name: str) -> None:
    """Refuse NaN and infinity."""
    xp = backend.xp
    if not bool(xp.all(xp.isfinite(array))):
        if bool(xp.any(xp.isnan(array))):
            raise ValueError(f"Input {name} contains NaN.")
        raise ValueError(f"Input {name} contains infinity or a value too large for dtype({dtype_name(array)!r}).")


def check_lengths(*arrays: Any) -> None:
    """Refuse arrays of different numbers of rows."""
    lengths = [int(array.shape[0]) for array in arrays if array is not None]
    if len(set(lengths)) > 1:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {lengths}")


def check_weight(backend: Backend, weight: Any, rows: int, dtype: str) -> Any:
    """Return the samples' weights as an array of `backend`, or say what is wrong with them."""
    xp = backend.xp
    if isinstance(weight, Number):
        weight = np.full(rows, weight)
    if is_homeless(weight):
        weight = np.asarray(weight)
    weight = backend.asarray(weight, dtype)
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array.")
    if weight.shape[0] != rows:
        raise ValueError(f"sample_weight.shape == {tuple(weight.shape)}, expected {(rows,)}!")
    check_finite(backend, weight, "sample_weight")
    lowest, highest = to_host(backend, xp.stack([xp.min(weight), xp.max(weight)])).tolist()
    if lowest < 0:
        raise ValueError("Negative values in data passed to `sample_weight`.")
    if highest == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight
