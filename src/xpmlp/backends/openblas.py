"""What BLAS can do, and NumPy does not pass on: products and multiples added to what is there, and products at once.

A step of plain gradient descent is C ← C + s A B for every weight; in one go, neither the gradient nor its multiple has
to be written down and fetched again. Other updates are sums of multiples. They are asked of the OpenBLAS that NumPy has
loaded, which computes them in the threads that its products have.
"""

import ctypes
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from threadpoolctl import ThreadpoolController

from xpmlp.backends.cupy.gemm import Operand, describe_operand

PREFIXES, SUFFIXES = ("", "scipy_"), ("", "64_", "_64")  # of the names of its functions, as it is built
ROW_BY_ROW = 101
TRANSPOSED = {False: 111, True: 112}
# Of products of so few multiplications several at once crash OpenBLAS before the fix of August 2026 (its pull request
# 5980): it then calls its kernels for small matrices by a wrong address.
CRASHING_MULTIPLICATIONS = 100**3


class Blas(NamedTuple):
    """OpenBLAS for one dtype.

    Attributes
    ----------
    number, integer
        What it computes with, and counts with.
    gemm, axpy, axpby
        C ← αAB + βC, y ← αx + y, and y ← αx + βy.
    gemm_batch
        Several products at once, each in one thread; older ones do not have it.
    count_threads
        Tells how many threads there are.
    """

    number: Any
    integer: Any
    gemm: Callable[..., None]
    axpy: Callable[..., None]
    axpby: Callable[..., None]
    gemm_batch: Callable[..., None] | None
    count_threads: Callable[[], int]


Factors = Callable[[], tuple[float, float]] | tuple[float, float]


class Product(NamedTuple):
    """A product A B, and where it is to be."""

    a: Float[np.ndarray, "rows inner"]
    b: Float[np.ndarray, "inner columns"]
    out: Float[np.ndarray, "rows columns"]


def count_products_at_once(dtype: np.dtype[Any]) -> int:
    """Return how many products can be computed at once: a thread each; 1 where it cannot be asked of OpenBLAS."""
    blas = find_blas().get(dtype.name)
    return 1 if blas is None or blas.gemm_batch is None else blas.count_threads()


def bind_added_product(product: Product, factors: Factors) -> Callable[[], None] | None:
    """Return what makes `out` the sum ``scale * a @ b + kept * out`` whenever it is called; None where OpenBLAS cannot.

    Parameters
    ----------
    factors
        `scale` and `kept`, or what tells them as they are then.
    """
    a, b, out = product
    blas = find_blas().get(out.dtype.name)
    operands = describe_operands(product)
    if blas is None or operands is None:
        return None
    first, second, target = operands
    multiply = blas.gemm
    lengths = (ROW_BY_ROW, transposition(first), transposition(second), *out.shape, a.shape[1])
    matrices = (a.ctypes.data, first.leading_dimension, b.ctypes.data, second.leading_dimension)
    place = (out.ctypes.data, target.leading_dimension)

    def add_product() -> None:
        scale, kept = factors() if callable(factors) else factors
        multiply(*lengths, scale, *matrices, kept, *place)

    # Only the addresses are in there; the arrays must not be given back.
    add_product.arrays = product  # type: ignore[attr-defined]
    return add_product


def bind_products(
    products: Sequence[Product], factors: Sequence[tuple[float, float]] | Callable[[], tuple[float, float]]
) -> Callable[[], None] | None:
    """Return what computes products at once whenever it is called, each in one thread; None where OpenBLAS cannot.

    It cannot where one of them is small.

    Parameters
    ----------
    factors
        `scale` and `kept` of each product, or what tells them, the same of all, as they are then; see
        `bind_added_product`.
    """
    blas = find_blas().get(products[0].out.dtype.name)
    operands = [described for product in products if (described := describe_operands(product)) is not None]
    if blas is None or blas.gemm_batch is None or len(operands) < len(products):
        return None
    if any(product.a.size * product.b.shape[1] <= CRASHING_MULTIPLICATIONS for product in products):
        return None
    count = len(products)
    a, b, out = zip(*products, strict=True)
    firsts, seconds, targets = zip(*operands, strict=True)

    def numbers(kind: Any, values: Iterable[Any]) -> Any:
        return (kind * count)(*values)

    def places(arrays: Iterable[Any], described: Iterable[Operand]) -> tuple[Any, Any]:
        return (
            numbers(ctypes.c_void_p, (array.ctypes.data for array in arrays)),
            numbers(blas.integer, (operand.leading_dimension for operand in described)),
        )

    multiply = blas.gemm_batch
    known = [(1.0, 0.0)] * count if callable(factors) else factors
    scales, kept = (numbers(blas.number, values) for values in zip(*known, strict=True))
    arguments = (
        ROW_BY_ROW,
        numbers(ctypes.c_int, map(transposition, firsts)),
        numbers(ctypes.c_int, map(transposition, seconds)),
        *(numbers(blas.integer, lengths) for lengths in zip(*(x.shape for x in out), strict=True)),
        numbers(blas.integer, (x.shape[1] for x in a)),
        *(scales, *places(a, firsts), *places(b, seconds), kept, *places(out, targets)),
        *(count, numbers(blas.integer, [1] * count)),
    )

    # ctypes takes as long to find where an array of its own is as to pass on half of the numbers.
    addresses = [ctypes.addressof(a) if isinstance(a, ctypes.Array) else a for a in arguments]
    now: tuple[float, float] | None = None

    def compute_products() -> None:
        nonlocal now
        if callable(factors) and (new := factors()) != now:
            now = new
            scales[:], kept[:] = ([factor] * count for factor in new)
        multiply(*addresses)

    compute_products.arrays = (products, arguments)  # type: ignore[attr-defined]  # as above
    return compute_products


