"""A matrix product in the terms of BLAS: which operand is transposed, and how far apart its rows lie in memory."""

import itertools
import math
from typing import Any, NamedTuple


class Operand(NamedTuple):
    """A matrix, or a stack of them, as BLAS reads it.

    Attributes
    ----------
    transposed
        Whether BLAS, which takes memory column by column, has to turn the matrix around.
    leading_dimension
        Elements from one row (for a transposed one, column) to the next.
    stack_stride
        Elements from one matrix of a stack to the next; 0 where all are the same one, or there is only one.
    """

    transposed: bool
    leading_dimension: int
    stack_stride: int = 0


def describe_operand(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Operand | None:
    """Return how BLAS is to read an array of matrices without a copy; None where it cannot.

    Parameters
    ----------
    shape, strides
        Of the array, the strides in bytes; the last two axes are rows and columns.
    """
    rows, columns = shape[-2:]
    row_stride, column_stride = (stride // itemsize for stride in strides[-2:])
    # Along an axis of length 1 nobody moves, and libraries write there what they like.
    along_columns = columns == 1 or column_stride == 1
    along_rows = rows == 1 or row_stride == 1
    if along_columns and (rows == 1 or row_stride >= columns):
        transposed, leading_dimension = False, max(columns, 1) if rows == 1 else row_stride
    elif along_rows and (columns == 1 or column_stride >= rows):
        transposed, leading_dimension = True, max(rows, 1) if columns == 1 else column_stride
    else:
        return None
    stack = stack_stride(shape[:-2], strides[:-2])
    return None if stack is None else Operand(transposed, leading_dimension, stack // itemsize)


def stack_stride(shape: tuple[int, ...], strides: tuple[int, ...]) -> int | None:
    """Return the bytes from one matrix to the next over all leading axes as one; None where it is not constant."""
    axes = [(length, stride) for length, stride in zip(shape, strides, strict=True) if length != 1]
    if not axes:
        return 0
    for (_, outer), (length, inner) in itertools.pairwise(axes):
        if outer != length * inner:
            return None
    return axes[-1][1]


class Product(NamedTuple):
    """The arguments of a strided batched GEMM that computes C = A B for arrays that lie row by row.

    BLAS takes memory column by column, in which C lies as its transpose: Cᵀ = Bᵀ Aᵀ. So B comes first.
    """

    rows: int
    columns: int
    inner: int
    matrices: int
    first: Operand
    second: Operand


def describe_product(a: Any, b: Any) -> Product | None:
    """Return the arguments for the product of two stacks of one common leading shape; None where one needs a copy.

    `first` describes `b`, `second` describes `a`.
    """
    first = describe_operand(b.shape, b.strides, b.itemsize)
    second = describe_operand(a.shape, a.strides, a.itemsize)
    if first is None or second is None:
        return None
    *leading, rows, inner = a.shape
    return Product(b.shape[-1], rows, inner, math.prod(leading), first, second)
