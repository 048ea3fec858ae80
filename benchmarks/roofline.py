"""Measure the machine's limits: matrix products, memory copies and empty steps of each backend.

    python benchmarks/roofline.py [NAME ...] [--dtype float32]

Prints a table: GFLOP/s of a large matrix product, GB/s of a large copy, and µs per step that computes nothing. `run.py`
derives the column "of the limit" from them: an epoch takes at least as long as its arithmetic, its memory traffic, or
its steps take at these rates.
"""

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import machine
import numpy as np

from xpmlp.backends import Backend, is_gpu, load_backend, usable_backends
from xpmlp.bench import Case, Measurement
from xpmlp.bench.report import markdown_table
from xpmlp.data.placement import train_epoch
from xpmlp.nn.layers import Layer
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState

REPEATS = 5
EMPTY_STEPS = 200


class Ceilings(NamedTuple):
    """The best a library does on a device: operations/s, bytes/s, and seconds per empty step."""

    arithmetic: float
    bandwidth: float
    launch: float


def count_operations(sizes: tuple[int, ...], rows: int) -> int:
    """Count the floating-point operations of an epoch's matrix products.

    These are the forward pass, the weights' gradients, and the inputs' gradients of all layers but the first.
    """
    products = sum(inputs * outputs for inputs, outputs in itertools.pairwise(sizes))
    return 2 * rows * (3 * products - sizes[0] * sizes[1])


def limit_seconds(sizes: tuple[int, ...], rows: int, steps: int, itemsize: int, ceilings: Ceilings) -> float:
    """Return the least time an epoch can take.

    Memory traffic is each row once; weights and intermediate results may stay in the cache.
    """
    traffic = itemsize * rows * (sizes[0] + sizes[-1])
    return max(
        count_operations(sizes, rows) / ceilings.arithmetic, traffic / ceilings.bandwidth, steps * ceilings.launch
    )


def format_limit(ceilings: dict[str, Ceilings], case: Case, measurement: Measurement) -> str:
    """Return the fraction of the limit that a backend reaches; nothing for a peer."""
    if measurement.name not in ceilings:
        return ""
    steps, itemsize = case.settings.steps(case.rows), np.dtype(case.settings.dtype).itemsize
    limit = limit_seconds(case.sizes, case.rows, steps, itemsize, ceilings[measurement.name])
    return f"{100 * limit / measurement.median:.0f} %"


def measure_ceilings(names: Sequence[str], device: str, dtype: str) -> dict[str, Ceilings]:
    """Measure each backend in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        found = [processes.submit(measure_backend, name, device, dtype) for name in names]
        return {name: ceilings.result() for name, ceilings in zip(names, found, strict=True)}


def measure_backend(name: str, device: str, dtype: str) -> Ceilings:
    """Measure a backend's ceilings, each as the best of several repeats."""
    backend = load_backend(name, device)
    width, values = (8192, 2**28) if is_gpu(backend.device_name) else (1536, 2**24)
    xp = backend.xp
    with backend.scope():
        square = backend.asarray(np.random.default_rng(0).random((width, width), dtype=np.float32), dtype)
        vector = backend.asarray(np.ones(values, np.float32), dtype)
        product = best_seconds(backend, lambda: xp.matmul(square, square))
        copy = best_seconds(backend, lambda: xp.add(vector, vector))
        launch = best_seconds(backend, empty_epoch(backend, dtype)) / EMPTY_STEPS
    return Ceilings(2 * width**3 / product, 2 * values * np.dtype(dtype).itemsize / copy, launch)


def best_seconds(backend: Backend, work: Callable[[], Any]) -> float:
    """Return the shortest time of several repeats, after one to warm up."""
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        result = work()
        backend.synchronize(TrainingState((Layer(result, result),), ()))
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def empty_epoch(backend: Backend, dtype: str) -> Callable[[], Any]:
    """Return a function that runs an epoch of steps that compute nothing."""
    one = backend.asarray(np.ones((1, 1)), dtype)
    state = TrainingState((Layer(one, one),), ())
    rows = backend.asarray(np.ones((EMPTY_STEPS, 1)), dtype)
    order, rates = np.arange(EMPTY_STEPS), np.zeros(EMPTY_STEPS)

    def step(xp: Any, state: TrainingState, *batch: Any) -> tuple[TrainingState, Any]:
        return state, batch[-1]

    return lambda: train_epoch(backend, step, state, Samples(rows, rows), order, rates, 1)[1]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="backends; by default all that run here")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    arguments = parser.parse_args()
    found = measure_ceilings(arguments.names or usable_backends(), arguments.device, arguments.dtype)
    rows = [
        (name, f"{c.arithmetic / 1e9:,.0f}", f"{c.bandwidth / 1e9:.1f}", f"{c.launch * 1e6:.1f}")
        for name, c in found.items()
    ]
    columns = (f"{arguments.device}, {arguments.dtype}", "GFLOP/s", "GB/s", "µs per empty step")
    print(machine.describe(), end="\n\n")
    print("\n".join(markdown_table(columns, rows)))


if __name__ == "__main__":
    main()
