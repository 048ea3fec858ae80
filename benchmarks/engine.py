"""What the NumPy engine saves: an epoch of four workloads, as a ratio to the plain loop of `Backend.run_epoch`.

    python benchmarks/engine.py [--rounds 15] [--jax] [--parts]

All runs are in one process, in turn; the figures are medians of the ratios round by round, so that a machine whose
speed drifts changes both. ``--parts`` switches the engine's transformations off, one at a time.
"""

import argparse
import contextlib
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from xpmlp.backends import Backend, NumpyBackend, load_backend
from xpmlp.backends.engine import plan
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import Optimizer, adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map


class Workload(NamedTuple):
    """A network, its optimizer, and the size of its epoch."""

    name: str
    sizes: tuple[int, ...]
    batch_size: int
    optimizer: Optimizer
    steps: int


WORKLOADS = (
    Workload("784-128-10, batch 128, SGD", (784, 128, 10), 128, sgd(), 150),
    Workload("784-128-10, batch 128, Adam", (784, 128, 10), 128, adam(), 150),
    Workload("64-256-10, batch 64, Nesterov", (64, 256, 10), 64, sgd(momentum=0.9, nesterov=True), 500),
    Workload("20-64-2, batch 64, Adam", (20, 64, 2), 64, adam(), 1000),
)
WORKLOADS += (
    Workload("784-128-10, batch 128, Nesterov", (784, 128, 10), 128, sgd(momentum=0.9, nesterov=True), 150),
    Workload("784-1024-1024-10, batch 128, Adam", (784, 1024, 1024, 10), 128, adam(), 10),
)
PARTS = ("transpose_short_rows", "horizontal_fusion", "elide_copies", "plan_buffers")


@contextlib.contextmanager
def without(part: str | None) -> Iterator[None]:
    """Switch a transformation of the engine off."""
    if part is None:
        yield
        return
    substitutes: dict[str, Callable[..., Any]] = {
        "transpose_short_rows": lambda op: op,
        "horizontal_fusion": lambda ops, inputs: (ops, inputs, {}),
        "elide_copies": lambda ops, inputs: (ops, {}),
        "plan_buffers": lambda ops, settled: {},
    }
    with mock.patch.object(plan, part, substitutes[part]):
        yield


def make_epoch(workload: Workload, backend: Backend, run_epoch: Callable[..., Any]) -> Callable[[], float]:
    """Return a function that trains for an epoch and returns its seconds."""
    generator = np.random.default_rng(0)
    rows = workload.batch_size * workload.steps
    features, classes = workload.sizes[0], workload.sizes[-1]
    samples = Samples(
        backend.asarray(generator.random((rows, features), dtype=np.float32) - 0.5),
        backend.asarray(np.eye(classes, dtype=np.float32)[generator.integers(classes, size=rows)]),
    )
    layers = init_layers(np, generator, workload.sizes, glorot_uniform(), dtype=np.float32)
    layers = tree_map(backend.asarray, layers)
    step = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=workload.optimizer)
    rates = backend.asarray(np.full(workload.steps, 0.001, np.float32))
    state = TrainingState(layers, workload.optimizer.init(backend.xp, layers))

    def epoch() -> float:
        # Always from the start: on random labels, a long run ends in denormal numbers, which are slow by themselves.
        order = backend.asarray(generator.permutation(rows))
        with backend.threads_for(layers, workload.batch_size):
            started = time.perf_counter()
            final, _ = run_epoch(step, state, samples, order, rates, workload.batch_size)
            backend.synchronize(final)
            return time.perf_counter() - started

    return epoch


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="epochs of each that count, after one that does not")
    parser.add_argument("--jax", action="store_true", help="measure our JAX backend, too")
    parser.add_argument("--parts", action="store_true", help="switch the engine's transformations off, one at a time")
    parser.add_argument("--only", type=int, help="the number of one workload, from 0")
    arguments = parser.parse_args()
    columns: list[tuple[str, str | None]] = [("engine", None)]
    if arguments.parts:
        columns += [(f"without {part}", part) for part in PARTS]
    print(f"{platform.platform()}, NumPy {np.__version__}, {arguments.rounds} rounds, interleaved")
    print()
    names = [name for name, _ in columns] + (["jax"] if arguments.jax else [])
    print("| workload | plain, ms a step | " + " | ".join(names) + " |")
    print("|---|---|" + "---|" * len(names))
    for workload in WORKLOADS if arguments.only is None else [WORKLOADS[arguments.only]]:
        plain = NumpyBackend()
        epochs = {"plain": (plain, make_epoch(workload, plain, lambda *a, b=plain: Backend.run_epoch(b, *a)))}
        for name, part in columns:
            backend = NumpyBackend()
            epochs[name] = (backend, make_epoch(workload, backend, backend.run_epoch))
            with without(part), backend.scope():
                epochs[name][1]()
        if arguments.jax:
            jax = load_backend("jax")
            epochs["jax"] = (jax, make_epoch(workload, jax, jax.run_epoch))
        times: dict[str, list[float]] = {name: [] for name in epochs}
        for round_number in range(arguments.rounds + 1):
            for name, (backend, epoch) in epochs.items():
                with backend.scope():
                    seconds = epoch()
                if round_number > 0:
                    times[name].append(seconds)
        ratios = [statistics.median(a / b for a, b in zip(times[name], times["plain"], strict=True)) for name in names]
        each = 1000 * statistics.median(times["plain"]) / workload.steps
        print(f"| {workload.name} | {each:.3f} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |", flush=True)


if __name__ == "__main__":
    main()
