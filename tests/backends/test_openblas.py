"""A product added to what is there, wherever the matrices lie."""

from typing import Any

import numpy as np
import pytest

from xpmlp.backends.openblas import bind_added_product, find_blas

pytestmark = pytest.mark.skipif(not find_blas(), reason="NumPy does not multiply with OpenBLAS here")

LAYOUTS: dict[str, Any] = {
    "rows": lambda array: array,
    "columns": np.asfortranarray,
    "part of rows": lambda array: np.pad(array, ((0, 0), (0, 3)))[:, :-3],
    "part of columns": lambda array: np.asfortranarray(np.pad(array, ((0, 2), (0, 0))))[:-2],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("shape", [(5, 7, 4), (1, 3, 2), (3, 1, 2), (3, 2, 1), (130, 70, 90)])
def test_it_is_the_sum(shape: tuple[int, int, int], first: str, second: str, dtype: str) -> None:
    rows, inner, columns = shape
    generator = np.random.default_rng(0)
    a = LAYOUTS[first](generator.normal(size=(rows, inner)).astype(dtype))
    b = LAYOUTS[second](generator.normal(size=(inner, columns)).astype(dtype))
    onto, out = generator.normal(size=(rows, columns)).astype(dtype), np.empty((rows, columns), dtype)
    scale = np.asarray(-0.3, dtype)
    apart, over = bind_added_product(a, b, scale, onto, out), bind_added_product(a, b, scale, onto, onto)
    assert apart is not None
    assert over is not None
    for factor in (-0.3, 2.0):  # whatever the number is when it is called
        scale[...] = factor
        expected = onto + scale * (a @ b)
        apart()
        over()
        for found in (out, onto):
            np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-5)


def test_what_openblas_cannot_read_or_write_is_left_to_numpy() -> None:
    square = np.zeros((4, 4))
    assert bind_added_product(np.zeros((8, 8))[::2, ::2], square, np.asarray(1.0), square, square) is None
    assert bind_added_product(square, square, np.asarray(1.0), square, np.asfortranarray(square)) is None
    half = np.zeros((4, 4), np.float16)
    assert bind_added_product(half, half, np.asarray(1.0), half, half) is None
