"""Arrays of any library: their backends, moves between devices, scikit-learn's checks, and sparse inputs."""

import functools
import sys
from typing import Any, ClassVar

import array_api_compat.numpy
import numpy as np
import scipy.sparse
from jaxtyping import Shaped
from sklearn import get_config
from sklearn.base import is_regressor
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data

from xpmlp.backends import Backend, NumpyBackend, infer_backend, load_backend

numpy_backend = functools.cache(NumpyBackend)  # shared: looking up the linear algebra libraries takes a while


def backend_of(array: Any) -> Backend:
    """Return the backend of an array's library and device; NumPy's for lists, data frames and sparse matrices."""
    if array is None or isinstance(array, np.ndarray):
        return numpy_backend()
    if hasattr(array, "collect_schema") and hasattr(array, "collect"):
        name = type(array).__name__
        raise TypeError(f"A {name} is given, whose values are not computed: give what its .collect() returns.")
    backend = infer_backend(array)
    return numpy_backend() if is_numpy(backend) else backend


def is_numpy(backend: Backend) -> bool:
    """Return whether a backend's arrays are NumPy's."""
    return backend.name == "numpy"


def find_backend(name: str | None, device: str | None, default: Backend) -> Backend:
    """Return the backend with this name on this device; `default` provides whichever is None."""
    if name in (None, default.name) and device in (None, default.device_name):
        return default
    if name == "numpy" and device is None:
        return numpy_backend()
    return load_backend(name or default.name, device)


def same_device(first: Backend, second: Backend) -> bool:
    """Return whether two backends use the same library on the same device."""
    return (first.name, first.device_name) == (second.name, second.device_name)


def move(array: Shaped[Any, "..."], source: Backend, target: Backend, dtype: str | None = None) -> Any:
    """Move an array from one backend to another; through the host if the libraries differ."""
    if same_device(source, target) and dtype is None:
        return array
    if source.name != target.name:
        with source.scope():
            array = source.to_numpy(array)
    with target.scope():
        return target.asarray(array, dtype)


def follow(value: Any, target: Backend) -> Any:
    """Move a device array to `target`; return everything that lives on the host as it is."""
    source = backend_of(value)
    return value if is_numpy(source) else move(value, source, target)


def to_host(value: Any) -> Any:
    """Return a device array as a NumPy array, and everything else as it is."""
    return follow(value, numpy_backend())


def is_for_tools() -> bool:
    """Return whether scikit-learn asks for predictions for tools that, with its dispatch off, take NumPy arrays only.

    They ask by one function, such as `TunedThresholdClassifierCV` and the displays; a user's call gets X's library.
    """
    frame = None if get_config()["array_api_dispatch"] else sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") != "sklearn.utils._response":
        frame = frame.f_back
    return frame is not None


def decode(backend: Backend, predictions: Any, binarizer: LabelBinarizer) -> Any:
    """Return the predicted labels, like `LabelBinarizer.inverse_transform`, on the device of the predictions."""
    xp, count = backend.xp, len(binarizer.classes_)
    if binarizer.y_type_.startswith("multilabel"):
        return xp.astype(predictions > 0.5, xp.int64)
    if count > 2:
        indices = xp.argmax(predictions, axis=1)
    else:  # two classes share one output; a single class is always predicted
        indices = xp.astype(predictions[:, 0] > 0.5, xp.int64) * (count - 1)
    return xp.take(backend.asarray(binarizer.classes_), indices, axis=0)


def dtype_name(array: Any) -> str:
    """Return the name of an array's dtype without its library's prefix, such as ``"float32"``."""
    return str(array.dtype).rpartition(".")[2]


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
    return y.astype(np.float64) if is_regressor(estimator) and y.dtype.kind == "O" else y


class SparseNamespace:
    """NumPy's namespace, with SciPy's sparse matrices where a network reads its inputs.

    The network calls ``xp.matmul`` on whatever `xp` it is given, so it works on sparse inputs unchanged.
    """

    __name__: ClassVar[str] = "numpy, sparse"

    def __getattr__(self, name: str) -> Any:
        """Return NumPy's attribute."""
        return getattr(array_api_compat.numpy, name)

    @staticmethod
    def matmul(first: Any, second: Any) -> Any:
        """Multiply; the product of a sparse and a dense matrix is dense."""
        return first @ second if scipy.sparse.issparse(first) else array_api_compat.numpy.matmul(first, second)

    @staticmethod
    def matrix_transpose(array: Any) -> Any:
        """Transpose a matrix."""
        return array.T if scipy.sparse.issparse(array) else array_api_compat.numpy.matrix_transpose(array)

    @staticmethod
    def take(array: Any, indices: Any, *, axis: int) -> Any:
        """Take rows of a sparse matrix, or elements of a dense array along any axis."""
        if scipy.sparse.issparse(array):
            return array[indices]
        return array_api_compat.numpy.take(array, indices, axis=axis)


class SparseBackend(NumpyBackend):
    """NumPy's backend for inputs that are a sparse matrix; the matrix is never made dense."""

    def __init__(self) -> None:
        super().__init__()
        self.xp = SparseNamespace()

    def asarray(self, array: Shaped[Any, "..."], dtype: str | None = None) -> Any:
        """Return an array with this dtype; a sparse matrix becomes CSR."""
        if scipy.sparse.issparse(array):
            return array.tocsr().astype(array.dtype if dtype is None else dtype, copy=False)
        return super().asarray(array, dtype)
