"""A matrix product added to what is there: C ← C + s A B in one go, by the OpenBLAS that NumPy multiplies with.

BLAS has always done this, but NumPy does not pass it on. A step of plain gradient descent is such a product for every
weight; in one go, neither the gradient nor its multiple has to be written down and fetched again.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from threadpoolctl import ThreadpoolController

from .gemm import describe_operand

PREFIXES, SUFFIXES = ("", "scipy_"), ("", "64_", "_64")  # of the names of its functions, as it is built
ROW_BY_ROW = 101
TRANSPOSED = {False: 111, True: 112}


class Gemm(NamedTuple):
    """BLAS's general matrix product for one dtype, and the type of its numbers."""

    function: Callable[..., None]
    number: type[ctypes.c_float] | type[ctypes.c_double]


def bind_added_product(
    a: Float[np.ndarray, "rows inner"],
    b: Float[np.ndarray, "inner columns"],
    scale: Float[np.ndarray, ""],
    onto: Float[np.ndarray, "rows columns"],
    out: Float[np.ndarray, "rows columns"],
) -> Callable[[], None] | None:
    """Return what writes ``onto + scale * a @ b`` to `out` whenever it is called; None where OpenBLAS cannot.

    `onto` and `out` may be the same array.
    """
    gemm = find_gemm().get(out.dtype.name)
    first, second, target = (describe_operand(array.shape, array.strides, array.itemsize) for array in (a, b, out))
    if gemm is None or first is None or second is None or target is None or target.transposed:
        return None
    (rows, inner), columns = a.shape, b.shape[1]
    before = (ROW_BY_ROW, TRANSPOSED[first.transposed], TRANSPOSED[second.transposed], rows, columns, inner)
    after = (
        *(a.ctypes.data, first.leading_dimension, b.ctypes.data, second.leading_dimension),
        *(1.0, out.ctypes.data, target.leading_dimension),
    )
    multiply = gemm.function
    apart = onto.ctypes.data != out.ctypes.data

    def add_product() -> None:
        if apart:
            np.copyto(out, onto)
        multiply(*before, float(scale), *after)

    # Only the addresses are in there; the arrays must not be given back.
    add_product.arrays = (a, b, scale, onto, out)  # type: ignore[attr-defined]
    return add_product


@functools.cache
def find_gemm() -> dict[str, Gemm]:
    """Return the products by their dtypes; none where NumPy computes with another library, or hides its own."""
    found = {}
    for pool in ThreadpoolController().info():
        if pool["internal_api"] == "openblas" and "numpy" in pool["filepath"]:
            library = ctypes.CDLL(pool["filepath"])  # which is loaded already, and is not loaded again
            for name, letter, number in (("float32", "s", ctypes.c_float), ("float64", "d", ctypes.c_double)):
                function = find_function(library, f"cblas_{letter}gemm")
                configuration = find_function(library, "openblas_get_config")
                if function is not None and configuration is not None:
                    configuration.restype = ctypes.c_char_p
                    integer = ctypes.c_int64 if b"USE64BITINT" in configuration() else ctypes.c_int32
                    declare(function, integer, number)
                    found[name] = Gemm(function, number)
    return found


def find_function(library: ctypes.CDLL, name: str) -> Any:
    """Return a library's function, under whichever name it was built with; None where there is none."""
    names = (f"{prefix}{name}{suffix}" for prefix in PREFIXES for suffix in SUFFIXES)
    return next((getattr(library, name) for name in names if hasattr(library, name)), None)


def declare(function: Any, integer: type, number: type) -> None:
    """Tell ctypes what CBLAS's gemm takes."""
    order = transposed = ctypes.c_int
    pointer = ctypes.c_void_p
    function.restype = None
    function.argtypes = [
        *(order, transposed, transposed, integer, integer, integer, number),
        *(pointer, integer, pointer, integer, number, pointer, integer),
    ]
