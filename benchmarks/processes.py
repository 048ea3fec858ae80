"""What several processes gain: an epoch of several, in one thread each, against one process in as many threads.

    mpiexec --bind-to none -n 2 python benchmarks/processes.py [--rounds 7]

Both train the same network on random data of MNIST's shape, in turn; the first process trains alone while the others
sleep. The figures are medians over rounds. In a further run, "waiting" is the share of a step until the last process
has come to a sum, and "adding up" that of the sums. "model" is what docs/clusters.md predicts for it: the same sums
between matrix products of random numbers, without any training. These are medians over steps, which programs that
interrupt a few do not change.
"""

import argparse
import collections
import functools
import itertools
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.samples import Samples
from xpmlp.threads import limit_threads
from xpmlp.training import constant, fit
from xpmlp.training.distributed import LARGE, Communicator, connect
from xpmlp.training.shared_memory import SharedSum

STEPS = 40  # of matrix products, for the model


class Workload(NamedTuple):
    """A network, its batches, and the size of its epoch."""

    sizes: tuple[int, ...]
    batch_size: int
    rows: int

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch_size:,}"

    @property
    def weights(self) -> list[tuple[int, int]]:
        """Shapes of the layers' weights."""
        return list(itertools.pairwise(self.sizes))

    @property
    def sums(self) -> list[int]:
        """Bytes of a step's sums: the batch's weight, the objective with all small arrays, and each large one."""
        products = [inputs * units for inputs, units in self.weights]
        small = 1 + sum(self.sizes[1:]) + sum(product for product in products if product < LARGE)
        return [4, 4 * small, *(4 * product for product in products if product >= LARGE)]


WORKLOADS = (
    Workload((784, 128, 10), 128, 60_000),
    Workload((784, 128, 10), 1024, 60_000),
    Workload((784, 1024, 1024, 10), 128, 6_400),
    Workload((784, 1024, 1024, 10), 1024, 10_240),
)


class TimedCommunicator(Communicator):
    """A communicator that notes the times of waiting for the others, and those of adding up after that, by bytes."""

    def __init__(self, mpi: Any) -> None:
        super().__init__(mpi)
        self.waiting: dict[int, list[float]] = collections.defaultdict(list)
        self.adding: dict[int, list[float]] = collections.defaultdict(list)

    def add_up(self, array: Any) -> None:
        """Add up, and note the time."""
        self.note(array.nbytes, super().add_up, array)

    def add_up_large(self, *array: Any) -> Any:
        """Return what adds up a large array, and notes the time."""
        add_up = super().add_up_large(*array)
        if isinstance(add_up, SharedSum) and "add_up" not in vars(add_up):
            vars(add_up)["add_up"] = functools.partial(self.note, add_up.result.nbytes, add_up.add_up)
        return add_up

    def note(self, size: int, add_up: Callable[..., None], *arguments: Any) -> None:
        """Call a function when all processes are there, and note the time."""
        started = time.perf_counter()
        self.mpi.Barrier()
        ready = time.perf_counter()
        add_up(*arguments)
        self.waiting[size].append(ready - started)
        self.adding[size].append(time.perf_counter() - ready)


def connect_several() -> Communicator:
    """Return the processes, or say how to start them."""
    communicator = connect()
    if communicator.size < 2:
        raise SystemExit("Run: mpiexec --bind-to none -n 2 python benchmarks/processes.py")
    return communicator


def wait_for_first(communicator: Communicator) -> None:
    """Wait for the first process without keeping a core busy."""
    request = communicator.mpi.Ibarrier()
    while not request.Test():
        time.sleep(0.005)


