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
from typing import Any

import numpy as np
from msgspec.structs import replace

from xpmlp.datasets.memory import available_memory
from xpmlp.environment import describe_machine, describe_versions
from xpmlp.nn.step import COPIES_OF_NETWORK, COPIES_OF_OUTPUTS

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

    A case that does not fit into memory is skipped. Ctrl-C ends the benchmark and keeps what was measured. `progress`
    is called with a line on each stage, and `warn`, by default the same, with a line for each case that is skipped,
    before any is measured.
    """
    machine = describe_machine() | {"conditions": describe_conditions()}  # before the benchmark loads the machine
    variants = [settings] if sweep is None else sweep.apply(settings)
    cases = [plan_case(workload, variant, len(candidates)) for variant in variants]
    for case in cases:
        if case.skipped is not None:
            (warn or progress)(f"will not be measured: {case.skipped}")
    measured: list[Case] = []
    with contextlib.suppress(KeyboardInterrupt), start_workers(candidates, workload, progress) as (workers, data):
        for case in cases:
            measured.append(case if case.skipped else measure_case(case, candidates, workers, data, progress))
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


def plan_case(workload: Workload, settings: BenchSettings, candidates: int) -> Case:
    """Return a case that is yet to be measured, or is skipped because it needs more memory, roughly, than is free."""
    rows = len(workload.x) if settings.rows is None else settings.rows
    sizes = (workload.x.shape[1], *settings.hidden_layer_sizes, workload.classes)
    case = Case(settings, workload.name, rows, sizes)
    network = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    batch = min(settings.batch_size, rows) * (sizes[0] + COPIES_OF_OUTPUTS * sum(sizes[1:]))
    values = candidates * (COPIES_OF_DATA * rows * (sizes[0] + sizes[-1]) + COPIES_OF_NETWORK * network + batch)
    needed, free = values * np.dtype(settings.dtype).itemsize, available_memory()
    if free is None or needed <= free:
        return case
    shortage = f"{case}: needs about {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} are free"
    return replace(case, skipped=shortage)


@contextlib.contextmanager
def start_workers(
    candidates: Sequence[Candidate], workload: Workload, progress: Progress
) -> Iterator[tuple[dict[str, Worker | WorkerError], Path]]:
    """Start a worker for each candidate; end them when the context is left, however that happens.

    The context is each candidate's worker, or the error with which it failed to start, and the saved workload.
    """
    with contextlib.ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xpmlp-bench-"))) / "workload.npz"
        workload.save(data)
        workers: dict[str, Worker | WorkerError] = {}
        for candidate in candidates:
            progress(f"starting {candidate.name}")
            try:
                workers[candidate.name] = stack.enter_context(contextlib.closing(Worker(candidate)))
            except WorkerError as error:
                workers[candidate.name] = error
        yield workers, data


def measure_case(
    case: Case,
    candidates: Sequence[Candidate],
    workers: dict[str, Worker | WorkerError],
    data: Path,
    progress: Progress,
) -> Case:
    """Time every candidate in one case.

    Each builds its network and trains two warm-up epochs: libraries compile in the first, and the second determines
    how many epochs a timing needs. Then each is timed once per round; the order rotates between rounds. Ctrl-C keeps
    the rounds that were completed.
    """
    found = {candidate.name: Measurement(candidate.name, candidate.ours) for candidate in candidates}
    second_epochs: list[float] = []
    reference: list[Any] = []
    epochs, interrupted = 1, False

    def warm_up(name: str, worker: Worker) -> dict[str, Any]:
        progress(f"{case}: first epoch of {name}")
        prepare_seconds, first_seconds = worker.request("prepare", data, case.settings), worker.request("train")
        second_epochs.append(worker.request("train"))
        return {
            "start_seconds": worker.start_seconds,
            "prepare_seconds": prepare_seconds,
            "first_seconds": first_seconds,
            "description": worker.request("describe"),
        }

    def time_epochs(name: str, worker: Worker) -> dict[str, Any]:
        time.sleep(REST)
        earlier = found[name].timing
        seconds = worker.request("train", epochs) / epochs
        return {"timing": Timing((*(earlier.seconds if earlier else ()), seconds))}

    def check(name: str, worker: Worker) -> dict[str, Any]:
        values = {"accuracy": worker.request("accuracy"), "peak_bytes": worker.request("peak_bytes")}
        if worker.candidate.ours:
            weights = worker.request("weights")
            reference[:] = reference or weights
            values["difference"] = largest_difference(weights, reference)
        return values

    def for_each(names: Sequence[str], work: Callable[[str, Worker], dict[str, Any]]) -> None:
        for name in names:
            worker = workers[name]
            if found[name].failure is None:
                try:
                    if isinstance(worker, WorkerError):
                        raise worker
                    changes = work(name, worker)
                except WorkerError as error:
                    changes = {"failure": str(error)}
                found[name] = replace(found[name], **changes)

    try:
        names = list(found)
        for_each(names, warm_up)
        names = [name for name in names if found[name].failure is None]
        epochs = epochs_per_timing(second_epochs)
        for number in range(case.settings.rounds):
            progress(f"{case}: round {number + 1} of {case.settings.rounds}")
            first = number % max(len(names), 1)
            for_each(names[first:] + names[:first], time_epochs)
        for_each(sorted(names, key=lambda name: not name.startswith("numpy")), check)  # all are compared with NumPy
    except KeyboardInterrupt:
        interrupted = True
    measurements = tuple(found.values())
    return replace(case, measurements=measurements, interrupted=interrupted, epochs_per_timing=epochs)


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
