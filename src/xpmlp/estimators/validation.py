"""scikit-learn's checks of NumPy arrays, for arrays of any library on any device, with the same messages."""

import warnings
from numbers import Number
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names, _check_n_features, _check_sample_weight

from xpmlp.backends import Backend

from .arrays import backend_of, dtype_name, is_numpy, to_host


def check_samples(estimator: Any, backend: Backend, x: Any, *, reset: bool, dtype: str | None) -> Any:
    """Return samples as a valid floating-point matrix, of float32 or float64.

    If `reset`, store the number of features, otherwise compare it with the stored one.
    """
    if str(getattr(x, "layout", "")).startswith("torch.sparse"):
        raise TypeError(
            "Sparse tensors are not supported, only SciPy's sparse matrices. Make them dense with X.to_dense()."
        )
    refuse_complex(backend, x)
    if x.ndim != 2 or 0 in x.shape:
        raise_shape_error(x, input_name="X", estimator=estimator)
    _check_feature_names(estimator, x, reset=reset)
    _check_n_features(estimator, x, reset=reset)
    x = as_floats(backend, x, dtype)
    check_finite(backend, x, "X", estimator)
    return x


def check_targets(estimator: Any, backend: Backend, y: Any) -> Any:
    """Return targets as a valid array with one or two axes: of NumPy if they live on the host, else of `backend`."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    if is_numpy(backend_of(y)):
        return check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=estimator)
    refuse_complex(backend, y)
    if y.ndim not in (1, 2) or 0 in y.shape:
        raise_shape_error(y, input_name="y", estimator=estimator, ensure_2d=False)
    if backend.xp.isdtype(y.dtype, "real floating"):
        check_finite(backend, y, "y", estimator)
    return y


def check_weight(backend: Backend, weight: Any, rows: int, dtype: str) -> Any:
    """Return valid sample weights as an array of `backend`."""
    xp = backend.xp
    if isinstance(weight, Number):
        weight = np.full(rows, weight)
    elif is_numpy(backend_of(weight)):
        weight = check_array(weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    else:
        refuse_complex(backend, weight)
    if weight.shape != (rows,):  # the message depends on the shape alone
        _check_sample_weight(np.ones(tuple(weight.shape)), np.empty((rows, 1)))
    weight = backend.asarray(weight, dtype)
    check_finite(backend, weight, "sample_weight")
    lowest, highest = to_host(xp.stack([xp.min(weight), xp.max(weight)])).tolist()
    if lowest < 0:
        raise ValueError("Negative values in data passed to `sample_weight`.")
    if highest == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


def refuse_lazy(**given: Any) -> None:
    """Refuse tables whose values have not been computed."""
    for name, value in given.items():
        if hasattr(value, "collect_schema") and hasattr(value, "collect"):
            raise TypeError(
                f"{name} is a {type(value).__name__}, whose values are not computed: give {name}.collect()."
            )


def check_finite(backend: Backend, array: Any, name: str, estimator: Any = None) -> None:
    """Raise scikit-learn's error if an array holds NaN or infinity."""
    xp = backend.xp
    if not bool(xp.all(xp.isfinite(array))):
        found = np.nan if bool(xp.any(xp.isnan(array))) else np.inf
        check_array(np.asarray([found], dtype_name(array)), ensure_2d=False, input_name=name, estimator=estimator)


def raise_shape_error(array: Any, **settings: Any) -> None:
    """Raise scikit-learn's error for an array with the wrong shape."""
    # scikit-learn prints arrays with few axes only; the values of others do not matter.
    printed = array.ndim < 2 or 0 in array.shape
    check_array(to_host(array) if printed else np.broadcast_to(np.float32(0.0), tuple(array.shape)), **settings)


def refuse_complex(backend: Backend, array: Any) -> None:
    """Raise an error for complex numbers."""
    if backend.xp.isdtype(array.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported\n{array}\n")


def ravel_column(backend: Backend, y: Any) -> Any:
    """Flatten targets that are a single column, with scikit-learn's warning; return others unchanged."""
    if y.ndim != 2 or y.shape[1] != 1:
        return y
    warnings.warn(
        "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples, ), "
        "for example using ravel().",
        DataConversionWarning,
        stacklevel=6,
    )
    return backend.xp.reshape(y, (-1,))


def as_floats(backend: Backend, array: Any, dtype: str | None) -> Any:
    """Convert an array to a dtype; by default to float32, unless it is float64 already."""
    present = dtype_name(array)
    wanted = dtype or (present if present in ("float32", "float64") else "float32")
    return array if wanted == present else backend.asarray(array, wanted)