def predict(workload: Workload, communicator: TimedCommunicator) -> None:
    """Make the sums of some steps, between matrix products of the sizes of a step's, for the communicator to time."""
    rows, random = workload.batch_size // communicator.size, np.random.default_rng(0).random
    outputs = [random((rows, units), np.float32) for units in workload.sizes]
    errors = [np.empty_like(array) for array in outputs]
    weights = [random(shape, np.float32) for shape in workload.weights]
    updated = [np.empty_like(array) for array in weights]
    gradients = [np.empty_like(array) for array in weights]
    add_up: dict[int, Any] = {}
    for number, array in enumerate(weights):
        if array.size >= LARGE:
            add_up[number] = communicator.add_up_large(number, array.shape, array.dtype)
            if isinstance(add_up[number], SharedSum):
                gradients[number] = add_up[number].source
    batch_weight, small = (np.ones(size // 4, np.float32) for size in workload.sums[:2])
    for _ in range(STEPS):
        batch_weight[:] = small[:] = 1.0
        communicator.add_up(batch_weight)
        for x, weight, output in zip(outputs, weights, errors[1:], strict=False):
            np.matmul(x, weight, out=output)
        for number in reversed(range(len(weights))):
            np.matmul(outputs[number].T, errors[number + 1], out=gradients[number])
            if number:
                np.matmul(errors[number + 1], weights[number].T, out=errors[number])
        communicator.add_up(small)
        sums = list(gradients)
        for number, sum_up in add_up.items():
            if isinstance(sum_up, SharedSum):
                sum_up.add_up()
                sums[number] = sum_up.result
            else:
                sum_up(sums[number])
        for weight, gradient, new in zip(weights, sums, updated, strict=True):
            np.add(weight, gradient, out=new)
    communicator.sums.clear()


def train(workload: Workload, samples: Samples, communicator: Communicator | None, threads: int, epochs: int) -> float:
    """Train, and return the seconds of an epoch, the first ones not counted."""
    generator = np.random.default_rng(0)
    result = fit(
        samples,
        layers=init_layers(np, generator, workload.sizes, glorot_uniform(), dtype=np.float32),
        activation=ACTIVATIONS["tanh"],
        loss=LOSSES["softmax_cross_entropy"],
        optimizer=sgd(),
        schedule=constant(0.1),
        epochs=epochs,
        batch_size=workload.batch_size,
        generator=generator,
        backend="numpy",
        threads=threads,
        communicator=communicator,
    )
    return min(row.seconds for row in result.history[1:])


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    communicator = connect_several()
    leads, size = communicator.rank == 0, communicator.size
    if leads:
        print(f"{platform.platform()}, NumPy {np.__version__}, {size} processes, {rounds} rounds, interleaved")
        print()
        several = f"{size} processes"
        print(f"| workload | one, {size} threads | {several} | times as fast | waiting | adding up | model | sums |")
        print("|---|---|---|---|---|---|---|---|")
    for workload in WORKLOADS:
        data = np.random.default_rng(1)
        samples = Samples(
            data.random((workload.rows, workload.sizes[0]), dtype=np.float32),
            np.eye(workload.sizes[-1], dtype=np.float32)[data.integers(workload.sizes[-1], size=workload.rows)],
        )
        steps = -(-workload.rows // workload.batch_size)
        epochs = 2 + 60 // steps  # the engine captures a step after 50
        timed, imitated = TimedCommunicator(communicator.mpi), TimedCommunicator(communicator.mpi)
        alone, together, noted = [], [], []
        for _ in range(rounds):
            if leads:
                alone.append(train(workload, samples, None, size, epochs) / steps)
            wait_for_first(communicator)
            together.append(train(workload, samples, communicator, 1, epochs) / steps)
            for _ in range(2):
                with limit_threads(1):
                    predict(workload, imitated)
                noted.append(train(workload, samples, timed, 1, epochs) / steps)
        if leads:
            one, shared, step = map(statistics.median, (alone, together, noted))
            ratio = statistics.median(a / b for a, b in zip(alone, together, strict=True))
            times = f"{1e3 * one:.3f} ms a step | {1e3 * shared:.3f} ms | {ratio:.2f}"
            waiting, adding, model = (
                [statistics.median(found[size]) for size in workload.sums]
                for found in (timed.waiting, timed.adding, imitated.adding)
            )
            shares = " | ".join(f"{100 * sum(part) / step:.1f} %" for part in (waiting, adding, model))
            sums = "; ".join(
                f"{size:,} B: {1e6 * took:.0f} µs, model {1e6 * predicted:.0f}"
                for size, took, predicted in zip(workload.sums, adding, model, strict=True)
            )
            print(f"| {workload} | {times} | {shares} | {sums} |", flush=True)


if __name__ == "__main__":
    main()
