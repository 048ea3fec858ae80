"""scikit-learn's checks, for samples of any library on any device, with the same messages."""

from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data

from xpmlp.backends import Backend

from .arrays import dtype_name, is_numpy, to_host


def check_samples(estimator: Any, backend: Backend, x: Any, *, reset: bool, dtype: str | None) -> Any:
    """Return samples as a valid floating-point matrix, of float32 or float64.

    If `reset`, store the number of features, otherwise compare it with the stored one.
    """
    if is_numpy(backend):
        dtypes = dtype or (np.float64, np.float32)
        return validate_data(estimator, x, accept_sparse=["csr", "csc"], dtype=dtypes, reset=reset)
    if str(getattr(x, "layout", "")).startswith("torch.sparse"):
        raise TypeError(
            "Sparse tensors are not supported, only SciPy's sparse matrices. Make them dense with X.to_dense()."
        )
    xp, names = backend.xp, {"input_name": "X", "estimator": estimator}
    if xp.isdtype(x.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported\n{x}\n")
    if x.ndim != 2 or 0 in x.shape:  # scikit-learn prints arrays with few axes only; the values of others do not matter
        check_array(to_host(x) if x.ndim < 2 or 0 in x.shape else np.broadcast_to(np.float32(0.0), x.shape), **names)
    _check_feature_names(estimator, x, reset=reset)
    _check_n_features(estimator, x, reset=reset)
    present = dtype_name(x)
    wanted = dtype or (present if present in ("float32", "float64") else "float32")
    x = x if wanted == present else backend.asarray(x, wanted)
    if not bool(xp.all(xp.isfinite(x))):
        found = np.nan if bool(xp.any(xp.isnan(x))) else np.inf
        check_array(np.asarray([found], dtype_name(x)), ensure_2d=False, **names)
    return x


def check_targets(estimator: Any, y: Any) -> Any:
    """Return targets as a valid NumPy array with one or two axes."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    names = {"input_name": "y", "estimator": estimator}
    y = check_array(to_host(y), accept_sparse="csr", ensure_2d=False, dtype=None, **names)
    return y.astype(np.float64) if estimator._y_numeric and y.dtype.kind == "O" else y
