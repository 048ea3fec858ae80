"""How time and memory grow with what is swept, as slopes on logarithmic axes: 1 is in proportion."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .measurement import Measurement, Point

FEWEST_POINTS = 3


class Growth(NamedTuple):
    """How what a contender takes grows with the swept value.

    Attributes
    ----------
    seconds, memory
        Slopes over all points: of the seconds an epoch, and of the most memory that the process held. The latter holds
        the libraries themselves too, which do not grow; None where the system does not tell it.
    last_seconds, last_memory
        The same between the two largest values alone, where what does not grow weighs least.
    """

    name: str
    seconds: float
    last_seconds: float
    memory: float | None
    last_memory: float | None


def find_growth(values: Sequence[int], points: Sequence[Point]) -> list[Growth]:
    """Return the growth for each contender that was timed at enough of the values."""
    found = []
    for name in dict.fromkeys(measurement.name for point in points for measurement in point.timed):
        seconds = series(values, points, name, lambda m: m.timing.median if m.timing else None)
        memory = series(values, points, name, lambda m: m.peak_bytes)
        if len(seconds) >= FEWEST_POINTS:
            known = len(memory) >= FEWEST_POINTS
            found.append(
                Growth(
                    name,
                    slope(seconds),
                    slope(seconds[-2:]),
                    slope(memory) if known else None,
                    slope(memory[-2:]) if known else None,
                )
            )
    return found


def series(
    values: Sequence[int], points: Sequence[Point], name: str, take: Callable[[Measurement], float | None]
) -> list[tuple[float, float]]:
    """Return swept values, each with what is taken of a contender there, where that is known."""
    pairs = []
    for value, point in zip(values, points, strict=True):
        measurement = point.find(name)
        taken = None if measurement is None else take(measurement)
        if taken:
            pairs.append((float(value), float(taken)))
    return pairs


def slope(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the straight line through points on logarithmic axes, by least squares."""
    x, y = ([math.log(pair[axis]) for pair in pairs] for axis in (0, 1))
    return float(np.polyfit(x, y, 1)[0])
