"""Time and memory of our MLPClassifier and scikit-learn's where overhead or the first layer's width counts.

    python benchmarks/small_and_wide_calls.py [--rounds 5] [--without-tiles] [CASE ...]

Prints a table: seconds of both (median), the median of the rounds' ratios (below 1, ours is faster), and for fits of
wide data the peak of memory beside the data, and its ratio. Cases: wide, sparse, predict-1, predict-100, partial-fit.
The order of the two alternates. --without-tiles switches off the updates of large weights tile by tile.
"""

import argparse
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import machine
import numpy as np
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as TheirClassifier

from xpmlp import MLPClassifier
from xpmlp.backends.numpy import in_place

MAKERS: dict[str, Callable[..., Any]] = {"theirs": TheirClassifier, "ours": MLPClassifier}


class Case(NamedTuple):
    """What is timed: `prepare` makes an estimator, `call` is timed with it, so many times a round."""

    name: str
    prepare: Callable[[Callable[..., Any]], Any]
    call: Callable[[Any], object]
    times: int = 1
    measures_memory: bool = False


def make_cases() -> dict[str, Case]:
    """Return all cases by name."""
    rng = np.random.default_rng(0)
    wide, labels = rng.normal(size=(2_000, 5_000)), rng.integers(0, 5, 2_000)
    sparse = scipy.sparse.random(10_000, 20_000, density=0.005, format="csr", random_state=0)
    many = rng.integers(0, 5, 10_000)
    small, few = rng.normal(size=(1_000, 20)), rng.integers(0, 3, 1_000)
    settings = {"max_iter": 5, "random_state": 0}

    def fitted(make: Callable[..., Any]) -> Any:
        return make(max_iter=2, random_state=0).fit(small, few)

    return {
        "wide": Case(
            "fit, 2,000 × 5,000, Adam, 5 epochs",
            lambda make: make(**settings),
            lambda estimator: estimator.fit(wide, labels),
            measures_memory=True,
        ),
        "sparse": Case(
            "fit, sparse 10,000 × 20,000, Adam, 2 epochs",
            lambda make: make(**settings | {"max_iter": 2}),
            lambda estimator: estimator.fit(sparse, many),
            measures_memory=True,
        ),
        "predict-1": Case("predict 1 row", fitted, lambda estimator: estimator.predict(small[:1]), 1_000),
        "predict-100": Case("predict 100 rows", fitted, lambda estimator: estimator.predict(small[:100]), 1_000),
        "partial-fit": Case(
            "partial_fit 50 rows", fitted, lambda estimator: estimator.partial_fit(small[:50], few[:50]), 300
        ),
    }


def seconds(case: Case, make: Callable[..., Any]) -> float:
    """Return the seconds of one call, averaged over the case's number of calls."""
    estimator = case.prepare(make)
    case.call(estimator)  # what is built once is not timed
    began = time.perf_counter()
    for _ in range(case.times):
        case.call(estimator)
    return (time.perf_counter() - began) / case.times


def peak_memory(case: Case, make: Callable[..., Any]) -> int:
    """Return the most bytes that one call holds at a time."""
    estimator = case.prepare(make)
    tracemalloc.start()
    case.call(estimator)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def compare(case: Case, rounds: int) -> str:
    """Return a row of the table."""
    times: dict[str, list[float]] = {name: [] for name in MAKERS}
    for number in range(rounds):
        for name in list(MAKERS)[:: 1 if number % 2 == 0 else -1]:
            times[name].append(seconds(case, MAKERS[name]))
    ratio = statistics.median(ours / theirs for ours, theirs in zip(times["ours"], times["theirs"], strict=True))
    columns = [f"{statistics.median(times[name]):.3g}" for name in MAKERS]
    memory = ["", "", ""]
    if case.measures_memory:
        peaks = {name: peak_memory(case, make) for name, make in MAKERS.items()}
        memory = [*(f"{peaks[name] / 1e6:.0f} MB" for name in MAKERS), f"{peaks['ours'] / peaks['theirs']:.2f}"]
    return f"| {case.name} | {' | '.join(columns)} | {ratio:.2f} | {' | '.join(memory)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = make_cases()
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(cases)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--without-tiles", action="store_true")
    arguments = parser.parse_args()
    if arguments.without_tiles:
        in_place.LARGE = sys.maxsize
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{machine.describe()}; {arguments.rounds} rounds\n")
    print("| call | scikit-learn, s | xpmlp, s | ratio | scikit-learn, memory | xpmlp, memory | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.cases or cases:
        print(compare(cases[name], arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
