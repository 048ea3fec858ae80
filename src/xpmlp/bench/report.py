"""Results as people read them: tables."""

from collections.abc import Sequence

from .crossings import find_crossings
from .measure import Measurement, Point, describe_point, trains_alike
from .results import Results

COLUMNS = ("", "seconds an epoch", "samples/s", "to NumPy", "of the limit", "first epoch", "accuracy")
BASELINE = "numpy"


def table_rows(point: Point) -> list[tuple[str, ...]]:
    """Return a row of texts for each contender, the fastest first, those that failed last."""
    baseline = point.find(BASELINE)
    timed = sorted(point.timed, key=median_of)
    failed = [measurement for measurement in point.measurements if measurement.timing is None]
    return [describe_timed(measurement, baseline, point.rows) for measurement in timed] + [
        (measurement.name, f"failed: {measurement.failure or 'not reached'}", "", "", "", "", "")
        for measurement in failed
    ]


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
    return (
        measurement.name,
        f"{timing.median:.4g} [{first:.4g}, {third:.4g}]{' noisy' if timing.is_noisy else ''}",
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
    noisy = [measurement.name for measurement in point.timed if measurement.timing and measurement.timing.is_noisy]
    if noisy:
        warnings.append(
            f"the timings of {', '.join(noisy)} scatter by more than a tenth: the machine is too noisy to conclude "
            "from smaller differences. Close what else runs, or take more --rounds."
        )
    for measurement in point.timed:
        if not trains_alike(measurement, point.settings.dtype):
            warnings.append(
                f"{measurement.name} ended with other weights than NumPy (apart by {measurement.difference:.1g} of the "
                "largest): what it computes is not what the others compute."
            )
        if measurement.overhead is not None and measurement.overhead > 0.01:
            warnings.append(f"{measurement.name}: the harness added {100 * measurement.overhead:.1f} % to an epoch.")
    if point.interrupted:
        warnings.append("interrupted: not all rounds were run.")
    return warnings


def to_markdown(results: Results) -> str:
    """Return the results as a page."""
    machine = results.machine
    lines = [
        f"{machine.get('processor')}, {machine.get('cores')} cores, {machine.get('system')}, {results.date[:10]}; "
        + ", ".join(f"{name} {version}" for name, version in results.versions.items() if version != "unknown"),
        "",
    ]
    for point in results.points:
        settings = point.settings
        network = f"{describe_point(point)}, {settings.dtype}, {settings.activation}, {settings.optimizer}"
        lines += [f"{network}; {point.workload}; median of {settings.rounds} epochs [quartiles]", ""]
        if point.measurements:
            lines += markdown_table(COLUMNS, table_rows(point))
            lines.append("")
        lines += [f"- {warning}" for warning in warnings_of(point)]
        lines.append("")
    lines += [f"- {sentence}" for sentence in describe_crossings(results)]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
    ]


def swept_values(results: Results) -> list[int]:
    """Return the values of the sweep, in the order of the points."""
    taken = {
        "batch-size": lambda point: point.settings.batch_size,
        "hidden": lambda point: point.settings.hidden_layer_sizes[0],
        "rows": lambda point: point.rows,
    }
    assert results.sweep is not None
    return [taken[results.sweep](point) for point in results.points]


def describe_crossings(results: Results) -> list[str]:
    """Say where one contender overtakes another."""
    if results.sweep is None:
        return []
    return [
        f"from {results.sweep} {crossing.value:,.0f} on, {crossing.faster} is faster than {crossing.slower}"
        for crossing in find_crossings(swept_values(results), results.points)
    ]
