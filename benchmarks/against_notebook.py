"""Time an MNIST epoch of the notebook's own code and of ours, in turn, in one process.

    python benchmarks/against_notebook.py [--data-dir FOLDER] [--rounds 9]

Prints a table: median, minimum and maximum seconds per epoch, and their ratio. Both train 784-128-10 with tanh, batches
of 128 and a learning rate of 0.1; the notebook's code in its float64, ours in float32.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import machine
from peers import notebook

import xpmlp
from xpmlp.datasets import one_hot
from xpmlp.training import RECIPES, Callback, Run, fit_dataset


class Stopwatch(Callback):
    """Record the seconds of each of our epochs, and run one of the notebook's after it."""

    def __init__(self, other: Callable[[], None]) -> None:
        self.other = other
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def on_epoch_end(self, run: Run) -> None:
        """Record both times."""
        self.ours.append(run.history[-1].seconds)
        started = time.perf_counter()
        self.other()
        self.theirs.append(time.perf_counter() - started)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with MNIST's four files; by default downloaded")
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each, after one to warm up (default: 9)")
    arguments = parser.parse_args()

    mnist = xpmlp.load_dataset("mnist", data_dir=arguments.data_dir)
    their_epoch = notebook.make_epoch(mnist.train.x, one_hot(mnist.train.labels, mnist.classes))
    watch = Stopwatch(their_epoch)
    recipe = dataclasses.replace(RECIPES["notebook"], epochs=arguments.rounds + 1)
    fit_dataset(mnist, recipe, callbacks=[watch])

    ours, theirs = watch.ours[1:], watch.theirs[1:]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(f"{machine.describe()}; {arguments.rounds} rounds, interleaved\n")
    print("| seconds per epoch | minimum | median | maximum |")
    print("|---|---|---|---|")
    for name, values in (
        ("the notebook's code, float64", theirs),
        ("xpmlp on NumPy, float32", ours),
        ("ratio", ratios),
    ):
        print(f"| {name} | {min(values):.3f} | {statistics.median(values):.3f} | {max(values):.3f} |")


if __name__ == "__main__":
    main()
