"""Results for people: tables, changes between two results, a Markdown page, and the folder with page and plots."""

import contextlib
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from xpmlp.backends import is_gpu
from xpmlp.whole_files import write_whole

from .plots import draw_sweep, draw_throughput
from .results import MIN_ROUNDS, WEIGHT_TOLERANCE, Case, Measurement, Results, Timing

BASELINE = "numpy"
MAX_REASON = 60  # characters of an error in a table's cell; all of it is below the table
MIN_CHANGE = 0.03  # smaller changes are not worth reporting
BUSY = 0.5  # load per core above which other processes disturb the measurement
FILES = ("results.json", "results.md", "throughput.png", "sweep.png")

Column = Callable[[Case, Measurement], str]


def format_seconds(case: Case, measurement: Measurement) -> str:
    """Return median and quartiles, and the failure if there was one after the first round."""
    timing = measurement.timing
    assert timing is not None
    first, third = timing.quartiles
    seconds = f"{timing.median:.4g} [{first:.4g}, {third:.4g}]{' noisy' if timing.is_noisy else ''}"
    return seconds if measurement.failure is None else f"{seconds}; {format_failure(measurement)}"


def format_ratio(case: Case, measurement: Measurement) -> str:
    """Return the speed relative to NumPy's."""
    baseline = case.find(BASELINE)
    return "" if baseline is None else f"{baseline.median / measurement.median:.2f} ×"


COLUMNS: dict[str, Column] = {
    "seconds per epoch": format_seconds,
    "samples/s": lambda case, m: f"{case.rows / m.median:,.0f}",
    "relative to NumPy": format_ratio,
    "first epoch": lambda case, m: "" if m.first_seconds is None else f"{m.first_seconds:.2f} s",
    "accuracy": lambda case, m: "" if m.accuracy is None else f"{100 * m.accuracy:.1f} %",
}


def table_rows(case: Case, columns: Mapping[str, Column] = COLUMNS) -> list[tuple[str, ...]]:
    """Return a row for each candidate: its name, then the columns; the fastest first, those without timing last."""
    timed = sorted(case.timed, key=lambda measurement: measurement.median)
    untimed = [measurement for measurement in case.measurements if measurement.timing is None]
    blank = ("",) * (len(columns) - 1)
    return [(m.name, *(cell(case, m) for cell in columns.values())) for m in timed] + [
        (m.name, format_failure(m), *blank) for m in untimed
    ]


def format_failure(measurement: Measurement) -> str:
    """Return when and why a candidate failed, shortened for a table's cell."""
    if measurement.failure is None:
        return "not reached"
    rounds = 0 if measurement.timing is None else len(measurement.timing.seconds)
    when = f" after {rounds} round{'s' if rounds > 1 else ''}" if rounds else ""
    return f"failed{when}: {textwrap.shorten(measurement.failure, MAX_REASON, placeholder=' …')}"


def warnings_of(case: Case) -> list[str]:
    """Return what to know before drawing conclusions from a case."""
    if case.skipped is not None:
        return [f"not measured: {case.skipped}"]
    warnings = [f"{m.name} failed: {m.failure}" for m in case.measurements if m.failure is not None]
    timings = {m.name: m.timing for m in case.timed if m.timing is not None}
    noisy = [name for name, timing in timings.items() if timing.is_noisy]
    if noisy:
        who = "all" if len(noisy) == len(timings) > 1 else ", ".join(noisy)
        warnings.append(
            f"the timings of {who} vary by more than a tenth: smaller differences mean nothing. Close other programs, "
            "or use more --rounds."
        )
    tolerance = WEIGHT_TOLERANCE[case.settings.dtype]
    warnings += [
        f"{m.name} ended with different weights from NumPy (largest relative difference {m.difference:.1g}): it "
        "computes something else."
        for m in case.timed
        if m.difference is not None and not m.difference <= tolerance  # nor if it is NaN
    ]
    fewest = min((len(timing.seconds) for timing in timings.values()), default=MIN_ROUNDS)
    if fewest < MIN_ROUNDS:
        warnings.append(f"{fewest} round{'s' if fewest > 1 else ''}: too few to know how much the timings vary.")
    if case.interrupted:
        warnings.append("interrupted: not all rounds were run.")
    return warnings


def describe_case(case: Case) -> str:
    """Return a case's settings and timings in one line."""
    wanted = case.settings.rounds
    each = "epochs" if case.epochs_per_timing == 1 else f"timings of {case.epochs_per_timing} epochs"
    # A candidate that failed has fewer rounds; its row says so.
    most = max((len(m.timing.seconds) for m in case.timed if m.timing), default=wanted)
    rounds = f"{wanted}" if most == wanted else f"{most} (of {wanted})"
    return f"{case.description}; median of {rounds} {each} [quartiles]"


def describe_threads(results: Results) -> str:
    """Return what multiplies matrices, and in how many threads, for each of our backends; "" if unknown."""
    measurements = [m for case in results.cases for m in case.measurements if "linear algebra" in m.description]
    found = {m.name: m.description["linear algebra"] for m in measurements}
    return f"linear algebra: {'; '.join(f'{name} {what}' for name, what in found.items())}" if found else ""


def describe_load(machine: dict[str, Any]) -> str:
    """Return a warning if other processes were running when the benchmark started; otherwise ""."""
    load, cores = (machine.get("conditions") or {}).get("load"), machine.get("cores")
    if not load or not cores or load <= BUSY * cores:
        return ""
    busy = f"load {load:.1f} on {cores} cores"
    return f"the machine was busy before the benchmark: {busy}. Measure again when it is idle."


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


def to_markdown(results: Results, columns: Mapping[str, Column] = COLUMNS) -> str:
    """Return the results as a Markdown page."""
    machine = results.machine
    lines = [
        f"{machine.get('processor')}, {machine.get('cores')} cores, {machine.get('system')}, {results.date[:10]}; "
        + ", ".join(versions_of(results)),
        "",
    ]
    for case in results.cases:
        lines += [describe_case(case), ""]
        if case.measurements:
            lines += [*markdown_table(["", *columns], table_rows(case, columns)), ""]
        lines += [*(f"- {warning}" for warning in warnings_of(case)), ""]
    lines += [f"- {note}" for note in (describe_threads(results), describe_load(machine)) if note]
    return "\n".join(lines).rstrip().replace("\n\n\n", "\n\n") + "\n"


def versions_of(results: Results) -> list[str]:
    """Return the libraries that took part, with their versions, and the GPUs."""
    descriptions = [measurement.description for case in results.cases for measurement in case.measurements]
    here = [f"{name} {version}" for name, version in results.versions.items() if version != "unknown"]
    loaded = [part for found in descriptions for part in found.get("versions", "").split(", ") if part]
    devices = [device for found in descriptions if is_gpu(device := found.get("device", "cpu"))]
    return list(dict.fromkeys([*here, *loaded, *devices]))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
    ]


def save_results(results: Results, folder: Path) -> list[str]:
    """Write results, page and plots into a folder, and delete plots of earlier results; return the files' names."""
    # The measurements first: they are kept even if a plot fails.
    write_whole(folder / "results.json", results.to_json().encode())
    write_whole(folder / "results.md", to_markdown(results).encode())
    for name in FILES[2:]:
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()
    timed = tuple(case for case in results.cases if case.timed)
    if len(timed) == 1:
        write_whole(folder / "throughput.png", draw_throughput(timed[0]))
    elif len(timed) > 1:
        write_whole(folder / "sweep.png", draw_sweep(replace(results, cases=timed)))
    return [name for name in FILES if (folder / name).exists()]
