"""What scikit-learn checks of NumPy arrays, checked of arrays on any device, in its words."""

import warnings
from numbers import Number
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names, _check_n_features, _check_sample_weight

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
    if is_homeless(x):
        x = backend.asarray(check_array(x, dtype=(np.float64, np.float32), input_name="X", estimator=estimator))
    if str(getattr(x, "layout", "")).startswith("torch.sparse"):
        raise TypeError(
            "Sparse tensors are not computed with, only SciPy's sparse matrices are. Make them dense with X.to_dense()."
        )
    refuse_complex(backend, x)
    if x.ndim != 2 or 0 in x.shape:
        explain_shape(backend, x, input_name="X", estimator=estimator)
    _check_feature_names(estimator, x, reset=reset)
    _check_n_features(estimator, x, reset=reset)
    x = as_floats(backend, x, dtype)
    check_finite(backend, x, "X", estimator)
    return x


def check_targets(estimator: Any, backend: Backend, y: Any) -> Any:
    """Return targets as an array of one axis or two, of the host where they are of no library, else of `backend`."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    if is_homeless(y):
        return check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=estimator)
    refuse_complex(backend, y)
    if y.ndim not in (1, 2) or 0 in y.shape:
        explain_shape(backend, y, input_name="y", estimator=estimator, ensure_2d=False)
    if backend.xp.isdtype(y.dtype, "real floating"):
        check_finite(backend, y, "y", estimator)
    return y


def ravel_column(backend: Backend, y: Any) -> Any:
    """Return targets that are a single column as an array of one axis, with a warning; others as they are."""
    if y.ndim != 2 or y.shape[1] != 1:
        return y
    warnings.warn(
        "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples, ), "
        "for example using ravel().",
        DataConversionWarning,
        stacklevel=6,
    )
    return backend.xp.reshape(y, (-1,))


def explain_shape(backend: Backend, array: Any, **how: Any) -> None:
    """Let scikit-learn say what is wrong with an array's shape."""
    # Only arrays of few axes are printed, so that the numbers of others do not matter.
    few = array.ndim < 2 or 0 in array.shape
    check_array(to_host(backend, array) if few else np.broadcast_to(np.float32(0.0), tuple(array.shape)), **how)


def refuse_complex(backend: Backend, array: Any) -> None:
    """Refuse complex numbers."""
    if backend.xp.isdtype(array.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported\n{array}\n")


def as_floats(backend: Backend, array: Any, dtype: str | None) -> Any:
    """Return an array as the dtype of that name; by default as float32, unless it is float64."""
    present = dtype_name(array)
    wanted = dtype or (present if present in ("float32", "float64") else "float32")
    return array if wanted == present else backend.asarray(array, wanted)


def check_finite(backend: Backend, array: Any, name: str, estimator: Any = None) -> None:
    """Refuse NaN and infinity."""
    xp = backend.xp
    if not bool(xp.all(xp.isfinite(array))):
        found = np.nan if bool(xp.any(xp.isnan(array))) else np.inf
        # One such number is enough for scikit-learn to say what is wrong and what helps.
        check_array(np.asarray([found], dtype_name(array)), ensure_2d=False, input_name=name, estimator=estimator)


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
    elif is_homeless(weight):
        weight = check_array(weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    else:
        refuse_complex(backend, weight)
    if weight.shape != (rows,):  # scikit-learn says what is wrong with that, whatever the numbers
        _check_sample_weight(np.ones(tuple(weight.shape)), np.empty((rows, 1)))
    weight = backend.asarray(weight, dtype)
    check_finite(backend, weight, "sample_weight")
    lowest, highest = to_host(backend, xp.stack([xp.min(weight), xp.max(weight)])).tolist()
    if lowest < 0:
        raise ValueError("Negative values in data passed to `sample_weight`.")
    if highest == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight
