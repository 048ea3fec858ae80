"""Two results side by side: what became slower or faster, and whether that is more than chance."""

from typing import NamedTuple

from .measure import Point, describe_point
from .results import Results

SMALLEST_CHANGE = 0.03  # below, nobody minds


class Change(NamedTuple):
    """What became of one contender with one set of settings.

    Attributes
    ----------
    ratio
        Of the new median to the old; below 1 is faster.
    is_beyond_spread
        Whether the middle halves of the two do not overlap, and the change is one of at least 3 %.
    """

    point: str
    name: str
    old: float
    new: float
    ratio: float
    is_beyond_spread: bool


def compare_results(old: Results, new: Results) -> list[Change]:
    """Compare every contender that both have timed with the same settings, in the order of the new."""
    changes = []
    for point in new.points:
        earlier = find_point(old, point)
        if earlier is None:
            continue
        for measurement in point.timed:
            before = earlier.find(measurement.name)
            if before is None or before.timing is None or measurement.timing is None:
                continue
            a, b = before.timing, measurement.timing
            ratio = b.median / a.median
            apart = a.quartiles[1] < b.quartiles[0] or b.quartiles[1] < a.quartiles[0]
            beyond = apart and abs(ratio - 1.0) >= SMALLEST_CHANGE
            changes.append(Change(describe_point(point), measurement.name, a.median, b.median, ratio, beyond))
    return changes


def find_point(results: Results, point: Point) -> Point | None:
    """Return the point of other results with the same network, batch, rows and dtype."""

    def key(point: Point) -> tuple[object, ...]:
        settings = point.settings
        return point.workload, point.rows, point.sizes, settings.batch_size, settings.dtype, settings.optimizer

    return next((other for other in results.points if key(other) == key(point)), None)
