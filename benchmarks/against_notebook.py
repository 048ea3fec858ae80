"""Time an MNIST epoch of the notebook's own code against ours, at the notebook's sizes.

Both train 784-128-10 with tanh, batches of 128 and a learning rate of 0.1, in one process, in turn; the notebook's
code in float64 as it is, ours in float32 as it comes. Run it with:

    python benchmarks/against_notebook.py [--data-dir FOLDER] [--rounds 9]
"""

import argparse
import dataclasses
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peers import notebook

import xpmlp
from xpmlp.datasets import one_hot
from xpmlp.training import RECIPES, Callback, Run, fit_dataset


class Stopwatch(Callback):
    """Note how long each epoch's training takes, and let the other side train between two of them."""

    def __init__(self, other: Callable[[], None]) -> None:
        self.other = other
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def on_epoch_end(self, run: Run) -> None:
        """Take both times."""
        self.ours.append(run.history[-1].seconds)
        started = time.perf_counter()
        self.other()
        self.theirs.append(time.perf_counter() - started)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files lie; by default they are downloaded")
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each that count, after one that does not")
    arguments = parser.parse_args()

    mnist = xpmlp.load_dataset("mnist", data_dir=arguments.data_dir)
    their_epoch = notebook.make_epoch(mnist.train.x, one_hot(mnist.train.labels, mnist.classes))
    watch = Stopwatch(their_epoch)
    recipe = dataclasses.replace(RECIPES["notebook"], epochs=arguments.rounds + 1)
    fit_dataset(mnist, recipe, callbacks=[watch])

    ours, theirs = watch.ours[1:], watch.theirs[1:]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(f"{platform.platform()}, NumPy {np.__version__}, {arguments.rounds} rounds, interleaved")
    print()
    print("| seconds an epoch | median | least | most |")
    print("|---|---|---|---|")
    for name, values in (
        ("the notebook's code, float64", theirs),
        ("xpmlp on NumPy, float32", ours),
        ("ratio", ratios),
    ):
        print(f"| {name} | {statistics.median(values):.3f} | {min(values):.3f} | {max(values):.3f} |")


if __name__ == "__main__":
    main()
