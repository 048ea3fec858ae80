"""PyTorch's functions under the standard's names, called directly.

`array_api_compat` checks and promotes dtypes at every call, as the standard asks. All arrays of a training step have
one floating dtype; without the checks an epoch takes a fifth less, with the same bits. Other functions are
`array_api_compat`'s.
"""

from typing import Any

import array_api_compat.torch
import torch


class TorchNamespace:
    """Array API functions for PyTorch tensors of one floating dtype."""

    __name__ = array_api_compat.torch.__name__

    abs = staticmethod(torch.abs)
    exp = staticmethod(torch.exp)
    expm1 = staticmethod(torch.expm1)
    isfinite = staticmethod(torch.isfinite)
    log = staticmethod(torch.log)
    log1p = staticmethod(torch.log1p)
    matmul = staticmethod(torch.matmul)
    sign = staticmethod(torch.sign)
    sqrt = staticmethod(torch.sqrt)
    tanh = staticmethod(torch.tanh)
    where = staticmethod(torch.where)

    def __getattr__(self, name: str) -> Any:
        return getattr(array_api_compat.torch, name)

    @staticmethod
    def astype(x: Any, dtype: Any) -> Any:
        """Convert to another dtype."""
        return x.to(dtype)

    @staticmethod
    def matrix_transpose(x: Any) -> Any:
        """Swap the last two axes."""
        return x.mT

    @staticmethod
    def max(x: Any, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        """Return the maximum along axes."""
        return torch.amax(x, () if axis is None else axis, keepdims)

    @staticmethod
    def maximum(a: Any, b: Any) -> Any:
        """Return the elementwise maximum; the second operand may be a number."""
        return torch.maximum(a, b) if isinstance(b, torch.Tensor) else torch.clamp_min(a, b)

    @staticmethod
    def minimum(a: Any, b: Any) -> Any:
        """Return the elementwise minimum; the second operand may be a number."""
        return torch.minimum(a, b) if isinstance(b, torch.Tensor) else torch.clamp_max(a, b)

    @staticmethod
    def sum(x: Any, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        """Sum along axes."""
        return torch.sum(x, axis, keepdim=keepdims)

    @staticmethod
    def take(x: Any, indices: Any, *, axis: int) -> Any:
        """Gather along an axis."""
        return torch.index_select(x, axis, indices)

    @staticmethod
    def vecdot(a: Any, b: Any, *, axis: int = -1) -> Any:
        """Return the dot product along an axis."""
        return torch.linalg.vecdot(a, b, dim=axis)
