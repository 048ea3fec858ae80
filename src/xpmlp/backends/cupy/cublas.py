"""Matrix products on CuPy arrays that a CUDA graph can capture.

CuPy refuses to call cuBLAS during a capture (its issue 6290), which cuBLAS itself supports. These products call it
through NVIDIA's own bindings, with a handle and a workspace of their own.
"""

from typing import Any

import array_api_compat.cupy
import cupy
import numpy as np
from jaxtyping import Float
from nvmath.bindings import cublas

from .gemm import describe_product

# NVIDIA's recommendation for Hopper, for other GPUs, and the least that does not fail. Without a workspace, cuBLAS
# would allocate memory during the capture.
WORKSPACE_BYTES = (32 * 2**20, 4 * 2**20, 16 * 2**10)

DATA_TYPES = {"float32": 0, "float64": 1}  # CUDA_R_32F, CUDA_R_64F
COMPUTE_TYPES = {"float32": cublas.ComputeType.COMPUTE_32F, "float64": cublas.ComputeType.COMPUTE_64F}


class CublasHandle:
    """A cuBLAS handle for one stream, and its workspace.

    Raises
    ------
    MemoryError
        If there is not even memory for the smallest workspace.
    Exception
        Of the bindings' own kind, if cuBLAS is not found or does not start.
    """

    def __init__(self, stream: Any) -> None:
        self.workspace = allocate_workspace()
        self.pointer = cublas.create()
        cublas.set_stream(self.pointer, stream.ptr)  # resets the workspace
        cublas.set_workspace(self.pointer, self.workspace.data.ptr, self.workspace.nbytes)


def allocate_workspace() -> Any:
    """Return the largest workspace that there is memory for."""
    for size in WORKSPACE_BYTES[:-1]:
        try:
            return cupy.empty(size, dtype=cupy.uint8)
        except MemoryError:
            continue
    return cupy.empty(WORKSPACE_BYTES[-1], dtype=cupy.uint8)


class CapturableNamespace:
    """CuPy's namespace, with matrix products that can be captured.

    Parameters
    ----------
    tf32
        Whether float32 products may round their inputs to TF32.
    """

    def __init__(self, handle: CublasHandle, *, tf32: bool = False) -> None:
        self.handle = handle
        self.compute_types = COMPUTE_TYPES | ({"float32": cublas.ComputeType.COMPUTE_32F_FAST_TF32} if tf32 else {})

    def __getattr__(self, name: str) -> Any:
        return getattr(array_api_compat.cupy, name)

    def matmul(
        self, a: Float[Any, "*#models m k"], b: Float[Any, "*#models k n"], *, out: Any = None
    ) -> Float[Any, "*models m n"]:
        """Multiply matrices, or stacks of them; into `out`, if given, which is contiguous."""
        kind = str(a.dtype)
        if a.dtype != b.dtype or kind not in DATA_TYPES:
            return cupy.matmul(a, b, out=out)  # which is right, but cannot be captured
        leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (cupy.broadcast_to(array, (*leading, *array.shape[-2:])) for array in (a, b))
        product = describe_product(a, b)
        if product is None:
            a, b = cupy.ascontiguousarray(a), cupy.ascontiguousarray(b)
            product = describe_product(a, b)
            assert product is not None
        if out is None:
            out = cupy.empty((*leading, a.shape[-2], b.shape[-1]), dtype=a.dtype)
        one, zero = np.ones((), a.dtype), np.zeros((), a.dtype)  # on the host, where cuBLAS expects them
        cublas.gemm_strided_batched_ex(
            self.handle.pointer,
            operation(product.first.transposed),
            operation(product.second.transposed),
            product.rows,
            product.columns,
            product.inner,
            one.ctypes.data,
            b.data.ptr,
            DATA_TYPES[kind],
            product.first.leading_dimension,
            product.first.stack_stride,
            a.data.ptr,
            DATA_TYPES[kind],
            product.second.leading_dimension,
            product.second.stack_stride,
            zero.ctypes.data,
            out.data.ptr,
            DATA_TYPES[kind],
            product.rows,
            product.rows * product.columns,
            product.matrices,
            self.compute_types[kind],
            cublas.GemmAlgo.DFALT,
        )
        return out

    def vecdot(self, a: Float[Any, "*#models n"], b: Float[Any, "*#models n"]) -> Float[Any, "*models"]:
        """Return the dot product along the last axis; CuPy's own calls cuBLAS."""
        return cupy.sum(a * b, axis=-1)


def operation(transposed: bool) -> int:
    """Return what cuBLAS does with an operand before it multiplies."""
    return int(cublas.Operation.T if transposed else cublas.Operation.N)
