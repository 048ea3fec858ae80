from typing import Any

import numpy as np
import pytest

from xpmlp.datasets import class_indices, one_hot
from xpmlp.datasets.scaling import check_finite
from xpmlp.errors import DataError


def test_one_hot_marks_each_label_as_it_is_not_as_a_position() -> None:
    targets = one_hot(np.array([7, 3, 7, 40]), (3, 7, 40))
    np.testing.assert_array_equal(targets, [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert targets.dtype == np.float32
    assert one_hot(np.array([0, 1]), (0, 1), dtype=np.dtype("float16")).dtype == np.float16
    assert one_hot(np.array([], dtype=np.int64), (0, 1, 2)).shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (np.array([1, 2, 3, 1]), (3, 1, 2), [1, 2, 0, 1]),
        (np.array(["coat", "shirt", "bag"]), ("shirt", "bag", "coat"), [2, 0, 1]),
        (np.array(["coat", "shirt"], dtype=object), ("shirt", "bag", "coat"), [2, 0]),
        (np.array([1, "1", "x"], dtype=object), ("1", 1, "x"), [1, 0, 2]),
        (np.array([2**63 + 1, 2**63], dtype=np.uint64), (2**63, 2**63 + 1), [1, 0]),  # which a float would confuse
    ],
)
def test_class_indices_follow_the_order_of_the_classes(labels: Any, classes: Any, expected: list[int]) -> None:
    indices = class_indices(labels, classes)
    np.testing.assert_array_equal(indices, expected)
    assert indices.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 12, 11, 2, 11], r"3 of 5 rows .* not among the known classes: 11, 12\. The classes are 0, 1, 2\.$"),
        (np.arange(100), r"97 of 100 rows .*: 3, 4, 5, 6, 7, … \(97 in all\)\."),
        (["1", "0"], "2 of 2 rows .*: '0', '1'"),  # which only look like the classes
        ([0.5, 0.0], "1 of 2 rows .*: 0.5"),
        ([np.nan, np.nan], "2 of 2 rows .*: nan"),
    ],
)
def test_unknown_labels_are_named_and_counted_beside_the_known_ones(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        class_indices(np.array(labels), (0, 1, 2))


def test_finite_values_pass_whatever_their_size() -> None:
    check_finite(np.full((2, 4), np.finfo(np.float32).max, np.float32), what="x", input_shape=(2, 2))
    check_finite(np.zeros((0, 4), np.float32), what="x", input_shape=(2, 2))


@pytest.mark.parametrize(
    ("input_shape", "where"),
    [((12,), "column 7"), ((4, 3), "pixel row 2, pixel column 1"), ((3, 2, 2), r"position \(1, 1, 1\)")],
)
def test_the_first_value_that_is_not_finite_is_located(input_shape: tuple[int, ...], where: str) -> None:
    x = np.zeros((5, 12), np.float32)
    x[3, 7], x[4, 0] = np.nan, -np.inf
    with pytest.raises(DataError, match=f"^images: 2 of 60 values are not finite .* is nan in row 3, {where},"):
        check_finite(x, what="images", input_shape=input_shape)
