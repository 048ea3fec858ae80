"""Two results side by side: what became slower or faster, and whether that is more than chance."""

from typing import NamedTuple

from .conditions import describe_load
from .measurement import Point, describe_point
from .results import Results

SMALLEST_CHANGE = 0.03  # below, nobody minds


class Change(NamedTuple):
    """What became of one contender with one set of settings.

    Attributes
    ----------
    ratio
        Of the new median to the old; below 1 is faster.
    is_beyond_spread
        Whether the middle halves of the two do not overlap, both are of enough rounds to have one, and the change is
        one of at least 3 %.
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
            beyond = apart and abs(ratio - 1.0) >= SMALLEST_CHANGE and a.has_spread and b.has_spread
            changes.append(Change(describe_point(point), measurement.name, a.median, b.median, ratio, beyond))
    return changes


def find_point(results: Results, point: Point) -> Point | None:
    """Return the point of other results with the same data, network, and way of training."""

    def key(point: Point) -> tuple[object, ...]:
        settings = point.settings
        how = (settings.activation, settings.optimizer, settings.batch_size, settings.dtype)
        return point.workload, point.rows, point.sizes, how

    return next((other for other in results.points if key(other) == key(point)), None)


def differences(old: Results, new: Results) -> list[str]:
    """Return what else differs between two results, which one must know before one takes a change for ours."""
    found = [
        f"{name}: {old.machine.get(name)}, then {new.machine.get(name)}"
        for name in ("processor", "cores")
        if old.machine.get(name) != new.machine.get(name)
    ]
    found += [
        f"{name}: {old.versions.get(name, 'none')}, then {new.versions.get(name, 'none')}"
        for name in dict.fromkeys([*old.versions, *new.versions])
        if old.versions.get(name) != new.versions.get(name)
    ]
    for first, second, when in ((old, new, "old"), (new, old, "new")):
        alone = [
            f"{measurement.name} ({describe_point(point)})"
            for point in first.points
            for measurement in point.timed
            if (match := find_point(second, point)) is None or match.find(measurement.name) is None
        ]
        if alone:
            found.append(f"only in the {when}: {', '.join(alone)}")
    return found


def doubts(old: Results, new: Results) -> list[str]:
    """Return why a change may be the machine's and not ours: that it was busy, or that timings scatter or are few."""
    found = []
    for results, when in ((old, "old"), (new, "new")):
        busy = describe_load(results.machine)
        found += [] if busy is None else [f"of the {when}: {busy}"]
        timings = [(m.name, m.timing) for point in results.points for m in point.timed if m.timing is not None]
        noisy = dict.fromkeys(name for name, timing in timings if timing.is_noisy)
        few = dict.fromkeys(name for name, timing in timings if not timing.has_spread)
        for names, what in ((noisy, "scatter by more than a tenth"), (few, "are too few to know how they scatter")):
            found += [f"of the {when}: the timings of {', '.join(names)} {what}."] if names else []
    return found
