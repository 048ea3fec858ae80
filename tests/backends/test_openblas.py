"""Products and multiples added to what is there, and several products at once, wherever the matrices lie."""

from typing import Any

import numpy as np
import pytest

from xpmlp.backends.openblas import Product, bind_added_product, bind_combination, bind_products, find_blas

pytestmark = pytest.mark.skipif(not find_blas(), reason="NumPy does not multiply with OpenBLAS here")

LAYOUTS: dict[str, Any] = {
    "rows": lambda array: array,
    "columns": np.asfortranarray,
    "part of rows": lambda array: np.pad(array, ((0, 0), (0, 3)))[:, :-3],
    "part of columns": lambda array: np.asfortranarray(np.pad(array, ((0, 2), (0, 0))))[:-2],
}


def draw(shape: tuple[int, int, int], first: str, second: str, dtype: str) -> tuple[Any, Any, Any]:
    """Return two factors that lie as told, and what their product is added to."""
    rows, inner, columns = shape
    generator = np.random.default_rng(0)
    a = LAYOUTS[first](generator.normal(size=(rows, inner)).astype(dtype))
    b = LAYOUTS[second](generator.normal(size=(inner, columns)).astype(dtype))
    return a, b, generator.normal(size=(rows, columns)).astype(dtype)


def assert_close(found: Any, expected: Any) -> None:
    tolerance = {"float32": 1e-4, "float64": 1e-12}[found.dtype.name]
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("shape", [(5, 7, 4), (1, 3, 2), (3, 1, 2), (3, 2, 1), (130, 70, 90)])
def test_a_product_is_added(shape: tuple[int, int, int], first: str, second: str, dtype: str) -> None:
    a, b, out = draw(shape, first, second, dtype)
    factors = [0.0, 0.0]
    add_product = bind_added_product(Product(a, b, out), lambda: (factors[0], factors[1]))
    assert add_product is not None
    for scale, kept in ((-0.3, 1.0), (2.0, 0.5)):  # whatever they are when it is called
        factors[:] = scale, kept
        expected = kept * out + scale * (a @ b)
        add_product()
        assert_close(out, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
def test_several_products_are_computed_at_once(first: str, second: str, dtype: str) -> None:
    if find_blas()[dtype].gemm_batch is None:
        pytest.skip("this OpenBLAS computes one product at a time")
    drawn = [draw(shape, first, second, dtype) for shape in ((130, 170, 90), (300, 400, 11), (101, 100, 101))]
    products = [Product(*arrays) for arrays in drawn]
    factors = iter([(-0.3, 2.0), (-0.3, 2.0), (1.0, 1.0)])
    compute = bind_products(products, [(1.0, 0.0), (0.5, 0.0), (1.0, 0.0)])
    add = bind_products(products, lambda: next(factors))
    assert compute is not None
    assert add is not None
    for _, _, out in products:
        out[...] = np.nan  # what is there is not looked at
    compute()
    for (a, b, out), multiple in zip(products, (1.0, 0.5, 1.0), strict=True):
        assert_close(out, multiple * (a @ b))
    for _ in range(3):
        add()
    for (a, b, out), multiple in zip(products, (4.1, 2.1, 4.1), strict=True):
        assert_close(out, multiple * (a @ b))


def test_a_product_may_begin_with_what_is_there_beside_one_that_does_not() -> None:
    if find_blas()["float32"].gemm_batch is None:
        pytest.skip("this OpenBLAS computes one product at a time")
    products = [Product(*draw((130, 170, 90), "rows", "rows", "float32")) for _ in range(2)]
    compute = bind_products(products, [(2.0, 0.0), (2.0, 1.0)])
    assert compute is not None
    products[0].out[...] = np.nan
    products[1].out[...] = 3.0
    compute()
    for (a, b, out), more in zip(products, (0.0, 3.0), strict=True):
        assert_close(out, 2.0 * (a @ b) + np.float32(more))


def test_small_products_are_not_computed_at_once() -> None:
    a, b, out = draw((100, 100, 100), "rows", "rows", "float32")
    assert bind_products([Product(a, b, out)], [(1.0, 0.0)]) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("coefficients", [(1.0, -0.1, 2.0), (0.9, 0.1, -1.0), (0.0, 1.0, 1.0)])
def test_multiples_are_added(coefficients: tuple[float, ...], fixed: bool, dtype: str) -> None:
    arrays = [np.random.default_rng(0).normal(size=(30, 20)).astype(dtype) for _ in coefficients]
    expected = sum(c * array for c, array in zip(coefficients, arrays, strict=True))
    told = list(coefficients) if fixed else lambda: list(coefficients)
    apart = np.empty_like(arrays[0])
    for out in (apart, arrays[0]):
        combine = bind_combination(arrays, told, 0, out)
        assert combine is not None
        combine()
        assert_close(out, expected)


def test_what_openblas_cannot_read_or_write_is_left_to_numpy() -> None:
    square, half = np.zeros((4, 4)), np.zeros((4, 4), np.float16)
    for product in (
        Product(np.zeros((8, 8))[::2, ::2], square, square),
        Product(square, square, np.asfortranarray(square)),
        Product(half, half, half),
        Product(square.astype(np.float32), square, square),
        Product(square, square.astype(np.int64), square),
    ):
        assert bind_added_product(product, lambda: (1.0, 1.0)) is None
        assert bind_products([product], [(1.0, 0.0)]) is None
