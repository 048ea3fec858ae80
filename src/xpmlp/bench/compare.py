"""Compare two results: what became slower or faster, and whether that is more than noise."""

from typing import NamedTuple

from .report import describe_load, warnings_of
from .results import Case, Results

MIN_CHANGE = 0.03  # smaller changes are not worth reporting


class Change(NamedTuple):
    """A candidate's old and new median in one case.

    Attributes
    ----------
    ratio
        New to old; below 1 is faster.
    is_significant
        Whether the middle halves do not overlap, both have enough rounds, and the change is at least 3 %.
    """

    case: str
    name: str
    old: float
    new: float
    ratio: float
    is_significant: bool


def compare_results(old: Results, new: Results) -> list[Change]:
    """Compare every candidate that both have timed with the same settings, in the order of the new results."""
    changes = []
    for case in new.cases:
        earlier = find_case(old, case)
        for measurement in case.timed if earlier else []:
            before = earlier.find(measurement.name) if earlier else None
            if before is None or before.timing is None or measurement.timing is None:
                continue
            a, b = before.timing, measurement.timing
            ratio = b.median / a.median
            reliable = a.has_spread and b.has_spread and not a.overlaps(b)
            significant = reliable and abs(ratio - 1.0) >= MIN_CHANGE
            changes.append(Change(str(case), measurement.name, a.median, b.median, ratio, significant))
    return changes


def find_case(results: Results, case: Case) -> Case | None:
    """Return the case with the same data, network and training."""

    def key(case: Case) -> tuple[object, ...]:
        settings = case.settings
        training = (settings.activation, settings.optimizer, settings.batch_size, settings.dtype)
        return case.workload, case.rows, case.sizes, training

    return next((other for other in results.cases if key(other) == key(case)), None)


def differences(old: Results, new: Results) -> list[str]:
    """Return what else differs: machine, versions, and candidates that only one has."""
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
            f"{measurement.name} ({case})"
            for case in first.cases
            for measurement in case.timed
            if (match := find_case(second, case)) is None or match.find(measurement.name) is None
        ]
        if alone:
            found.append(f"only in the {when} results: {', '.join(alone)}")
    return found


def doubts(old: Results, new: Results) -> list[str]:
    """Return reasons to distrust a change: a busy machine, and the warnings of either."""
    found = []
    for results, when in ((old, "old"), (new, "new")):
        load = describe_load(results.machine)
        warnings = [warning for case in results.cases for warning in warnings_of(case)]
        found += [f"{when} results: {reason}" for reason in dict.fromkeys([load, *warnings]) if reason is not None]
    return found
