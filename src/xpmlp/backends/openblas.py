"""What BLAS adds to what is there, and NumPy does not pass on: products and multiples.

A step of plain gradient descent is C ← C + s A B for every weight; in one go, neither the gradient nor its multiple has
to be written down and fetched again. Other updates are sums of multiples. They are asked of the OpenBLAS that NumPy has
loaded, which computes them in the threads that its products have.
"""

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from threadpoolctl import ThreadpoolController

from .gemm import describe_operand

PREFIXES, SUFFIXES = ("", "scipy_"), ("", "64_", "_64")  # of the names of its functions, as it is built
ROW_BY_ROW = 101
TRANSPOSED = {False: 111, True: 112}


class Blas(NamedTuple):
    """OpenBLAS's functions for one dtype: C ← αAB + βC, y ← αx + y, and y ← αx + βy."""

    gemm: Callable[..., None]
    axpy: Callable[..., None]
    axpby: Callable[..., None]


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
    blas = find_blas().get(out.dtype.name)
    first, second, target = (describe_operand(array.shape, array.strides, array.itemsize) for array in (a, b, out))
    if blas is None or first is None or second is None or target is None or target.transposed:
        return None
    (rows, inner), columns = a.shape, b.shape[1]
    before = (ROW_BY_ROW, TRANSPOSED[first.transposed], TRANSPOSED[second.transposed], rows, columns, inner)
    after = (
        *(a.ctypes.data, first.leading_dimension, b.ctypes.data, second.leading_dimension),
        *(1.0, out.ctypes.data, target.leading_dimension),
    )
    multiply = blas.gemm
    apart = onto.ctypes.data != out.ctypes.data

    def add_product() -> None:
        if apart:
            np.copyto(out, onto)
        multiply(*before, float(scale), *after)

    # Only the addresses are in there; the arrays must not be given back.
    add_product.arrays = (a, b, scale, onto, out)  # type: ignore[attr-defined]
    return add_product


def bind_combination(
    arrays: Sequence[Float[np.ndarray, "*axes"]],
    coefficients: Callable[[], Sequence[float]],
    onto: int,
    out: Float[np.ndarray, "*axes"],
) -> Callable[[], None] | None:
    """Return what writes the sum of the arrays' multiples to `out` whenever it is called; None where OpenBLAS cannot.

    Parameters
    ----------
    arrays
        Without gaps, as `out` is.
    coefficients
        What the arrays are multiplied by, as it is then.
    onto
        Which of the arrays `out` may be the same as.
    """
    blas = find_blas().get(out.dtype.name)
    if blas is None or len(arrays) == 1 or not all(array.flags.c_contiguous for array in (*arrays, out)):
        return None
    size, place, apart = out.size, out.ctypes.data, arrays[onto].ctypes.data != out.ctypes.data
    first, *others = [position for position in range(len(arrays)) if position != onto]
    places = [array.ctypes.data for array in arrays]

    def combine() -> None:
        factors = coefficients()
        if apart:
            np.copyto(out, arrays[onto])
        if factors[onto] == 1.0:
            blas.axpy(size, factors[first], places[first], 1, place, 1)
        else:
            blas.axpby(size, factors[first], places[first], 1, factors[onto], place, 1)
        for other in others:
            blas.axpy(size, factors[other], places[other], 1, place, 1)

    combine.arrays = (arrays, out)  # type: ignore[attr-defined]  # as above
    return combine


@functools.cache
def find_blas() -> dict[str, Blas]:
    """Return OpenBLAS's functions by dtype; none where NumPy computes with another library, or hides its own."""
    found = {}
    for pool in ThreadpoolController().info():
        if pool["internal_api"] == "openblas" and "numpy" in pool["filepath"]:
            library = ctypes.CDLL(pool["filepath"])  # which is loaded already, and is not loaded again
            configuration = find_function(library, "openblas_get_config")
            for name, letter, number in (("float32", "s", ctypes.c_float), ("float64", "d", ctypes.c_double)):
                functions = [find_function(library, f"cblas_{letter}{rest}") for rest in Blas._fields]
                if configuration is not None and all(functions):
                    configuration.restype = ctypes.c_char_p
                    integer = ctypes.c_int64 if b"USE64BITINT" in configuration() else ctypes.c_int32
                    found[name] = declare(Blas(*functions), integer, number)
    return found


def find_function(library: ctypes.CDLL, name: str) -> Any:
    """Return a library's function, under whichever name it was built with; None where there is none."""
    names = (f"{prefix}{name}{suffix}" for prefix in PREFIXES for suffix in SUFFIXES)
    return next((getattr(library, name) for name in names if hasattr(library, name)), None)


def declare(blas: Any, integer: type, number: type) -> Blas:
    """Tell ctypes what the functions take."""
    order = transposed = ctypes.c_int
    vector = (ctypes.c_void_p, integer)  # and from one number, or row, to the next
    blas.gemm.argtypes = [
        *(order, transposed, transposed, integer, integer, integer),
        *(number, *vector, *vector, number, *vector),
    ]
    blas.axpy.argtypes = [integer, number, *vector, *vector]
    blas.axpby.argtypes = [integer, number, *vector, number, *vector]
    for function in blas:
        function.restype = None
    return Blas(*blas)
