"""What several processes gain: an epoch of several, in one thread each, against one process in as many threads.

    mpiexec --bind-to none -n 2 python benchmarks/processes.py [--rounds 7]

Both train the same network on random data of MNIST's shape, in turn; the first process trains alone while the others
sleep. The figures are medians over rounds. In a further run, "waiting" is the share of its time until the last process
has come to a sum, "adding up" that of the sum, and "model" what docs/clusters.md predicts for it, from sums of the same
sizes that are measured by themselves.
"""

import argparse
import functools
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
from xpmlp.training import constant, fit
from xpmlp.training.distributed import LARGE, Communicator, connect
from xpmlp.training.shared_memory import SharedSum

SMALL = 2**10  # bytes of a sum that takes no longer than one of a single number


class Workload(NamedTuple):
    """A network, its batches, and the size of its epoch."""

    sizes: tuple[int, ...]
    batch_size: int
    rows: int

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch_size:,}"

    @property
    def large(self) -> list[int]:
        """Bytes of the gradients that are added up by themselves, in float32."""
        return [4 * a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False) if a * b >= LARGE]

    def written(self, processes: int) -> int:
        """Bytes that a process writes in a step: layers and their gradients, for its rows and for the weights."""
        return 2 * (4 * sum(self.sizes) * self.batch_size // processes + sum(self.large))

    def predict(self, communicator: Communicator) -> float:
        """Return the seconds of a step's sums: of the batch's weight, of all small arrays, and of each large one."""
        written = self.written(communicator.size)
        small = measure_sum(communicator, SMALL, written)
        return 2 * small + sum(measure_sum(communicator, size, written) for size in self.large)


WORKLOADS = (
    Workload((784, 128, 10), 128, 60_000),
    Workload((784, 128, 10), 1024, 60_000),
    Workload((784, 1024, 1024, 10), 128, 6_400),
    Workload((784, 1024, 1024, 10), 1024, 10_240),
)


class TimedCommunicator(Communicator):
    """A communicator that notes the time of waiting for the others, and the time of adding up after that."""

    waiting = seconds = 0.0

    def add_up(self, array: Any) -> None:
        """Add up, and note the time."""
        self.note(super().add_up, array)

    def add_up_large(self, *array: Any) -> Any:
        """Return what adds up a large array, and notes the time."""
        add_up = super().add_up_large(*array)
        if isinstance(add_up, SharedSum) and "add_up" not in vars(add_up):
            vars(add_up)["add_up"] = functools.partial(self.note, add_up.add_up)
        return add_up

    def note(self, add_up: Callable[..., None], *arguments: Any) -> None:
        """Call a function when all processes are there, and note the time."""
        started = time.perf_counter()
        self.mpi.Barrier()
        ready = time.perf_counter()
        add_up(*arguments)
        self.waiting += ready - started
        self.seconds += time.perf_counter() - ready


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


def measure_sum(communicator: Communicator, size: int, others: int) -> float:
    """Return the seconds of a sum of so many bytes.

    Before it, every process reads the last sum, writes its numbers anew, and so many bytes of others, which fill the
    caches as a step does.
    """
    numbers, other = np.ones(size // 4, np.float32), np.ones(others // 4, np.float32)
    add_up: Any = communicator.add_up
    if numbers.size >= LARGE:
        add_up = communicator.add_up_large(size, numbers.shape, numbers.dtype)
    shared = isinstance(add_up, SharedSum)
    found = []
    for _ in range(30):
        if shared:
            np.copyto(numbers, add_up.result)
        np.copyto(add_up.source if shared else numbers, 1.0)
        other += 1.0
        communicator.mpi.Barrier()
        started = time.perf_counter()
        add_up.add_up() if shared else add_up(numbers)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


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
        print(f"| workload | one, {size} threads | {size} processes | times as fast | waiting | adding up | model |")
        print("|---|---|---|---|---|---|---|")
    for workload in WORKLOADS:
        data = np.random.default_rng(1)
        samples = Samples(
            data.random((workload.rows, workload.sizes[0]), dtype=np.float32),
            np.eye(workload.sizes[-1], dtype=np.float32)[data.integers(workload.sizes[-1], size=workload.rows)],
        )
        steps = -(-workload.rows // workload.batch_size)
        epochs = 2 + 60 // steps  # the engine captures a step after 50
        predicted = workload.predict(communicator)
        timed = TimedCommunicator(communicator.mpi)
        alone, together, shares, waits = [], [], [], []
        for _ in range(rounds):
            if leads:
                alone.append(train(workload, samples, None, size, epochs))
            wait_for_first(communicator)
            together.append(train(workload, samples, communicator, 1, epochs))
            timed.waiting = timed.seconds = 0.0
            started = time.perf_counter()
            train(workload, samples, timed, 1, epochs)
            whole = time.perf_counter() - started
            shares.append(timed.seconds / whole)
            waits.append(timed.waiting / whole)
        if leads:
            one, several = statistics.median(alone), statistics.median(together)
            ratio = statistics.median(a / b for a, b in zip(alone, together, strict=True))
            share, wait = statistics.median(shares), statistics.median(waits)
            times = f"{1000 * one / steps:.3f} ms a step | {1000 * several / steps:.3f} ms | {ratio:.2f}"
            parts = " | ".join(f"{100 * part:.1f} %" for part in (wait, share, steps * predicted / several))
            print(f"| {workload} | {times} | {parts} |", flush=True)


if __name__ == "__main__":
    main()
