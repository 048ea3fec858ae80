"""Measure where an epoch's time goes on NumPy: in which calls of a recorded step.

    python benchmarks/parts_of_a_step.py [--hidden 128] [--batch-size 128] [--optimizer sgd] [--stored bytes]

The calls are those that an epoch makes (see xpmlp/backends/recorded_calls), timed one by one; that takes some of the
time that is shown. Where there are two programs, they are those of the faster one.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpmlp.backends import NumpyBackend
from xpmlp.backends.counted_step import CountedStep
from xpmlp.backends.engine.captured_step import CapturedStep
from xpmlp.backends.numpy import record_calls
from xpmlp.backends.recorded_calls import Program
from xpmlp.bench import synthetic_workload
from xpmlp.bench.report import markdown_table
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.training import OPTIMIZERS

GATHER, PRODUCTS, LARGE, SMALL = "gather the rows", "large products", "large arrays else", "all that is small"
SMALL_PRODUCT = 2**20  # operations


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hidden", type=int, default=128, help="units of the hidden layer")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--optimizer", default="sgd", choices=sorted(OPTIMIZERS))
    parser.add_argument("--stored", default="bytes", choices=("bytes", "float32"), help="what the inputs are held as")
    parser.add_argument("--rounds", type=int, default=9, help="epochs that are timed")
    arguments = parser.parse_args()

    workload = synthetic_workload()
    samples = Samples(workload.x, np.eye(workload.classes, dtype=np.float32)[workload.labels])
    if arguments.stored == "bytes":
        samples = samples._replace(x=np.rint(255.0 * workload.x).astype(np.uint8), divisor=255.0)
    sizes = (workload.x.shape[1], arguments.hidden, workload.classes)
    backend = NumpyBackend()
    with backend.scope():
        counted, programs = record(samples, sizes, arguments.optimizer, arguments.batch_size)
        with backend.threads_for(counted.static.state.layers, arguments.batch_size):
            rounds = [[time_epoch(counted, program) for program in programs] for _ in range(arguments.rounds + 1)]
    # The first round warms up.
    program, epochs = min(
        zip(programs, zip(*rounds[1:], strict=True), strict=True), key=lambda timed: median_time(timed[1])
    )
    parts = {part: statistics.median(epoch[part] for epoch in epochs) for part in epochs[0]}
    whole = median_time(epochs)
    counts = defaultdict(int)
    for call in program.calls:
        counts[part_of(*call)] += 1
    rows = [
        (part, str(counts[part]), f"{1000 * seconds:.0f}", f"{100 * seconds / whole:.0f} %")
        for part, seconds in sorted(parts.items(), key=lambda item: -item[1])
    ]
    rows.append(("all", str(len(program.calls)), f"{1000 * whole:.0f}", "100 %"))
    title = f"{'-'.join(map(str, sizes))}, batches of {arguments.batch_size}, {backend.describe()['library']}"
    print("\n".join(markdown_table((title, "calls a step", "ms an epoch", "part"), rows)))


def record(
    samples: Samples, sizes: tuple[int, ...], optimizer_name: str, batch_size: int
) -> tuple[CountedStep, tuple[Program, ...]]:
    """Record a step as an epoch does."""
    generator = np.random.default_rng(0)
    optimizer = OPTIMIZERS[optimizer_name]()
    step = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=optimizer)
    layers = init_layers(np, generator, sizes, glorot_uniform(), dtype=np.float32)
    full = samples.rows // batch_size
    batches = generator.permutation(samples.rows)[: full * batch_size].reshape(full, batch_size)
    rates = np.full(full, 0.1, np.float32)
    static = CapturedStep(np, step, TrainingState(layers, optimizer.init(np, layers)), samples, batches, rates)
    return record_calls(static, rounding_less=True)


def part_of(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """Return what a call belongs to."""
    arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
    if function is np.ndarray.take or (function is np.copyto and arrays[1].dtype == np.uint8):
        return GATHER
    if not arguments:  # what is asked of BLAS: products, or a sum of multiples
        return PRODUCTS if function.__name__ in ("add_product", "compute_products") else LARGE
    if function is np.matmul:
        return PRODUCTS if 2 * arrays[0].size * arrays[1].shape[-1] > SMALL_PRODUCT else SMALL
    return LARGE if max(array.size for array in arrays) >= 2**15 or is_piece(arrays) else SMALL


def is_piece(arrays: list[np.ndarray]) -> bool:
    """Tell whether a call is on a piece of a large array: of arrays of one axis, with thousands of elements."""
    return all(array.ndim <= 1 for array in arrays) and max(array.size for array in arrays) >= 2**11


def median_time(epochs: Sequence[dict[str, float]]) -> float:
    """Return the seconds of all parts of an epoch together."""
    return statistics.median(sum(epoch.values()) for epoch in epochs)


def time_epoch(counted: CountedStep, program: Program) -> dict[str, float]:
    """Play an epoch; return the seconds of each part."""
    static = counted.static
    static.rewind()
    parts: dict[str, float] = defaultdict(float)
    calls = [(function, arguments, part_of(function, arguments)) for function, arguments in program.calls]

    def take_step() -> None:
        for function, arguments, part in calls:
            started = time.perf_counter()
            function(*arguments)
            parts[part] += time.perf_counter() - started

    take_next = counted.bind(take_step)
    for _ in range(len(static.batches)):
        take_next()
    return parts


if __name__ == "__main__":
    main()
