"""Contenders timed in turn, so that whatever else the machine does in the meantime hits all of them alike."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .contenders import Contender
from .limits import Ceilings, Limits, epoch_operations, limit_seconds
from .settings import BenchSettings
from .timing import Timing
from .worker import Worker, WorkerError
from .workload import Workload

# Of the largest weight of an array, after all epochs: what is left of float32 and float64 after thousands of steps.
SAME_WEIGHTS = {"float32": 2e-2, "float64": 1e-6}


@dataclass(frozen=True)
class Measurement:
    """How one contender did.

    Attributes
    ----------
    timing
        Of its epochs after the first; None where it failed.
    start_seconds, prepare_seconds, first_seconds
        What comes before: starting the process with its imports, building the network and moving the data, and the
        first epoch, in which libraries compile and record.
    overhead
        What the harness added to an epoch, as a part of it.
    accuracy
        On the test rows, after all epochs.
    difference
        From NumPy's weights after all epochs, as a part of the largest weight of each array; None for others' networks.
    limits
        Seconds that an epoch takes at least; None where that was not measured.
    peak_bytes
        The most memory that its process has held.
    failure
        What went wrong, in a line; None where nothing did.
    """

    name: str
    ours: bool = False
    timing: Timing | None = None
    start_seconds: float | None = None
    prepare_seconds: float | None = None
    first_seconds: float | None = None
    overhead: float | None = None
    accuracy: float | None = None
    difference: float | None = None
    ceilings: Ceilings | None = None
    limits: Limits | None = None
    peak_bytes: int | None = None
    description: dict[str, str] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True)
class Point:
    """All contenders with the same settings.

    Attributes
    ----------
    sizes
        Of the network's layers, inputs and outputs included.
    skipped
        Why it was not measured at all; None where it was.
    interrupted
        Whether Ctrl-C ended it before all rounds were over.
    """

    settings: BenchSettings
    workload: str
    rows: int
    sizes: tuple[int, ...]
    measurements: tuple[Measurement, ...] = ()
    skipped: str | None = None
    interrupted: bool = False

    @property
    def timed(self) -> list[Measurement]:
        """Those that have timings."""
        return [measurement for measurement in self.measurements if measurement.timing is not None]

    def find(self, name: str) -> Measurement | None:
        """Return the measurement of a contender that has timings."""
        return next((measurement for measurement in self.timed if measurement.name == name), None)


class Runner:
    """The workers of a benchmark, started once and used for each point.

    Parameters
    ----------
    say
        Called with a line on what is going on.
    """

    def __init__(self, contenders: Sequence[Contender], workload: Workload, say: Callable[[str], None]) -> None:
        self.workload = workload
        self.say = say
        self.workers: dict[str, Worker] = {}
        self.failures: dict[str, str] = {}
        self.contenders = contenders
        self.stack = contextlib.ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="xpmlp-bench-")))
        workload.save(self.folder)

    def __enter__(self) -> "Runner":
        for contender in self.contenders:
            self.say(f"starting {contender.name}")
            try:
                worker = Worker(contender)
            except WorkerError as error:
                self.failures[contender.name] = str(error)
            else:
                self.workers[contender.name] = worker
                self.stack.callback(worker.close)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()


def measure_point(runner: Runner, settings: BenchSettings, *, with_limits: bool = True) -> Point:
    """Time every contender with these settings.

    Each makes its network and trains one epoch that does not count. Then all of them train an epoch in turn, as often
    as there are rounds; who begins changes from round to round. Ctrl-C ends it with what there is.
    """
    rows = len(runner.workload.x) if settings.rows is None else settings.rows
    sizes = (runner.workload.x.shape[1], *settings.hidden_layer_sizes, runner.workload.classes)
    point = Point(settings, runner.workload.name, rows, sizes)
    found = {c.name: Measurement(c.name, c.ours, failure=runner.failures.get(c.name)) for c in runner.contenders}
    seconds: dict[str, list[float]] = {name: [] for name in runner.workers}
    walls: dict[str, list[float]] = {name: [] for name in runner.workers}

    def attempt(name: str, work: Callable[[Worker], dict[str, Any]]) -> None:
        """Do something with a worker; where it fails, that is what is known of it."""
        if found[name].failure is not None:
            return
        try:
            found[name] = replace(found[name], **work(runner.workers[name]))
        except WorkerError as error:
            found[name] = replace(found[name], failure=str(error))

    def prepare(worker: Worker) -> dict[str, Any]:
        prepared = worker.ask("prepare", runner.folder, settings)
        return {
            "start_seconds": worker.start_seconds,
            "prepare_seconds": prepared,
            "first_seconds": worker.ask("epoch"),
            "description": worker.ask("describe"),
        }

    def time_epoch(worker: Worker) -> dict[str, Any]:
        name = worker.contender.name
        started = time.perf_counter()
        seconds[name].append(worker.ask("epoch"))
        walls[name].append(time.perf_counter() - started)
        return {}

    def judge(worker: Worker) -> dict[str, Any]:
        name = worker.contender.name
        judged = {"accuracy": worker.ask("accuracy"), "peak_bytes": worker.ask("peak_bytes")}
        if worker.contender.ours:
            judged["difference"] = largest_difference(worker.ask("weights"), reference)
        if with_limits and worker.contender.ours:
            runner.say(f"the limits of {name}")
            ceilings = Ceilings(**worker.ask("ceilings"))
            operations = epoch_operations(sizes, rows, np.dtype(settings.dtype).itemsize)
            judged |= {"ceilings": ceilings, "limits": limit_seconds(operations, ceilings, settings.steps(rows))}
        return judged

    names = list(runner.workers)
    interrupted = False
    try:
        for name in names:
            runner.say(f"{describe_point(point)}: first epoch of {name}")
            attempt(name, prepare)
        for number in range(settings.rounds):
            runner.say(f"{describe_point(point)}: round {number + 1} of {settings.rounds}")
            for name in names[number % len(names) :] + names[: number % len(names)]:
                attempt(name, time_epoch)
        ours = [name for name in names if runner.workers[name].contender.ours and found[name].failure is None]
        first = "numpy" if "numpy" in ours else next(iter(ours), None)
        reference = [] if first is None else runner.workers[first].ask("weights")
        for name in names:
            attempt(name, judge)
    except KeyboardInterrupt:
        interrupted = True
    for name in names:
        if seconds[name]:
            found[name] = replace(
                found[name],
                timing=Timing(tuple(seconds[name])),
                overhead=sum(walls[name]) / sum(seconds[name]) - 1.0 if walls[name] else None,
            )
    return replace(point, measurements=tuple(found.values()), interrupted=interrupted)


def describe_point(point: Point) -> str:
    """Return a point's settings in a few words."""
    return f"{'-'.join(map(str, point.sizes))}, batch {point.settings.batch_size}, {point.rows:,} rows"


def largest_difference(weights: Sequence[Any], expected: Sequence[Any]) -> float:
    """Return how far two networks are apart, as a part of the largest weight of each array."""
    return max(
        float(np.max(np.abs(array - other)) / max(float(np.max(np.abs(other))), 1e-12))
        for array, other in zip(weights, expected, strict=True)
    )


def trains_alike(measurement: Measurement, dtype: str) -> bool:
    """Tell whether a backend ended with NumPy's weights, as far as its dtype goes; NaN does not."""
    return measurement.difference is None or measurement.difference <= SAME_WEIGHTS[dtype]
