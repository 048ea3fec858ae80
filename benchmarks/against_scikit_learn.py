"""Time calls of our MLPClassifier and of scikit-learn's, in turn, in one process.

    python benchmarks/against_scikit_learn.py [CASE ...] [--rounds 5] [--data-dir FOLDER] [--without-tiles]

Prints a table: seconds of both (median, minimum, maximum), the median of the rounds' ratios (below 1, ours is faster),
the difference of the final losses of fits, and for fits of wide data the peak of memory beside the data, and its ratio.
Cases are iris, mnist, wide, sparse and calls; by default all. FOLDER holds ``mnist/`` with MNIST's four files; without
it mnist is left out. The order of the two alternates. --without-tiles switches off the updates of large weights tile by
tile.
"""

import argparse
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as TheirClassifier

from xpmlp import MLPClassifier
from xpmlp.backends.numpy import in_place
from xpmlp.bench.report import markdown_table
from xpmlp.datasets import load_dataset

MAKERS: dict[str, Callable[..., Any]] = {"theirs": TheirClassifier, "ours": MLPClassifier}
COLUMNS = ("", "scikit-learn, s: median [minimum, maximum]", "xpmlp, s", "ratio", "difference of final losses")
COLUMNS += ("scikit-learn, memory", "xpmlp, memory", "ratio")
MNIST_EPOCHS = 3
IRIS_FITS = 10


class Case(NamedTuple):
    """A call to time: of the estimator that `prepare` makes of a class, so many times a round."""

    name: str
    prepare: Callable[[Callable[..., Any]], Any]
    call: Callable[[Any], object]
    times: int = 1
    measures_memory: bool = False


def fit(name: str, x: Any, y: Any, times: int = 1, *, measures_memory: bool = False, **settings: Any) -> Case:
    """Return a case that fits an estimator of these settings."""
    settings = {"random_state": 0, **settings}
    return Case(name, lambda make: make(**settings), lambda estimator: estimator.fit(x, y), times, measures_memory)


def mnist_cases(folder: Path) -> Iterator[Case]:
    """Iterate over fits of a few epochs on MNIST, in float32 from 0 to 1."""
    mnist = load_dataset("mnist", data_dir=folder / "mnist")
    x, y = mnist.train.x.astype(np.float32), mnist.train.labels
    for sizes in ((128,), (512, 512)):
        for solver, name in (("sgd", "SGD"), ("adam", "Adam")):
            settings = {"hidden_layer_sizes": sizes, "solver": solver, "batch_size": 128, "max_iter": MNIST_EPOCHS}
            yield fit(f"MNIST, {sizes}, {name}", x, y, **settings)


def iris_cases() -> Iterator[Case]:
    """Iterate over repeated small fits, in which overhead counts: 150 rows, 200 epochs."""
    for name, settings in (
        ("(100,), Adam, one batch", {}),
        ("(100,), SGD, one batch", {"solver": "sgd"}),
        ("(100,), SGD, batches of 32", {"solver": "sgd", "batch_size": 32}),
        ("(16, 16), Adam, early stopping", {"hidden_layer_sizes": (16, 16), "early_stopping": True}),
    ):
        yield fit(f"iris, {name}", *load_iris(return_X_y=True), IRIS_FITS, max_iter=200, tol=0.0, **settings)


def other_cases() -> dict[str, list[Case]]:
    """Return fits of wide data, and calls on few rows of a fitted estimator."""
    generator = np.random.default_rng(0)
    wide, labels = generator.normal(size=(2_000, 5_000)), generator.integers(0, 5, 2_000)
    sparse = scipy.sparse.random(10_000, 20_000, density=0.005, format="csr", random_state=0)
    many = generator.integers(0, 5, 10_000)
    small, few = generator.normal(size=(1_000, 20)), generator.integers(0, 3, 1_000)

    def fitted(make: Callable[..., Any]) -> Any:
        return make(max_iter=2, random_state=0).fit(small, few)

    of_memory: dict[str, Any] = {"measures_memory": True}
    return {
        "wide": [fit("fit, 2,000 × 5,000, Adam, 5 epochs", wide, labels, max_iter=5, **of_memory)],
        "sparse": [fit("fit, sparse 10,000 × 20,000, Adam, 2 epochs", sparse, many, max_iter=2, **of_memory)],
        "calls": [
            Case("predict 1 row", fitted, lambda estimator: estimator.predict(small[:1]), 1_000),
            Case("predict 100 rows", fitted, lambda estimator: estimator.predict(small[:100]), 1_000),
            Case("partial_fit 50 rows", fitted, lambda estimator: estimator.partial_fit(small[:50], few[:50]), 300),
        ],
    }


def measure(case: Case, make: Callable[..., Any]) -> tuple[float, float]:
    """Return the seconds of as many calls as the case says, after one, and the final loss."""
    estimator = case.prepare(make)
    case.call(estimator)  # warm-up
    began = time.perf_counter()
    for _ in range(case.times):
        case.call(estimator)
    return time.perf_counter() - began, float(estimator.loss_)


def peak_memory(case: Case, make: Callable[..., Any]) -> int:
    """Return the most bytes that one call holds at a time."""
    estimator = case.prepare(make)
    tracemalloc.start()
    case.call(estimator)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def compare(case: Case, rounds: int) -> tuple[str, ...]:
    """Return a row of the table."""
    times: dict[str, list[float]] = {name: [] for name in MAKERS}
    losses = {}
    for number in range(rounds):
        for name in list(MAKERS)[:: 1 if number % 2 == 0 else -1]:
            seconds, losses[name] = measure(case, MAKERS[name])
            times[name].append(seconds)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(times["ours"], times["theirs"], strict=True))
    columns = [f"{statistics.median(t):.3g} [{min(t):.3g}, {max(t):.3g}]" for t in times.values()]
    memory = ["", "", ""]
    if case.measures_memory:
        peaks = [peak_memory(case, make) for make in MAKERS.values()]
        memory = [*(f"{peak / 1e6:.0f} MB" for peak in peaks), f"{peaks[1] / peaks[0]:.2f}"]
    return case.name, *columns, f"{ratio:.2f}", f"{abs(losses['ours'] - losses['theirs']):.1e}", *memory


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="iris, mnist, wide, sparse or calls (default: all)")
    parser.add_argument("--data-dir", type=Path, help="folder that holds mnist/")
    parser.add_argument("--rounds", type=int, default=5, help="of each case (default: 5)")
    parser.add_argument("--without-tiles", action="store_true")
    arguments = parser.parse_args()
    if arguments.without_tiles:
        in_place.LARGE = sys.maxsize
    warnings.simplefilter("ignore", ConvergenceWarning)
    cases = {"iris": [*iris_cases()], **other_cases()}
    if arguments.data_dir is not None:
        cases["mnist"] = [*mnist_cases(arguments.data_dir)]
    print(f"{machine.describe()}; {arguments.rounds} rounds, {MNIST_EPOCHS} epochs of MNIST\n")
    for name in arguments.cases:
        if name not in cases:
            raise SystemExit(f"error: {name!r} is not one of {', '.join(cases)}. mnist needs --data-dir.")
    rows = [compare(case, arguments.rounds) for name in arguments.cases or cases for case in cases[name]]
    print("\n".join(markdown_table(COLUMNS, rows)))


if __name__ == "__main__":
    main()
