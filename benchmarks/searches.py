"""Time a search over networks against scikit-learn's own search over scikit-learn's own network.

``python benchmarks/searches.py`` runs both in turn, `ROUNDS` times, each as a whole call with the refit of the best;
both in as many processes as there are cores, started before. It prints medians and their ratio, and whether
both find the same. ``--size iris`` runs one of the sizes, ``--growth`` the time a model by the number of models.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import sklearn.model_selection
import sklearn.neural_network
from sklearn.datasets import load_digits, load_iris, make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xpmlp
from xpmlp import model_selection

ROUNDS = 3
# Data, hidden layers, batch size, epochs, candidates along each of two axes.
SIZES: dict[str, tuple[Callable[[], Any], tuple[int, ...], int, int, int]] = {
    "iris": (lambda: load_iris(return_X_y=True), (16,), 32, 100, 8),
    "digits": (lambda: load_digits(return_X_y=True), (128,), 200, 20, 4),
    "table": (lambda: make_classification(20_000, 20, n_informative=10, random_state=0), (64, 64), 200, 5, 3),
}


def search(ours: bool, data: Any, size: str, side: int, n_jobs: int) -> tuple[float, Any]:
    """Run one search, and return its seconds and the fitted search."""
    _, hidden, batch_size, epochs, _ = SIZES[size]
    networks, tools = (xpmlp, model_selection) if ours else (sklearn.neural_network, sklearn.model_selection)
    network = networks.MLPClassifier(
        hidden, batch_size=batch_size, max_iter=epochs, tol=0.0, n_iter_no_change=epochs, random_state=0
    )
    grid = {
        "mlpclassifier__alpha": np.logspace(-5, -1, side).tolist(),
        "mlpclassifier__learning_rate_init": np.logspace(-3.5, -1.5, side).tolist(),
    }
    estimator = make_pipeline(StandardScaler(), network)
    began = time.perf_counter()
    fitted = tools.GridSearchCV(estimator, grid, cv=5, n_jobs=n_jobs).fit(*data)
    return time.perf_counter() - began, fitted


def compare(size: str, rounds: int, side: int | None) -> None:
    """Print the times of one size."""
    load, *_, usual = SIZES[size]
    side, data, n_jobs = side or usual, load(), joblib.cpu_count()
    joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(search)(False, data, "iris", 1, 1) for _ in range(n_jobs))
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        found = {}
        for ours in (True, False):
            seconds, found[ours] = search(ours, data, size, side, n_jobs)
            times[ours].append(seconds)
    ours, theirs = (statistics.median(times[key]) for key in (True, False))
    scores = [found[key].cv_results_["mean_test_score"] for key in (True, False)]
    difference, fits = np.max(np.abs(np.subtract(*scores))), 5 * side**2
    print(
        f"{size}: {fits} fits, {len(data[0])} rows: ours {ours:.2f} s ({1e3 * ours / fits:.1f} ms a fit), "
        f"scikit-learn {theirs:.2f} s, both with n_jobs={n_jobs}; {theirs / ours:.1f} times as fast; "
        f"same best: {found[True].best_params_ == found[False].best_params_}, scores differ by {difference:.1g}",
        flush=True,
    )


def grow() -> None:
    """Print the time a model by the number of models, at iris size."""
    data = SIZES["iris"][0]()
    for side in (1, 2, 3, 4, 6, 8, 11, 14):
        seconds, _ = min((search(True, data, "iris", side, 1) for _ in range(2)), key=lambda result: result[0])
        print(f"{5 * side**2:5} models: {1e3 * seconds / (5 * side**2):6.2f} ms each", flush=True)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, action="append")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--side", type=int, help="candidates along each axis")
    parser.add_argument("--growth", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.growth:
        grow()
        return
    for size in arguments.size or SIZES:
        compare(size, arguments.rounds, arguments.side)


if __name__ == "__main__":
    main()
