"""Measure how time and memory grow with rows, width, depth and batch size.

    python benchmarks/growth.py [--backend numpy] [--rounds 5]
    python benchmarks/growth.py --read RESULTS.json

Prints slopes on logarithmic axes: at 1, time is proportional to size. With --read, it prints the slopes of a sweep that
`xpmlp bench --sweep … --output FOLDER` measured, and where one backend overtakes another.
"""

import argparse
import dataclasses
import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import machine
import numpy as np

from xpmlp.bench import (
    BenchSettings,
    Case,
    Results,
    backend_candidate,
    load_results,
    run_benchmark,
    synthetic_workload,
)
from xpmlp.bench.report import markdown_table, warnings_of
from xpmlp.errors import XpmlpError

INTERRUPTED = 130
COLUMNS = ("", "slope of time", "slope of memory", "seconds per epoch")
VARIED = {
    "rows": {rows: {"rows": rows} for rows in (7_500, 15_000, 30_000, 60_000, 120_000)},
    "hidden units": {width: {"hidden_layer_sizes": (width,)} for width in (64, 128, 256, 512, 1024)},
    "hidden layers of 128": {depth: {"hidden_layer_sizes": (128,) * depth} for depth in (1, 2, 4, 8)},
    "batch size": {size: {"batch_size": size} for size in (32, 128, 512, 2048)},
}


class Crossover(NamedTuple):
    """From about `value` on, `faster` is faster than `slower`, which was faster before."""

    value: float
    faster: str
    slower: str


def main() -> None:
    """Measure or read, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="numpy", help="backend to measure (default: numpy)")
    parser.add_argument("--rounds", type=int, default=5, help="timings of each size (default: 5)")
    parser.add_argument("--read", type=Path, metavar="RESULTS.json", help="results of a sweep; measures nothing")
    arguments = parser.parse_args()
    if arguments.read is not None:
        print_sweep(load_results(arguments.read))
        return
    rows = []
    interrupted = False
    for name, sizes in VARIED.items():
        cases: dict[int, Case] = {}
        for size, changes in sizes.items():
            print(f"{name}: {size:,}", file=sys.stderr, flush=True)
            settings = dataclasses.replace(BenchSettings(rounds=arguments.rounds), **changes)
            # A new process for each, so that its peak memory is its own.
            results = run_benchmark([backend_candidate(arguments.backend)], synthetic_workload(), settings)
            interrupted = not results.cases or results.cases[0].interrupted
            for case in results.cases:
                cases[size] = case
                for warning in warnings_of(case):
                    print(f"note: {warning}", file=sys.stderr)
            if interrupted:
                break
        rows += [(name, *cells) for _, *cells in growth_rows(list(cases), list(cases.values()))]
        if interrupted:
            break
    print(f"{machine.describe()}; {arguments.rounds} rounds\n")
    print("\n".join(markdown_table(COLUMNS, rows)))
    if interrupted:
        print("- interrupted: slopes of what was measured")
        sys.exit(INTERRUPTED)


def print_sweep(results: Results) -> None:
    """Print growth and crossovers of a sweep's results."""
    if results.sweep is None:
        raise SystemExit("error: these results hold no sweep. Measure one with xpmlp bench --sweep batch-size=32,128.")
    values = results.swept_values
    print("\n".join(markdown_table((results.sweep, *COLUMNS[1:]), growth_rows(values, results.cases))))
    for value, faster, slower in find_crossovers(values, results.cases):
        print(f"- from {results.sweep} {value:,.0f} on, {faster} is faster than {slower}")


def growth_rows(values: Sequence[int], cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """Return a row for each candidate that was timed at several values: its slopes and its seconds."""
    rows = []
    for name in dict.fromkeys(measurement.name for case in cases for measurement in case.timed):
        found = [
            (value, measurement.median, measurement.peak_bytes)
            for value, case in zip(values, cases, strict=True)
            if (measurement := case.find(name)) is not None
        ]
        if len(found) > 1:
            sizes, seconds, memory = zip(*found, strict=True)
            points = ", ".join(f"{size:,}: {second:.3g}" for size, second in zip(sizes, seconds, strict=True))
            memory_slope = "" if None in memory else f"{slope(sizes, memory):.2f}"
            rows.append((name, f"{slope(sizes, seconds):.2f}", memory_slope, points))
    return rows


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the straight line fitted on logarithmic axes."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def find_crossovers(values: Sequence[int], cases: Sequence[Case]) -> list[Crossover]:
    """Return where one candidate overtakes another, interpolated on logarithmic axes, in ascending order.

    Values at which the middle halves of the two overlap are ignored.
    """
    names = list(dict.fromkeys(measurement.name for case in cases for measurement in case.timed))
    found = []
    for first, second in itertools.combinations(names, 2):
        gaps = [
            (value, gap)
            for value, case in zip(values, cases, strict=True)
            if (gap := log_ratio(case, first, second)) is not None
        ]
        for (left, before), (right, after) in itertools.pairwise(gaps):
            if before * after < 0.0:
                value = left * (right / left) ** (before / (before - after))
                found.append(Crossover(value, *((first, second) if after < 0.0 else (second, first))))
    return sorted(found)


def log_ratio(case: Case, first: str, second: str) -> float | None:
    """Return the logarithm of the ratio of two medians; None if one is missing or the middle halves overlap."""
    a, b = case.find(first), case.find(second)
    if a is None or b is None or a.timing is None or b.timing is None or a.timing.overlaps(b.timing):
        return None
    return math.log(a.median / b.median)


if __name__ == "__main__":
    try:
        main()
    except XpmlpError as error:
        sys.exit(f"error: {error}")
