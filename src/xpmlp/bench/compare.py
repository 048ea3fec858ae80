"""Compare two results: what became slower or faster, and whether that is more than noise."""

from typing import NamedTuple

from .report import describe_load, warnings_of
from .results import Case, Results, Timing

MIN_CHANGE = 0.03  # smaller changes are not worth reporting


class Change(NamedTuple):
    """A candidate's old and new median in one case."""

    case: str
    name: str
    old: float
    new: float
    ratio: float  # new to old; below 1 is faster
    is_significant: bool  # the middle halves do not overlap, there are enough rounds, and it is at least 3 %


def compare_results(old: Results, new: Results) -> list[Change]:
    """Compare every candidate that both have timed with the same settings, in the order of the new results."""
    changes = []
    for case in new.cases:
        for measurement in case.timed:
            before, now = find_timing(old, case, measurement.name), measurement.timing
            if before is None or now is None:
                continue
            ratio = now.median / before.median
            reliable = before.has_spread and now.has_spread and not before.overlaps(now)
            significant = reliable and abs(ratio - 1.0) >= MIN_CHANGE
            changes.append(Change(str(case), measurement.name, before.median, now.median, ratio, significant))
    return changes


def find_timing(results: Results, case: Case, name: str) -> Timing | None:
    """Return a candidate's timing with the same data, network and training."""
    same = (other.find(name) for other in results.cases if other.description == case.description)
    return next((found.timing for found in same if found is not None), None)


def differences(old: Results, new: Results) -> list[str]:
    """Return what else differs: machine, versions, and candidates that only one has."""
    found = [
        f"{name}: {first.get(name, 'none')}, then {second.get(name, 'none')}"
        for first, second, names in (
            (old.machine, new.machine, ("processor", "cores")),
            (old.versions, new.versions, old.versions | new.versions),
        )
        for name in names
        if first.get(name) != second.get(name)
    ]
    for results, others, when in ((old, new, "old"), (new, old, "new")):
        alone = [
            f"{measurement.name} ({case})"
            for case in results.cases
            for measurement in case.timed
            if find_timing(others, case, measurement.name) is None
        ]
        if alone:
            found.append(f"only in the {when} results: {', '.join(alone)}")
    return found


def doubts(old: Results, new: Results) -> list[str]:
    """Return reasons to distrust a change: a busy machine, and the warnings of either."""
    found = []
    for results, when in ((old, "old"), (new, "new")):
        warnings = [describe_load(results.machine), *(line for case in results.cases for line in warnings_of(case))]
        found += [f"{when} results: {warning}" for warning in dict.fromkeys(warnings) if warning]
    return found
