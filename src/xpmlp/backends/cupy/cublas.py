"""Matrix products on CuPy arrays that a CUDA graph can capture.

CuPy refuses to call cuBLAS during a capture (its issue 6290), which cuBLAS itself supports. These products call it
through NVIDIA's own bindings, with a handle and a workspace of their own.
"""

import math
from typing import Any, NamedTuple

import array_api_compat.cupy
import cupy
import numpy as np
from jaxtyping import Float
from nvmath.bindings import cublas

from .resources import thread_resources

# NVIDIA's recommendation for Hopper. Without a workspace, cuBLAS would allocate memory during the capture.
WORKSPACE_BYTES = 32 * 2**20

DATA_TYPES = {"float32": 0, "float64": 1}  # CUDA_R_32F, CUDA_R_64F
COMPUTE_TYPES = {"float32": cublas.ComputeType.COMPUTE_32F, "float64": cublas.ComputeType.COMPUTE_64F}


class CublasHandle:
    """A cuBLAS handle for one stream, and its workspace.

    Raises
    ------
    MemoryError
        If there is no memory for the workspace.
    Exception
        Of the bindings' own kind, if cuBLAS is not found or does not start.
    """

    def __init__(self, stream: Any) -> None:
        self.workspace = cupy.empty(WORKSPACE_BYTES, dtype=cupy.uint8)
        self.pointer = cublas.create()
        cublas.set_stream(self.pointer, stream.ptr)  # resets the workspace
        cublas.set_workspace(self.pointer, self.workspace.data.ptr, self.workspace.nbytes)


class Operand(NamedTuple):
    """A matrix, or a stack of them, as BLAS reads it: column by column.

    Attributes
    ----------
    transposed
        Whether BLAS has to transpose it.
    leading_dimension
        Elements from one row, if `transposed` column, to the next.
    stride
        Elements from one matrix of a stack to the next; 0 if all are the same.
    """

    array: Any
    transposed: bool
    leading_dimension: int
    stride: int


def as_operand(array: Any, leading: tuple[int, ...]) -> Operand:
    """Return an array as an operand of a product of that leading shape; it is copied if its layout is unusual."""
    is_shared = math.prod(array.shape[:-2]) == 1
    if not is_shared:
        array = cupy.broadcast_to(array, (*leading, *array.shape[-2:]))
    transposed = not array.flags.c_contiguous and array.swapaxes(-1, -2).flags.c_contiguous
    rows, columns = array.shape[-2:]
    return Operand(
        array if transposed else cupy.ascontiguousarray(array),
        transposed,
        rows if transposed else columns,
        0 if is_shared else rows * columns,
    )


class CapturableNamespace:
    """CuPy's namespace, with matrix products that can be captured.

    Parameters
    ----------
    tf32
        Whether float32 products may round their inputs to TF32.
    """

    def __init__(self, device: Any, *, tf32: bool = False) -> None:
        self.device = device
        self.compute_types = COMPUTE_TYPES | ({"float32": cublas.ComputeType.COMPUTE_32F_FAST_TF32} if tf32 else {})

    def __getattr__(self, name: str) -> Any:
        return getattr(array_api_compat.cupy, name)

    def matmul(
        self, a: Float[Any, "*#models m k"], b: Float[Any, "*#models k n"], *, out: Any = None
    ) -> Float[Any, "*models m n"]:
        """Multiply matrices, or stacks of them; into `out`, if given, which is contiguous.

        BLAS takes memory column by column, in which C = A B lies as its transpose: Cᵀ = Bᵀ Aᵀ. So B comes first.
        """
        kind = str(a.dtype)
        if a.dtype != b.dtype or kind not in DATA_TYPES:
            return cupy.matmul(a, b, out=out)  # which is right, but cannot be captured
        (rows, inner), columns = a.shape[-2:], b.shape[-1]
        leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        if out is None:
            out = cupy.empty((*leading, rows, columns), dtype=a.dtype)
        first, second = as_operand(b, leading), as_operand(a, leading)
        one, zero = np.ones((), a.dtype), np.zeros((), a.dtype)  # on the host, where cuBLAS expects them
        cublas.gemm_strided_batched_ex(
            thread_resources(self.device).cublas.pointer,
            *(cublas.Operation.T if operand.transposed else cublas.Operation.N for operand in (first, second)),
            *(columns, rows, inner),
            one.ctypes.data,
            *(first.array.data.ptr, DATA_TYPES[kind], first.leading_dimension, first.stride),
            *(second.array.data.ptr, DATA_TYPES[kind], second.leading_dimension, second.stride),
            zero.ctypes.data,
            *(out.data.ptr, DATA_TYPES[kind], columns, rows * columns),
            math.prod(leading),
            self.compute_types[kind],
            cublas.GemmAlgo.DFALT,
        )
        return out

    def vecdot(self, a: Float[Any, "*#models n"], b: Float[Any, "*#models n"]) -> Float[Any, "*models"]:
        """Return the dot product along the last axis; CuPy's own calls cuBLAS."""
        return cupy.sum(a * b, axis=-1)
