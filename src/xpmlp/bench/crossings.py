"""Where one contender overtakes another in a sweep."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from .measurement import Point


class Crossing(NamedTuple):
    """From about `value` on, `faster` is faster than `slower`, which was the faster one before."""

    value: float
    faster: str
    slower: str


def find_crossings(values: Sequence[int], points: Sequence[Point]) -> list[Crossing]:
    """Return every crossing between two contenders, by the swept value; between two values on the straight line.

    A value at which the middle halves of the two overlap decides nothing: a crossing lies between two that do.

    Parameters
    ----------
    values
        What was swept, rising; on a logarithmic axis.
    """
    names = list(dict.fromkeys(measurement.name for point in points for measurement in point.timed))
    crossings = []
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            gaps = [
                (value, gap)
                for value, point in zip(values, points, strict=True)
                if (gap := gap_of(point, first, second)) is not None
            ]
            for (left, before), (right, after) in itertools.pairwise(gaps):
                if (before < 0.0) != (after < 0.0):
                    part = before / (before - after)
                    value = math.exp(math.log(left) + part * (math.log(right) - math.log(left)))
                    crossings.append(Crossing(value, *((first, second) if after < 0.0 else (second, first))))
    return sorted(crossings)


def gap_of(point: Point, first: str, second: str) -> float | None:
    """Return the logarithm of the ratio of two medians, negative where the first is faster; None where none is."""
    a, b = point.find(first), point.find(second)
    if a is None or b is None or a.timing is None or b.timing is None:
        return None
    overlap = a.timing.quartiles[0] <= b.timing.quartiles[1] and b.timing.quartiles[0] <= a.timing.quartiles[1]
    return None if overlap else math.log(a.timing.median / b.timing.median)
