"""Time all candidates in turn, so that other load on the machine affects them alike."""

import contextlib
import itertools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from xpmlp.datasets.memory import available_memory
from xpmlp.environment import describe_machine, describe_versions
from xpmlp.errors import SettingsError
from xpmlp.training.errors import COPIES_OF_NETWORK, COPIES_OF_OUTPUTS

from .candidates import Candidate
from .results import Case, Measurement, Results, Timing
from .settings import BenchSettings, Sweep
from .worker import Worker, WorkerError
from .workload import Workload

# Seconds per timing: long enough that waking up the process does not count, short enough to wait for.
MIN_SECONDS, MAX_SECONDS = 0.2, 2.0
MAX_EPOCHS = 100  # per timing
# Seconds before each timing: BLAS threads spin for a while after their last product, and would slow the next candidate.
REST = 0.1
COPIES_OF_DATA = 2  # as loaded, and as the library stores them

Progress = Callable[[str], None]


def run_benchmark(
    candidates: Sequence[Candidate],
    workload: Workload,
    settings: BenchSettings,
    sweep: Sweep | None = None,
    *,
    progress: Progress = lambda line: None,
    warn: Progress | None = None,
) -> Results:
    """Time all candidates in one case, or in one for each value of a sweep.

    A case that does not fit into memory is skipped. Ctrl-C ends the benchmark and keeps what was measured.

    Parameters
    ----------
    progress
        Called with a line on each stage.
    warn
        Called with a line for each case that is skipped, before any is measured; by default `progress`.

    Raises
    ------
    SettingsError
        If the depth is swept and there is no hidden layer.
    """
    if sweep is not None and sweep.name == "depth" and not settings.hidden_layer_sizes:
        raise SettingsError("--sweep depth: there is no hidden layer to repeat. Give --hidden a size.")
    machine = describe_machine() | {"conditions": describe_conditions()}  # before the benchmark loads the machine
    variants = [settings] if sweep is None else [sweep.apply(settings, value) for value in sweep.values]
    cases = [make_case(workload, variant) for variant in variants]
    cases = [replace(case, skipped=find_shortage(case, len(candidates))) for case in cases]
    for case in cases:
        if case.skipped is not None:
            (warn or progress)(f"will not be measured: {case.skipped}")
    measured: list[Case] = []
    with contextlib.suppress(KeyboardInterrupt), start_workers(candidates, workload, progress) as pool:
        for case in cases:
            measured.append(case if case.skipped is not None else measure_case(pool, case))
            if measured[-1].interrupted:
                break
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Results(tuple(measured), None if sweep is None else sweep.name, machine, describe_versions(), date)


