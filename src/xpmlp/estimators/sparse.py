"""SciPy's sparse matrices as the input of a network: only ever multiplied, never made dense."""

from contextlib import AbstractContextManager
from typing import Any, ClassVar

import array_api_compat.numpy
import scipy.sparse
from jaxtyping import Shaped

from xpmlp.backends import NumpyBackend
from xpmlp.nn.layers import Layers

from .places import numpy_backend


class SparseNamespace:
    """NumPy's namespace, with sparse matrices where a network touches its input: products, transposes, taking rows.

    The mathematics says ``xp.matmul`` and is handed its ``xp``; so it need not know.
    """

    __name__: ClassVar[str] = "numpy, sparse"

    def __getattr__(self, name: str) -> Any:
        """Return what NumPy has of that name."""
        return getattr(array_api_compat.numpy, name)

    @staticmethod
    def matmul(first: Any, second: Any) -> Any:
        """Multiply; a sparse matrix by a dense one is dense."""
        if scipy.sparse.issparse(first):
            return first @ second
        return array_api_compat.numpy.matmul(first, second)

    @staticmethod
    def matrix_transpose(array: Any) -> Any:
        """Transpose a matrix."""
        return array.T if scipy.sparse.issparse(array) else array_api_compat.numpy.matrix_transpose(array)

    @staticmethod
    def take(array: Any, indices: Any, *, axis: int) -> Any:
        """Take rows of a sparse matrix, or anything along any axis of a dense array."""
        return (
            array[indices] if scipy.sparse.issparse(array) else array_api_compat.numpy.take(array, indices, axis=axis)
        )


class SparseBackend(NumpyBackend):
    """NumPy's backend for samples whose `x` is a sparse matrix with compressed rows."""

    def __init__(self) -> None:
        super().__init__()
        self.xp = SparseNamespace()

    def asarray(self, array: Shaped[Any, "..."], dtype: str | None = None) -> Any:
        """Return an array as the dtype of that name; a sparse one stays so."""
        if scipy.sparse.issparse(array):
            return array.tocsr().astype(array.dtype if dtype is None else dtype, copy=False)
        return super().asarray(array, dtype)

    def threads_for(self, layers: Layers, rows: int) -> AbstractContextManager[object]:
        """Return a context in which small matrix products run in one thread; the first layer's are not dense."""
        return numpy_backend().threads_for(layers[1:] or layers, rows)
