"""Time fits of our MLPClassifier and of scikit-learn's, in turn, in one process.

    python benchmarks/against_scikit_learn.py [--data-dir FOLDER] [--rounds 5]

Prints a table: seconds of both (median, minimum, maximum), the median of the rounds' ratios (below 1, ours is faster),
and the difference of the final losses. FOLDER holds ``mnist/`` with MNIST's four files; without it only iris is
timed. The order of the two alternates.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as TheirClassifier

from xpmlp import MLPClassifier
from xpmlp.datasets import load_dataset

MNIST_EPOCHS = 3
IRIS_FITS = 10

Case = tuple[str, Any, Any, dict[str, Any], int]


def mnist_cases(folder: Path) -> list[Case]:
    """Return fits of a few epochs on MNIST, in float32 from 0 to 1."""
    mnist = load_dataset("mnist", data_dir=folder / "mnist")
    x, y = mnist.train.x.astype(np.float32), mnist.train.labels
    usual = {"max_iter": MNIST_EPOCHS, "batch_size": 128, "random_state": 0}
    return [
        ("MNIST, (128,), SGD", x, y, usual | {"hidden_layer_sizes": (128,), "solver": "sgd"}, 1),
        ("MNIST, (128,), Adam", x, y, usual | {"hidden_layer_sizes": (128,), "solver": "adam"}, 1),
        ("MNIST, (512, 512), SGD", x, y, usual | {"hidden_layer_sizes": (512, 512), "solver": "sgd"}, 1),
        ("MNIST, (512, 512), Adam", x, y, usual | {"hidden_layer_sizes": (512, 512), "solver": "adam"}, 1),
    ]


def iris_cases() -> list[Case]:
    """Return repeated small fits, in which overhead counts: 150 rows, 200 epochs."""
    x, y = load_iris(return_X_y=True)
    usual = {"max_iter": 200, "tol": 0.0, "random_state": 0}
    return [
        ("iris, (100,), Adam, one batch", x, y, usual, IRIS_FITS),
        ("iris, (100,), SGD, one batch", x, y, usual | {"solver": "sgd"}, IRIS_FITS),
        ("iris, (100,), SGD, batches of 32", x, y, usual | {"solver": "sgd", "batch_size": 32}, IRIS_FITS),
        (
            "iris, (16, 16), Adam, early stopping",
            x,
            y,
            usual | {"hidden_layer_sizes": (16, 16), "early_stopping": True},
            IRIS_FITS,
        ),
    ]


def seconds(make: Callable[..., Any], case: Case) -> tuple[float, float]:
    """Fit as often as the case says; return the seconds and the final loss."""
    _, x, y, settings, fits = case
    began = time.perf_counter()
    for _ in range(fits):
        estimator = make(**settings).fit(x, y)
    return time.perf_counter() - began, float(estimator.loss_)


def compare(case: Case, rounds: int) -> str:
    """Return a row of the table."""
    name, *_ = case
    times: dict[str, list[float]] = {"theirs": [], "ours": []}
    losses: dict[str, float] = {}
    candidates = {"theirs": TheirClassifier, "ours": MLPClassifier}
    for number in range(rounds):
        order = list(candidates) if number % 2 == 0 else list(reversed(candidates))
        for candidate in order:
            took, losses[candidate] = seconds(candidates[candidate], case)
            times[candidate].append(took)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(times["ours"], times["theirs"], strict=True))
    gap = abs(losses["ours"] - losses["theirs"])
    columns = [f"{statistics.median(t):.3f} [{min(t):.3f}, {max(t):.3f}]" for t in times.values()]
    return f"| {name} | {' | '.join(columns)} | {ratio:.2f} | {gap:.1e} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder that holds mnist/")
    parser.add_argument("--rounds", type=int, default=5, help="fits of each (default: 5)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    cases = iris_cases()
    if arguments.data_dir is not None:
        cases += mnist_cases(arguments.data_dir)
    print(f"{machine.describe()}; {arguments.rounds} rounds, {MNIST_EPOCHS} epochs of MNIST\n")
    print("| fit | scikit-learn, s: median [minimum, maximum] | xpmlp, s | ratio | difference of final losses |")
    print("| --- | --- | --- | --- | --- |")
    for case in cases:
        print(compare(case, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
