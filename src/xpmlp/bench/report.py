"""Results as people read them: tables."""

import textwrap
from collections.abc import Callable, Sequence

from xpmlp.backends import is_gpu

from .conditions import describe_load
from .crossings import find_crossings
from .growth import find_growth
from .measurement import Measurement, Point, describe_point, trains_alike
from .results import Results
from .timing import FEWEST_ROUNDS

COLUMNS = ("", "seconds an epoch", "samples/s", "to NumPy", "of the limit", "first epoch", "accuracy")
GROWTH_COLUMNS = ("grows as", "seconds an epoch", "at the large end", "memory", "at the large end")
BASELINE = "numpy"
LONGEST_REASON = 60  # characters of a failure that a table's cell can hold; the whole of it stands below the table
MOST_OVERHEAD = 0.01


def table_rows(point: Point) -> list[tuple[str, ...]]:
    """Return a row of texts for each contender, the fastest first, those of which nothing is known last."""
    baseline = point.find(BASELINE)
    timed = sorted(point.timed, key=median_of)
    untimed = [measurement for measurement in point.measurements if measurement.timing is None]
    return [describe_timed(measurement, baseline, point.rows) for measurement in timed] + [
        (measurement.name, describe_failure(measurement) or "not reached", "", "", "", "", "")
        for measurement in untimed
    ]


def describe_failure(measurement: Measurement) -> str:
    """Return that a contender failed, when, and why as far as a table's cell can hold it; nothing where it did not."""
    if measurement.failure is None:
        return ""
    rounds = 0 if measurement.timing is None else len(measurement.timing.seconds)
    when = f" after {rounds} round{'s' if rounds > 1 else ''}" if rounds else ""
    return f"failed{when}: {textwrap.shorten(measurement.failure, LONGEST_REASON, placeholder=' …')}"


def median_of(measurement: Measurement) -> float:
    """Return the median of a contender's timings."""
    assert measurement.timing is not None
    return measurement.timing.median


def describe_timed(measurement: Measurement, baseline: Measurement | None, rows: int) -> tuple[str, ...]:
    """Return a row of texts for a contender that has timings."""
    timing = measurement.timing
    assert timing is not None
    first, third = timing.quartiles
    limits = measurement.limits
    seconds = f"{timing.median:.4g} [{first:.4g}, {third:.4g}]{' noisy' if timing.is_noisy else ''}"
    return (
        measurement.name,
        "; ".join(part for part in (seconds, describe_failure(measurement)) if part),
        f"{rows / timing.median:,.0f}",
        "" if baseline is None else f"{median_of(baseline) / timing.median:.2f} ×",
        "" if limits is None else f"{100 * limits.seconds / timing.median:.0f} %",
        "" if measurement.first_seconds is None else f"{measurement.first_seconds:.2f} s",
        "" if measurement.accuracy is None else f"{100 * measurement.accuracy:.1f} %",
    )


def warnings_of(point: Point) -> list[str]:
    """Return what one should know before one concludes anything from a point."""
    warnings = []
    if point.skipped is not None:
        return [f"not measured: {point.skipped}"]
    warnings += [f"{m.name} failed: {m.failure}" for m in point.measurements if m.failure is not None]
    noisy = [measurement.name for measurement in point.timed if measurement.timing and measurement.timing.is_noisy]
    if noisy:
        who = "all" if len(noisy) == len(point.timed) > 1 else ", ".join(noisy)
        warnings.append(
            f"the timings of {who} scatter by more than a tenth: the machine is too noisy to conclude from smaller "
            "differences. Close what else runs, or take more --rounds."
        )
    warnings += [
        f"{measurement.name} ended with other weights than NumPy (apart by {measurement.difference:.1g} of the "
        "largest): what it computes is not what the others compute."
        for measurement in point.timed
        if not trains_alike(measurement, point.settings.dtype)
    ]
    asked = [m.overhead for m in point.timed if m.overhead is not None]
    if asked and max(asked) > MOST_OVERHEAD:
        warnings.append(
            f"between two turns the harness took up to {100 * max(asked):.1f} % of a turn; the figures are without it."
        )
    fewest = min((len(m.timing.seconds) for m in point.timed if m.timing), default=FEWEST_ROUNDS)
    if fewest < FEWEST_ROUNDS:
        warnings.append(f"{fewest} round{'s' if fewest > 1 else ''}: too few to know how the timings scatter.")
    if point.interrupted:
        warnings.append("interrupted: not all rounds were run.")
    return warnings


