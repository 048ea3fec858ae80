from typing import Any

import numpy as np

from xpmlp.nn.samples import Samples, make_batch, slice_rows, take_rows

X = np.arange(12.0).reshape(6, 2)
TARGETS = np.arange(6.0).reshape(6, 1) * 10
WEIGHT = np.arange(6.0) / 10


def test_rows_are_taken_by_index_or_as_a_slice(place: Any) -> None:
    samples = Samples(X, TARGETS, WEIGHT).map(place.asarray)
    rows = [4, 0, 4]
    parts = [(take_rows(place.xp, samples, place.asarray(rows, "int64")), rows)]
    # A slice ends with the last row.
    parts += [(slice_rows(samples, start, start + 4), list(range(start, min(start + 4, 6)))) for start in (0, 4, 6)]
    for part, expected in parts:
        np.testing.assert_array_equal(place.to_numpy(part.x), X[expected])
        np.testing.assert_array_equal(place.to_numpy(part.targets), TARGETS[expected])
        np.testing.assert_array_equal(place.to_numpy(part.weight), WEIGHT[expected])
    assert slice_rows(samples._replace(weight=None), 0, 4).weight is None


def test_a_population_may_have_rows_of_its_own() -> None:
    assert Samples(np.zeros((3, 2, 5, 4)), np.zeros((3, 2, 5, 1))).rows == 5
    samples = Samples(np.stack([X, -X]), np.stack([TARGETS, -TARGETS]), np.stack([WEIGHT, 1 - WEIGHT]))
    for part in (take_rows(np, samples, np.array([1, 2])), slice_rows(samples, 1, 3)):
        np.testing.assert_array_equal(part.x, [X[1:3], -X[1:3]])
        np.testing.assert_array_equal(part.targets, [TARGETS[1:3], -TARGETS[1:3]])
        np.testing.assert_array_equal(part.weight, [WEIGHT[1:3], 1 - WEIGHT[1:3]])


def test_groups_of_models_take_their_own_rows_of_samples_that_all_share(place: Any) -> None:
    rows = np.asarray([[0, 5, 5], [2, 1, 0]])
    taken = take_rows(place.xp, Samples(X, TARGETS, WEIGHT).map(place.asarray), place.asarray(rows, "int64"))
    for array, expected in zip(taken.arrays, (X, TARGETS, WEIGHT), strict=True):
        np.testing.assert_array_equal(place.to_numpy(array), expected[rows][:, None])


def test_bytes_are_divided_when_a_batch_is_made_of_them(place: Any) -> None:
    stored = np.array([[0, 255], [51, 102]], np.uint8)
    samples = Samples(place.asarray(stored, "uint8"), place.asarray(TARGETS[:2]), None, 255.0)
    part = slice_rows(samples, 1, 5)
    batch = make_batch(place.xp, part)
    assert part.x.dtype == samples.x.dtype
    assert batch.x.dtype == batch.targets.dtype
    np.testing.assert_array_equal(place.to_numpy(batch.x), stored[1:] / 255.0)


def test_map_takes_the_arrays_that_there_are_and_a_batch_without_divisor_is_of_the_very_arrays() -> None:
    samples = Samples(X, TARGETS, None, 2.0).map(lambda array: array + 1.0)
    np.testing.assert_array_equal(samples.x, X + 1.0)
    assert (samples.weight, samples.divisor, len(samples.arrays)) == (None, 2.0, 2)
    samples = Samples(X, TARGETS, WEIGHT)
    assert all(a is b for a, b in zip(make_batch(np, samples), samples.arrays, strict=True))
