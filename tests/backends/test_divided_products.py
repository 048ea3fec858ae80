"""Which part of a product each thread computes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.backends.divided_products import GRAIN, MOST_PARTS, Division, cut, divide_product


@given(length=st.integers(1, 5000), parts=st.integers(1, MOST_PARTS))
def test_parts_make_up_the_axis_and_are_as_equal_as_the_grain_allows(length: int, parts: int) -> None:
    slices = cut(length, parts)
    assert [number for part in slices for number in range(length)[part]] == list(range(length))
    assert all(part.start % GRAIN == 0 for part in slices if part.start < length)
    sizes = [part.stop - part.start for part in slices]
    assert max(sizes) - min(sizes) < 2 * GRAIN


def test_a_layer_is_cut_by_its_inputs_forward_and_backward() -> None:
    by_inputs = (slice(0, 392), slice(392, 784))
    assert divide_product(128, 784, 128, threads=2) == Division("inner", by_inputs)  # x W
    assert divide_product(784, 128, 128, threads=2) == Division("rows", by_inputs)  # xᵀ d


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "threads"),
    [
        (128, 784, 128, 1),  # nobody to share it with
        (128, 784, 128, MOST_PARTS + 1),
        (128, 784, 10, 2),  # small
        (128, 256, 128, 4),  # large, but not its parts
        (1024, 784, 128, 2),  # no axis is long
    ],
)
def test_other_products_are_left_to_the_library(rows: int, inner: int, columns: int, threads: int) -> None:
    assert divide_product(rows, inner, columns, threads) is None