def describe_operands(product: Product) -> tuple[Operand, Operand, Operand] | None:
    """Return how BLAS is to read and write a product's arrays; None where it cannot."""
    first, second, target = (describe_operand(array.shape, array.strides, array.itemsize) for array in product)
    of_one_kind = product.a.dtype == product.b.dtype == product.out.dtype
    if first is None or second is None or target is None or target.transposed or not of_one_kind:
        return None
    return first, second, target


def transposition(operand: Operand) -> int:
    """Return BLAS's word for whether it has to turn a matrix around."""
    return TRANSPOSED[operand.transposed]


def bind_combination(
    arrays: Sequence[Float[np.ndarray, "*axes"]],
    coefficients: Callable[[], Sequence[float]] | Sequence[float],
    onto: int,
    out: Float[np.ndarray, "*axes"],
) -> Callable[[], None] | None:
    """Return what writes the sum of the arrays' multiples to `out` whenever it is called; None where OpenBLAS cannot.

    Parameters
    ----------
    arrays
        Without gaps, as `out` is.
    coefficients
        What the arrays are multiplied by, or what tells it as it is then.
    onto
        Which of the arrays `out` may be the same as.
    """
    blas = find_blas().get(out.dtype.name)
    fit = all(array.flags.c_contiguous and array.dtype == out.dtype for array in (*arrays, out))
    if blas is None or len(arrays) == 1 or not fit:
        return None
    size, place, apart = out.size, out.ctypes.data, arrays[onto].ctypes.data != out.ctypes.data
    first, *others = [position for position in range(len(arrays)) if position != onto]
    places = [array.ctypes.data for array in arrays]

    def combine() -> None:
        factors = coefficients() if callable(coefficients) else coefficients
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
            threads = find_function(library, "openblas_get_num_threads")
            for name, letter, number in (("float32", "s", ctypes.c_float), ("float64", "d", ctypes.c_double)):
                gemm, axpy, axpby, batch = (
                    find_function(library, f"cblas_{letter}{rest}") for rest in ("gemm", "axpy", "axpby", "gemm_batch")
                )
                if all((configuration, threads, gemm, axpy, axpby)):
                    configuration.restype = ctypes.c_char_p
                    integer = ctypes.c_int64 if b"USE64BITINT" in configuration() else ctypes.c_int32
                    found[name] = declare(Blas(number, integer, gemm, axpy, axpby, batch, threads))
    return found


def find_function(library: ctypes.CDLL, name: str) -> Any:
    """Return a library's function, under whichever name it was built with; None where there is none."""
    names = (f"{prefix}{name}{suffix}" for prefix in PREFIXES for suffix in SUFFIXES)
    return next((getattr(library, name) for name in names if hasattr(library, name)), None)


def declare(blas: Any) -> Blas:
    """Tell ctypes what the functions take."""
    number, integer, order, transposed = blas.number, blas.integer, ctypes.c_int, ctypes.c_int
    vector = (ctypes.c_void_p, integer)  # and from one number, or row, to the next
    blas.gemm.argtypes = [
        *(order, transposed, transposed, integer, integer, integer),
        *(number, *vector, *vector, number, *vector),
    ]
    blas.axpy.argtypes = [integer, number, *vector, *vector]
    blas.axpby.argtypes = [integer, number, *vector, number, *vector]
    for function in (blas.gemm, blas.axpy, blas.axpby):
        function.restype = None
    if blas.gemm_batch is not None:
        # Of each group of products one of everything; all are arrays, and of pointers to the matrices.
        group = [*[ctypes.c_void_p] * 13, integer, ctypes.c_void_p]
        blas.gemm_batch.argtypes = [order, *group]
        blas.gemm_batch.restype = None
    declared: Blas = blas
    return declared
