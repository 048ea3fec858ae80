from typing import Any

import numpy as np
import pytest

from xpmlp.nn.samples import Samples, make_batch, slice_rows, take_rows

X = np.arange(12.0).reshape(6, 2)
TARGETS = np.arange(6.0).reshape(6, 1) * 10
WEIGHT = np.arange(6.0) / 10


def samples_on(place: Any) -> Samples:
    return Samples(place.asarray(X), place.asarray(TARGETS), place.asarray(WEIGHT))


def test_rows_are_taken_in_their_order_and_as_often_as_they_are_named(place: Any) -> None:
    rows = [4, 0, 4]
    batch = take_rows(place.xp, samples_on(place), place.asarray(rows, "int64"))
    np.testing.assert_array_equal(place.to_numpy(batch.x), X[rows])
    np.testing.assert_array_equal(place.to_numpy(batch.targets), TARGETS[rows])
    np.testing.assert_array_equal(place.to_numpy(batch.weight), WEIGHT[rows])


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (4, 8), (6, 9)])
def test_a_slice_ends_with_the_last_row(place: Any, start: int, stop: int) -> None:
    samples = samples_on(place)
    part = slice_rows(samples, start, stop)
    assert slice_rows(samples._replace(weight=None), start, stop).weight is None
    np.testing.assert_array_equal(place.to_numpy(part.x), X[start:stop])
    np.testing.assert_array_equal(place.to_numpy(part.targets), TARGETS[start:stop])
    np.testing.assert_array_equal(place.to_numpy(part.weight), WEIGHT[start:stop])


def test_a_population_may_have_rows_of_its_own() -> None:
    assert Samples(np.zeros((3, 2, 5, 4)), np.zeros((3, 2, 5, 1))).rows == 5
    samples = Samples(np.stack([X, -X]), np.stack([TARGETS, -TARGETS]), np.stack([WEIGHT, 1 - WEIGHT]))
    for part in (take_rows(np, samples, np.array([1, 2])), slice_rows(samples, 1, 3)):
        np.testing.assert_array_equal(part.x, [X[1:3], -X[1:3]])
        np.testing.assert_array_equal(part.targets, [TARGETS[1:3], -TARGETS[1:3]])
        np.testing.assert_array_equal(part.weight, [WEIGHT[1:3], 1 - WEIGHT[1:3]])


def test_bytes_are_divided_when_a_batch_is_made_of_them(place: Any) -> None:
    stored = np.array([[0, 255], [51, 102]], np.uint8)
    samples = Samples(place.asarray(stored, "uint8"), place.asarray(TARGETS[:2]), None, 255.0)
    taken = take_rows(place.xp, samples, place.asarray([1, 0, 1], "int64"))
    batch = make_batch(place.xp, taken)
    assert batch.x.dtype == batch.targets.dtype
    assert taken.x.dtype == slice_rows(samples, 0, 1).x.dtype == samples.x.dtype
    np.testing.assert_array_equal(place.to_numpy(batch.x), stored[[1, 0, 1]] / 255.0)
    np.testing.assert_array_equal(place.to_numpy(make_batch(place.xp, slice_rows(samples, 1, 5)).x), stored[1:] / 255.0)


def test_without_a_divisor_a_batch_is_of_the_very_arrays() -> None:
    samples = Samples(X, TARGETS, WEIGHT)
    assert all(a is b for a, b in zip(make_batch(np, samples), samples.arrays, strict=True))


def test_what_is_mapped_are_the_arrays_that_there_are() -> None:
    samples = Samples(X, TARGETS, None, 2.0).map(lambda array: array + 1.0)
    np.testing.assert_array_equal(samples.x, X + 1.0)
    assert samples.weight is None
    assert samples.divisor == 2.0
    assert len(samples.arrays) == 2
