"""Measure where an epoch's time goes: in which part of a training step, and how much of that in matrix products.

    python benchmarks/parts_of_a_step.py [--backend numpy] [--hidden 128] [--batch-size 128] [--rounds 9]

The parts are those of xpmlp.nn, called one after the other as a step calls them. On the CPU only: elsewhere, and under
a compiler such as JAX's, the parts run beside each other or not as such.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from xpmlp.backends import load_backend
from xpmlp.backends.samples import Samples, take_rows
from xpmlp.bench import synthetic_workload
from xpmlp.bench.report import markdown_table
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import backward, forward
from xpmlp.nn.optimizers import sgd


class Clock:
    """Seconds by part, and in matrix products by part."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = defaultdict(float)
        self.products: dict[str, float] = defaultdict(float)
        self.part = ""

    def time(self, part: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, and add the time that it takes to its part."""
        self.part = part
        started = time.perf_counter()
        result = function(*arguments)
        self.parts[part] += time.perf_counter() - started
        return result


class TimedProducts:
    """An array namespace whose matrix products are timed."""

    def __init__(self, xp: Any, clock: Clock) -> None:
        self.xp, self.clock = xp, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.xp, name)

    def matmul(self, a: Any, b: Any) -> Any:
        """Multiply, and add the time to the products of the part that is running."""
        started = time.perf_counter()
        result = self.xp.matmul(a, b)
        self.clock.products[self.clock.part] += time.perf_counter() - started
        return result


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="numpy", choices=("numpy", "torch"))
    parser.add_argument("--hidden", type=int, default=128, help="units of the hidden layer")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9, help="epochs that are timed")
    arguments = parser.parse_args()

    backend = load_backend(arguments.backend, "cpu")
    workload = synthetic_workload()
    targets = np.eye(workload.classes, dtype=np.float32)[workload.labels]
    samples = Samples(backend.asarray(workload.x), backend.asarray(targets))
    sizes = (workload.x.shape[1], arguments.hidden, workload.classes)
    with backend.scope():
        train_epoch(backend, samples, sizes, arguments.batch_size)  # once before, to be warm
        clocks = [train_epoch(backend, samples, sizes, arguments.batch_size) for _ in range(arguments.rounds)]
    whole = statistics.median(sum(clock.parts.values()) for clock in clocks)
    rows = []
    for part in clocks[0].parts:
        seconds = statistics.median(clock.parts[part] for clock in clocks)
        products = statistics.median(clock.products[part] for clock in clocks)
        rows.append((part, f"{1000 * seconds:.0f}", f"{100 * seconds / whole:.0f} %", f"{1000 * products:.0f}"))
    products = statistics.median(sum(clock.products.values()) for clock in clocks)
    rows.append(("all", f"{1000 * whole:.0f}", "100 %", f"{1000 * products:.0f}"))
    title = f"{'-'.join(map(str, sizes))}, batches of {arguments.batch_size}, {backend.describe()['library']}"
    columns = (title, "ms an epoch", "part", "of them in matrix products")
    print("\n".join(markdown_table(columns, rows)))


def train_epoch(backend: Any, samples: Samples, sizes: tuple[int, ...], batch_size: int) -> Clock:
    """Train a new network for an epoch, with tanh and plain SGD, and return where the time went."""
    clock = Clock()
    xp = TimedProducts(backend.xp, clock)
    activation, loss, optimizer = ACTIVATIONS["tanh"], LOSSES["softmax_cross_entropy"], sgd()
    rng = np.random.default_rng(0)
    layers = init_layers(backend.xp, rng, sizes, glorot_uniform(), dtype=backend.xp.float32)
    order = backend.asarray(rng.permutation(samples.rows))
    for start in range(0, samples.rows, batch_size):
        batch = clock.time("gather the rows", take_rows, xp, samples, order[start : start + batch_size])
        inputs, logits = clock.time("forward", forward, xp, layers, batch.x, activation)
        _, gradient = clock.time("loss", loss.value_and_gradient, xp, logits, batch.targets)
        gradient = gradient * (1.0 / batch.rows)
        gradients = clock.time("backward", backward, xp, layers, inputs, gradient, activation)
        layers, _ = clock.time("update", optimizer.update, xp, gradients, (), layers, 0.1)
    return clock


if __name__ == "__main__":
    main()