def describe_settings(point: Point) -> str:
    """Return all of a point's settings in a line."""
    settings = point.settings
    turns = "" if point.epochs_a_turn == 1 else f" turns of {point.epochs_a_turn}"
    # One that failed in between has fewer, which its row says.
    most = max((len(m.timing.seconds) for m in point.timed if m.timing), default=settings.rounds)
    rounds = f"{settings.rounds}" if most == settings.rounds else f"{most} (of {settings.rounds})"
    return (
        f"{describe_point(point)}, {settings.dtype}, {settings.activation}, {settings.optimizer}; {point.workload}; "
        f"median of {rounds}{turns} epochs [quartiles]"
    )


def to_markdown(results: Results) -> str:
    """Return the results as a page."""
    machine = results.machine
    lines = [
        f"{machine.get('processor')}, {machine.get('cores')} cores, {machine.get('system')}, {results.date[:10]}; "
        + ", ".join(versions_of(results)),
        "",
    ]
    for point in results.points:
        lines += [describe_settings(point), ""]
        if point.measurements:
            lines += markdown_table(COLUMNS, table_rows(point))
            lines.append("")
        lines += [f"- {warning}" for warning in warnings_of(point)]
        lines.append("")
    growth = growth_rows(results)
    if growth:
        lines += [*markdown_table(GROWTH_COLUMNS, growth), ""]
    lines += [f"- {sentence}" for sentence in describe_crossings(results)]
    busy = describe_load(machine)
    lines += [] if busy is None else [f"- {busy}"]
    return "\n".join(lines).rstrip() + "\n"


def versions_of(results: Results) -> list[str]:
    """Return every library that took part with its version, the contenders' own included, and their devices."""
    measurements = [measurement for point in results.points for measurement in point.measurements]
    loaded = [part for m in measurements for part in m.description.get("versions", "").split(", ") if part]
    here = [f"{name} {version}" for name, version in results.versions.items() if version != "unknown"]
    devices = [device for m in measurements if is_gpu(device := m.description.get("device", "cpu"))]
    return list(dict.fromkeys([*here, *loaded, *devices]))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
    ]


def swept_values(results: Results) -> list[int]:
    """Return the values of the sweep, in the order of the points."""
    taken: dict[str, Callable[[Point], int]] = {
        "batch-size": lambda point: point.settings.batch_size,
        "hidden": lambda point: point.settings.hidden_layer_sizes[0],
        "depth": lambda point: len(point.settings.hidden_layer_sizes),
        "rows": lambda point: point.rows,
    }
    assert results.sweep is not None
    return [taken[results.sweep](point) for point in results.points]


def growth_rows(results: Results) -> list[tuple[str, ...]]:
    """Return a row of texts for each contender: the powers of the swept value that it grows with."""
    if results.sweep is None:
        return []

    def power(slope: float | None) -> str:
        return "" if slope is None else f"{results.sweep}^{slope:.2f}"

    return [(growth.name, *map(power, growth[1:])) for growth in find_growth(swept_values(results), results.points)]


def describe_crossings(results: Results) -> list[str]:
    """Say where one contender overtakes another."""
    if results.sweep is None:
        return []
    return [
        f"from {results.sweep} {crossing.value:,.0f} on, {crossing.faster} is faster than {crossing.slower}"
        for crossing in find_crossings(swept_values(results), results.points)
    ]
