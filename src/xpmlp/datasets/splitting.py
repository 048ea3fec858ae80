"""Splitting rows into training and test rows, as scikit-learn's ``train_test_split`` does, without importing it."""

import math

import numpy as np
from jaxtyping import Float64, Int64, Shaped

SEED = 0  # of every split, so that runs with different seeds are tested on the same rows
TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.1  # of the training rows
BY_ROW_NUMBER = "row number"  # how `draw` chooses test rows, in the record of a model


def split_rows(
    labels: Shaped[np.ndarray, " rows"], test_fraction: float = TEST_FRACTION, *, stratify: bool
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " test"]]:
    """Return the indices of the training and of the test rows, shuffled.

    With `stratify`, each class has the same share in both parts. The only row of a class is a training row; if there
    are too few rows for every class to be in both parts, every class has training rows.
    """
    random = np.random.RandomState(SEED)
    rows = len(labels)
    test_count = min(math.ceil(test_fraction * rows), max(rows - 1, 0))
    if not stratify or not rows:
        shuffled = random.permutation(rows)
        return shuffled[test_count:], shuffled[:test_count]
    _, positions, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if (counts == 1).any():
        lonely = counts[positions] == 1
        others = np.flatnonzero(~lonely)
        some, tested = split_rows(labels[others], test_fraction, stratify=True)
        return random.permutation(np.concatenate([np.flatnonzero(lonely), others[some]])), others[tested]
    if min(test_count, rows - test_count) < len(counts):
        shuffled = random.permutation(rows)
        _, firsts = np.unique(positions[shuffled], return_index=True)
        rest = np.delete(shuffled, firsts)
        return np.concatenate([shuffled[firsts], rest[test_count:]]), rest[:test_count]
    in_train = apportion(counts, rows - test_count, random)
    in_test = apportion(counts - in_train, test_count, random)
    train, test = [], []
    for members, first, second in zip(
        np.split(np.argsort(positions, kind="stable"), np.cumsum(counts)[:-1]), in_train, in_test, strict=True
    ):
        members = members[random.permutation(len(members))]
        train.append(members[:first])
        test.append(members[first : first + second])
    return random.permutation(np.concatenate(train)), random.permutation(np.concatenate(test))


def apportion(
    counts: Int64[np.ndarray, " classes"], draws: int, random: np.random.RandomState
) -> Int64[np.ndarray, " classes"]:
    """Return how many of `draws` rows each class gets, by largest remainder; ties are drawn."""
    shares = counts / counts.sum() * draws
    result = np.floor(shares)
    remaining = int(draws - result.sum())
    remainders = shares - result
    for value in np.unique(remainders)[::-1] if remaining > 0 else ():
        (tied,) = np.where(remainders == value)
        chosen = random.choice(tied, size=min(len(tied), remaining), replace=False)
        result[chosen] += 1
        remaining -= len(chosen)
        if remaining == 0:
            break
    return np.asarray(result, dtype=np.int64)


def draw(numbers: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    """Return a random number from 0 to below 1 for each row, which depends on the row's number, from 0, alone.

    It is the output function of SplitMix64 (Steele, Lea and Flood 2014), which mixes the bits of a counter.
    """
    state = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
