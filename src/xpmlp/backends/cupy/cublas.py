"""Matrix products on CuPy arrays that a CUDA graph can hold.

CuPy refuses cuBLAS while a graph is recorded (its issue 6290), though cuBLAS itself does not mind. These products go
there through NVIDIA's own bindings, with a handle and a workspace of their own.
"""

from typing import Any

import array_api_compat.cupy
import cupy
import numpy as np
from jaxtyping import Float
from nvmath.bindings import cublas

from .gemm import describe_product

WORKSPACE_BYTES = 32 * 2**20  # what NVIDIA recommends for its largest GPUs; less would do on others

DATA_TYPES = {"float32": 0, "float64": 1}  # CUDA_R_32F, CUDA_R_64F
COMPUTE_TYPES = {"float32": cublas.ComputeType.COMPUTE_32F, "float64": cublas.ComputeType.COMPUTE_64F}


class RecordableNamespace:
    """CuPy's namespace, with products that can be recorded on one stream.

    Parameters
    ----------
    stream
        On which all is done.
    tf32
        Whether the inputs of float32 products may be rounded to TF32.

    Raises
    ------
    Exception
        Of the bindings' own kind, where cuBLAS is not found or does not start.
    """

    def __init__(self, stream: Any, *, tf32: bool = False) -> None:
        self.compute_types = COMPUTE_TYPES | ({"float32": cublas.ComputeType.COMPUTE_32F_FAST_TF32} if tf32 else {})
        self.handle = cublas.create()
        self.workspace = cupy.empty(WORKSPACE_BYTES, dtype=cupy.uint8)
        cublas.set_stream(self.handle, stream.ptr)
        # After the stream, which takes the workspace away. Without one cuBLAS would ask for memory while recorded.
        cublas.set_workspace(self.handle, self.workspace.data.ptr, WORKSPACE_BYTES)

    def __getattr__(self, name: str) -> Any:
        return getattr(array_api_compat.cupy, name)

    def __del__(self) -> None:
        if "handle" in self.__dict__:
            cublas.destroy(self.handle)

    def matmul(self, a: Float[Any, "*#models m k"], b: Float[Any, "*#models k n"]) -> Float[Any, "*models m n"]:
        """Multiply matrices, or stacks of them."""
        leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (cupy.broadcast_to(array, (*leading, *array.shape[-2:])) for array in (a, b))
        product = describe_product(a, b)
        if product is None:
            a, b = cupy.ascontiguousarray(a), cupy.ascontiguousarray(b)
            product = describe_product(a, b)
            assert product is not None
        out = cupy.empty((*leading, a.shape[-2], b.shape[-1]), dtype=a.dtype)
        kind = str(a.dtype)
        one, zero = np.ones((), a.dtype), np.zeros((), a.dtype)  # on the host, where cuBLAS looks for them
        cublas.gemm_strided_batched_ex(
            self.handle,
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
        """Multiply vectors along the last axis; CuPy would do it with cuBLAS."""
        return cupy.sum(a * b, axis=-1)


def operation(transposed: bool) -> int:
    """Return what BLAS does to an operand before it multiplies."""
    return int(cublas.Operation.T if transposed else cublas.Operation.N)
