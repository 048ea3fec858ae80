"""Measure how time and memory grow with rows, width, depth and batch, as slopes on logarithmic axes.

    python benchmarks/growth.py [--backend numpy] [--rounds 5]

A slope of 1 is in proportion; below it, doubling the work does not double the time. Ctrl-C ends it with what there is.
"""

import argparse
import dataclasses
import sys

import numpy as np

from xpmlp.bench import BenchSettings, backend_contender, synthetic_workload
from xpmlp.bench.report import markdown_table, median_of, warnings_of
from xpmlp.bench.run import run_benchmark

INTERRUPTED = 130
VARIED = {
    "rows": [{"rows": rows} for rows in (7_500, 15_000, 30_000, 60_000, 120_000)],
    "width": [{"hidden_layer_sizes": (width,)} for width in (64, 128, 256, 512, 1024)],
    "depth": [{"hidden_layer_sizes": (128,) * depth} for depth in (1, 2, 4, 8)],
    "batch": [{"batch_size": size} for size in (32, 128, 512, 2048)],
}
SIZES = {
    "rows": lambda change: change["rows"],
    "width": lambda change: change["hidden_layer_sizes"][0],
    "depth": lambda change: len(change["hidden_layer_sizes"]),
    "batch": lambda change: change["batch_size"],
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    workload = synthetic_workload()
    rows: list[tuple[str, ...]] = []
    interrupted = False
    for name, changes in VARIED.items():
        measured: list[tuple[int, float, float]] = []
        for change in changes:
            settings = dataclasses.replace(BenchSettings(rounds=arguments.rounds), **change)
            print(f"{name}: {change}", file=sys.stderr, flush=True)
            # A process for each, for the most memory that one has held is never forgotten.
            points = run_benchmark([backend_contender(arguments.backend)], workload, settings).points
            interrupted = not points or points[0].interrupted
            if interrupted:
                break
            measured += [(SIZES[name](change), median_of(m), m.peak_bytes or np.nan) for m in points[0].timed]
            for warning in warnings_of(points[0]):
                print(f"note: {warning}", file=sys.stderr)
        if len(measured) > 1:
            rows.append(describe_growth(name, measured))
        if interrupted:
            break
    print("\n".join(markdown_table(("", "slope of time", "slope of memory", "seconds an epoch"), rows)))
    if interrupted:
        print("- interrupted: slopes through the points that were measured")
        sys.exit(INTERRUPTED)


def describe_growth(name: str, measured: list[tuple[int, float, float]]) -> tuple[str, ...]:
    """Return a row of texts for what was varied: sizes, seconds and bytes."""
    sizes, seconds, memory = (list(values) for values in zip(*measured, strict=True))
    points = ", ".join(f"{size:,}: {second:.3g} s" for size, second in zip(sizes, seconds, strict=True))
    return name, f"{slope(sizes, seconds):.2f}", f"{slope(sizes, memory):.2f}", points


def slope(sizes: list[int], values: list[float]) -> float:
    """Return the slope of a straight line through the points on logarithmic axes."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


if __name__ == "__main__":
    main()
