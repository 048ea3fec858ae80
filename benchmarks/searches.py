"""Time a search over networks against scikit-learn's own search over scikit-learn's own network.

``python benchmarks/searches.py`` runs both in turn, `ROUNDS` times, each as a whole call with the refit of the best;
both in as many processes as there are cores, started before. It prints medians and their ratio, and whether
both find the same. ``--size iris`` runs one of the sizes. ``--growth benchmarks/results/population_growth.png`` draws
the time a network by their number, and ``--peak`` compares populations with the machine's matrix products.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import machine
import matplotlib.pyplot as plt
import numpy as np
import sklearn.model_selection
import sklearn.neural_network
from roofline import count_operations, measure_backend
from sklearn.datasets import load_digits, load_iris, make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xpmlp
from xpmlp import model_selection
from xpmlp.backends import load_backend
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.training import constant
from xpmlp.training.population import Member, Rows, train_population

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


def compare(size: str, rounds: int, side: int | None, dtype: str) -> None:
    """Print the times of one size."""
    load, *_, usual = SIZES[size]
    side, (x, y), n_jobs = side or usual, load(), joblib.cpu_count()
    data = x.astype(dtype), y
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
        f"{size}: {fits} fits, {len(x)} rows of {dtype}: ours {ours:.2f} s ({1e3 * ours / fits:.1f} ms a fit), "
        f"scikit-learn {theirs:.2f} s, both with n_jobs={n_jobs}; {theirs / ours:.1f} times as fast; "
        f"same best: {found[True].best_params_ == found[False].best_params_}, scores differ by {difference:.1g}",
        flush=True,
    )


def train_models(
    count: int, sizes: tuple[int, ...], rows: int, batch_size: int, epochs: int, dtype: str, optimizer: Any = adam
) -> float:
    """Train so many networks on the same rows, and return the seconds of the whole call."""
    generator = np.random.default_rng(0)
    targets = np.eye(sizes[-1], dtype=dtype)[generator.integers(sizes[-1], size=rows)]
    samples = Samples(generator.random((rows, sizes[0])).astype(dtype), targets)
    shared = Rows(np.arange(rows), np.random.default_rng(0))
    members = [
        Member(
            layers=init_layers(np, np.random.default_rng(seed), sizes, glorot_uniform(), dtype=getattr(np, dtype)),
            rows=shared,
            schedule=constant(1e-3 * 1.001**seed),
            epochs=epochs,
        )
        for seed in range(count)
    ]
    settings: Any = {"activation": ACTIVATIONS["relu"], "loss": LOSSES["softmax_cross_entropy"], "optimizer": optimizer}
    began = time.perf_counter()
    train_population(samples, members, **settings, batch_size=batch_size, backend=load_backend("numpy"))
    return time.perf_counter() - began


def grow(path: str) -> None:
    """Print and draw the time a model by the number of models, at iris size."""
    counts = [2**power for power in range(11)]
    times = [min(train_models(count, (4, 16, 3), 150, 32, 20, "float64") for _ in range(3)) for count in counts]
    each = [1e3 * seconds / count for count, seconds in zip(counts, times, strict=True)]
    for count, milliseconds in zip(counts, each, strict=True):
        print(f"{count:5} models: {milliseconds:7.3f} ms each", flush=True)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.loglog(counts, each, "o-", base=2)
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="networks trained at once", ylabel="milliseconds a network")
    processor, cores, *_ = machine.describe().split(", ")
    axes.set_title(f"4-16-3, 150 rows, batch 32, 20 epochs of Adam, float64\n{processor}, {cores}")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def measure_peak() -> None:
    """Print which share of the float32 matrix products' peak networks of 784-128-10 reach, one and 64 at once."""
    sizes, rows = (784, 128, 10), 8192
    for count, epochs in ((1, 60), (64, 2)):
        seconds = min(train_models(count, sizes, rows, 128, epochs, "float32", sgd) for _ in range(2))
        peak = measure_backend("numpy", "cpu", "float32").arithmetic
        rate = count * epochs * count_operations(sizes, rows) / seconds
        print(f"{count} networks: {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s, {100 * rate / peak:.0f} %", flush=True)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, action="append")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--side", type=int, help="candidates along each axis")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="of the data")
    parser.add_argument("--growth", metavar="PICTURE", help="draw the time a network by their number")
    parser.add_argument("--peak", action="store_true", help="the share of the matrix products' peak")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.growth:
        grow(arguments.growth)
    if arguments.peak:
        measure_peak()
    if arguments.growth or arguments.peak:
        return
    for size in arguments.size or SIZES:
        compare(size, arguments.rounds, arguments.side, arguments.dtype)


if __name__ == "__main__":
    main()
