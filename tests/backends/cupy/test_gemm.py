"""What a product is described as, BLAS itself computes."""

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.backends.cupy.gemm import Operand, describe_product


def blas_dgemm() -> Any:
    """The Fortran DGEMM that SciPy brings, which is not ours."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__["dgemm"]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(pointer(capsule, name(capsule)))


DGEMM = blas_dgemm()


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """C = A B with BLAS, as `describe_product` says; None where it says that a copy is needed."""
    product = describe_product(a, b)
    if product is None:
        return None
    out = np.full((*a.shape[:-1], b.shape[-1]), np.nan)
    for index in range(product.matrices):
        integers = [ctypes.c_int(value) for value in (product.rows, product.columns, product.inner)]
        leading = [ctypes.c_int(operand.leading_dimension) for operand in (product.first, product.second)]
        turned = [ctypes.c_char(b"T" if o.transposed else b"N") for o in (product.first, product.second)]
        one, zero, rows = ctypes.c_double(1.0), ctypes.c_double(0.0), ctypes.c_int(product.rows)
        addresses = [
            ctypes.c_void_p(array.ctypes.data + index * stride * 8)
            for array, stride in (
                (b, product.first.stack_stride),
                (a, product.second.stack_stride),
                (out, product.rows * product.columns),
            )
        ]
        arguments: list[Any] = [
            *turned,
            *integers,
            one,
            addresses[0],
            leading[0],
            addresses[1],
            leading[1],
            zero,
            addresses[2],
            rows,
        ]
        DGEMM(*(value if isinstance(value, ctypes.c_void_p) else ctypes.byref(value) for value in arguments))
    return out


def matrix(generator: np.random.Generator, shape: tuple[int, ...], layout: str) -> np.ndarray:
    """Random matrices that lie in memory row by row, column by column, or as a part of something wider."""
    if layout == "columns":
        return generator.normal(size=(*shape[:-2], shape[-1], shape[-2])).swapaxes(-1, -2)
    if layout == "part":
        return generator.normal(size=(*shape[:-2], shape[-2], shape[-1] + 3))[..., : shape[-1]]
    if layout == "shared" and len(shape) > 2:
        return np.broadcast_to(generator.normal(size=shape[-2:]), shape)
    return generator.normal(size=shape)


LAYOUTS = st.sampled_from(["rows", "columns", "part", "shared"])
SIZES = st.integers(1, 5)


@given(SIZES, SIZES, SIZES, st.sampled_from([(), (1,), (3,), (2, 3)]), LAYOUTS, LAYOUTS, st.integers(0, 9))
def test_blas_computes_the_product(
    m: int, k: int, n: int, leading: tuple[int, ...], layout_a: str, layout_b: str, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    a, b = matrix(generator, (*leading, m, k), layout_a), matrix(generator, (*leading, k, n), layout_b)
    result = multiply(a, b)
    assert result is not None
    np.testing.assert_allclose(result, a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "a",
    [
        np.ones((4, 6))[:, ::2],
        np.ones((4, 6))[::-1],
        np.broadcast_to(np.ones((1, 3)), (4, 3)),
        np.ones((2, 3, 4, 5)).swapaxes(0, 1),
    ],
    ids=["every other column", "backwards", "one row for all", "stacks out of order"],
)
def test_what_blas_cannot_read_needs_a_copy(a: np.ndarray) -> None:
    b = np.ones((*a.shape[:-2], a.shape[-1], 2))
    assert multiply(a, b) is None
    np.testing.assert_array_equal(multiply(np.ascontiguousarray(a), b), a @ b)


def test_the_products_of_a_training_step_need_no_copy() -> None:
    x, weight, gradient = np.ones((128, 784)), np.ones((784, 32)), np.ones((128, 32))
    assert describe_product(x, weight) is not None
    assert describe_product(x.T, gradient) is not None
    assert describe_product(gradient, weight.T) is not None
    product = describe_product(x.T, gradient)
    assert product is not None
    assert (product.first, product.second) == (Operand(False, 32), Operand(True, 784))