def describe_conditions() -> dict[str, Any]:
    """Return the requested numbers of threads, the clock's resolution, and the load on the machine."""
    clock = time.get_clock_info("perf_counter")
    return {
        "threads": {name: value for name, value in sorted(os.environ.items()) if name.endswith("_NUM_THREADS")},
        "clock": {"implementation": clock.implementation, "resolution": clock.resolution},
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def make_case(workload: Workload, settings: BenchSettings) -> Case:
    """Return a case that is yet to be measured."""
    rows = len(workload.x) if settings.rows is None else settings.rows
    return Case(settings, workload.name, rows, (workload.x.shape[1], *settings.hidden_layer_sizes, workload.classes))


def find_shortage(case: Case, candidates: int) -> str | None:
    """Return the memory that a case needs, roughly, and that is free, if the latter is less."""
    sizes = case.sizes
    data = case.rows * (sizes[0] + sizes[-1])
    network = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    batch = min(case.settings.batch_size, case.rows) * (sizes[0] + COPIES_OF_OUTPUTS * sum(sizes[1:]))
    values = candidates * (COPIES_OF_DATA * data + COPIES_OF_NETWORK * network + batch)
    needed, free = values * np.dtype(case.settings.dtype).itemsize, available_memory()
    if free is None or needed <= free:
        return None
    return f"{case}: needs about {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} are free"


class WorkerPool(NamedTuple):
    """The worker of each candidate, or the error with which it failed to start."""

    candidates: Sequence[Candidate]
    workers: dict[str, Worker]
    failures: dict[str, str]
    data: Path  # the saved workload
    progress: Progress


@contextlib.contextmanager
def start_workers(candidates: Sequence[Candidate], workload: Workload, progress: Progress) -> Iterator[WorkerPool]:
    """Start a worker for each candidate; end them when the context is left, however that happens."""
    with contextlib.ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xpmlp-bench-"))) / "workload.npz"
        workload.save(data)
        pool = WorkerPool(candidates, {}, {}, data, progress)
        for candidate in candidates:
            progress(f"starting {candidate.name}")
            try:
                worker = Worker(candidate)
            except WorkerError as error:
                pool.failures[candidate.name] = str(error)
            else:
                stack.callback(worker.close)
                pool.workers[candidate.name] = worker
        yield pool


def measure_case(pool: WorkerPool, case: Case) -> Case:
    """Time every candidate in one case.

    Each candidate builds its network and trains two warm-up epochs: libraries compile in the first, and the second
    determines how many epochs a timing needs. Then each is timed once per round; the order rotates between rounds.
    Ctrl-C keeps the rounds that were completed.
    """
    return CaseMeasurement(pool, case).run()


class CaseMeasurement:
    """The measurement of one case while it is under way."""

    def __init__(self, pool: WorkerPool, case: Case) -> None:
        self.pool = pool
        self.case = case
        self.found = {c.name: Measurement(c.name, c.ours, failure=pool.failures.get(c.name)) for c in pool.candidates}
        self.warm_epochs: list[float] = []
        self.epochs = 1
        self.seconds: dict[str, list[float]] = {name: [] for name in self.found}
        self.reference: list[Any] | None = None

    def run(self) -> Case:
        """Measure all, until done or interrupted."""
        names = list(self.pool.workers)
        rounds = self.case.settings.rounds
        interrupted = False
        try:
            self.for_each(names, self.warm_up)
            self.epochs = epochs_per_timing(self.warm_epochs)
            for number in range(rounds):
                self.pool.progress(f"{self.case}: round {number + 1} of {rounds}")
                first = number % max(len(names), 1)
                self.for_each(names[first:] + names[:first], self.time_epochs)
            self.for_each(sorted(names, key=lambda name: not name.startswith("numpy")), self.check)
        except KeyboardInterrupt:
            interrupted = True
        measurements = tuple(
            replace(measurement, timing=Timing(tuple(self.seconds[name])) if self.seconds[name] else None)
            for name, measurement in self.found.items()
        )
        return replace(self.case, measurements=measurements, interrupted=interrupted, epochs_per_timing=self.epochs)

    def for_each(self, names: Sequence[str], work: Callable[[Worker], dict[str, Any]]) -> None:
        """Do the same with each worker that has not failed yet; add the results, or the failure, to what is known."""
        for name in names:
            if self.found[name].failure is None:
                try:
                    self.found[name] = replace(self.found[name], **work(self.pool.workers[name]))
                except WorkerError as error:
                    self.found[name] = replace(self.found[name], failure=str(error))

    def warm_up(self, worker: Worker) -> dict[str, Any]:
        """Build the network and train two epochs."""
        self.pool.progress(f"{self.case}: first epoch of {worker.candidate.name}")
        prepare_seconds = worker.request("prepare", self.pool.data, self.case.settings)
        first_seconds = worker.request("train")
        self.warm_epochs.append(worker.request("train"))
        return {
            "start_seconds": worker.start_seconds,
            "prepare_seconds": prepare_seconds,
            "first_seconds": first_seconds,
            "description": worker.request("describe"),
        }

    def time_epochs(self, worker: Worker) -> dict[str, Any]:
        """Add one timing."""
        time.sleep(REST)
        self.seconds[worker.candidate.name].append(worker.request("train", self.epochs) / self.epochs)
        return {}

    def check(self, worker: Worker) -> dict[str, Any]:
        """Return accuracy, memory, and for our backends the difference from the first one's weights: NumPy's."""
        found = {"accuracy": worker.request("accuracy"), "peak_bytes": worker.request("peak_bytes")}
        if worker.candidate.ours:
            weights = worker.request("weights")
            self.reference = self.reference or weights
            found["difference"] = largest_difference(weights, self.reference)
        return found


def epochs_per_timing(seconds: Sequence[float]) -> int:
    """Return how many epochs to time at once, the same for all candidates, given the seconds of one epoch of each."""
    if not seconds:
        return 1
    wanted = math.ceil(MIN_SECONDS / max(min(seconds), 1e-9))
    return max(1, min(wanted, int(MAX_SECONDS / max(seconds)), MAX_EPOCHS))


def largest_difference(weights: Sequence[Any], expected: Sequence[Any]) -> float:
    """Return the largest difference between two networks' weights, relative to the largest weight of each array."""
    return max(
        float(np.max(np.abs(array - other)) / max(float(np.max(np.abs(other))), 1e-12))
        for array, other in zip(weights, expected, strict=True)
    )
