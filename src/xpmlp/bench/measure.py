"""Contenders timed in turn, so that whatever else the machine does in the meantime hits all of them alike."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .limits import epoch_operations, limit_seconds
from .measurement import Measurement, Point, describe_point, point_of
from .runner import Runner
from .settings import BenchSettings
from .timing import Timing
from .worker import Worker, WorkerError

# A turn of a few milliseconds would show how the process woke up, not how it trains.
SHORTEST_TURN, LONGEST_TURN = 0.2, 2.0  # seconds
MOST_EPOCHS_A_TURN = 100
# Seconds before a turn. The threads of a library spin on for a while after its last product, in case there is another;
# they would take a core from whoever is next, and always from the same one.
REST = 0.1


def measure_point(runner: Runner, settings: BenchSettings) -> Point:
    """Time every contender with these settings.

    Each makes its network and trains two epochs that do not count: in the first, libraries compile; by the second is
    seen how many epochs make a turn. Then all of them take turns, as often as there are rounds; who begins changes
    from round to round. Ctrl-C ends it with what there is.
    """
    return PointMeasuring(runner, settings).measure()


class PointMeasuring:
    """One point, as far as it is measured."""

    def __init__(self, runner: Runner, settings: BenchSettings) -> None:
        self.runner = runner
        self.settings = settings
        self.point = point_of(runner.workload, settings)
        self.found = {
            c.name: Measurement(c.name, c.ours, failure=runner.failures.get(c.name)) for c in runner.contenders
        }
        self.names = list(runner.workers)
        self.epochs = 1
        self.second: dict[str, float] = {}
        self.seconds: dict[str, list[float]] = {name: [] for name in self.names}
        self.walls: dict[str, list[float]] = {name: [] for name in self.names}
        self.reference: list[Any] = []

    def measure(self) -> Point:
        """Do all of it, or what Ctrl-C leaves time for."""
        interrupted = False
        where = describe_point(self.point)
        try:
            for name in self.names:
                self.runner.say(f"{where}: first epoch of {name}")
                self.attempt(name, self.prepare)
            self.epochs = epochs_in_a_turn(list(self.second.values()))
            for number in range(self.settings.rounds):
                self.runner.say(f"{where}: round {number + 1} of {self.settings.rounds}")
                first = number % max(len(self.names), 1)
                for name in self.names[first:] + self.names[:first]:
                    self.attempt(name, self.take_turn)
            self.find_reference()
            for name in self.names:
                self.attempt(name, self.judge)
        except KeyboardInterrupt:
            interrupted = True
        for name in self.names:
            if self.seconds[name]:
                timing = Timing(tuple(self.seconds[name]))
                overhead = None
                if len(self.walls[name]) == len(self.seconds[name]):
                    overhead = sum(self.walls[name]) / (self.epochs * sum(self.seconds[name])) - 1.0
                self.found[name] = replace(self.found[name], timing=timing, overhead=overhead)
        return replace(
            self.point,
            measurements=tuple(self.found.values()),
            interrupted=interrupted,
            epochs_a_turn=self.epochs,
        )

    def attempt(self, name: str, work: Callable[[Worker], dict[str, Any]]) -> None:
        """Do something with a worker; where it fails, that is what is known of it."""
        if self.found[name].failure is not None:
            return
        try:
            self.found[name] = replace(self.found[name], **work(self.runner.workers[name]))
        except WorkerError as error:
            self.found[name] = replace(self.found[name], failure=str(error))

    def prepare(self, worker: Worker) -> dict[str, Any]:
        """Have the network made, and trained for two epochs."""
        prepared = worker.ask("prepare", self.runner.folder, self.settings)
        first = worker.ask("epoch")
        self.second[worker.contender.name] = worker.ask("epoch")
        return {
            "start_seconds": worker.start_seconds,
            "prepare_seconds": prepared,
            "first_seconds": first,
            "description": worker.ask("describe"),
        }

    def take_turn(self, worker: Worker) -> dict[str, Any]:
        """Time as many epochs as make a turn."""
        name = worker.contender.name
        time.sleep(REST)
        started = time.perf_counter()
        seconds = worker.ask("epoch", self.epochs)
        self.walls[name].append(time.perf_counter() - started)
        self.seconds[name].append(seconds / self.epochs)
        return {}

    def find_reference(self) -> None:
        """Fetch the weights that all of our backends are to have: NumPy's, or those of the first of them."""
        ours = [c.name for c in self.runner.contenders if c.ours and self.found[c.name].failure is None]
        for name in sorted(ours, key=lambda name: not name.startswith("numpy")):
            try:
                self.reference = self.runner.workers[name].ask("weights")
            except WorkerError as error:
                self.found[name] = replace(self.found[name], failure=str(error))
            else:
                return

    def judge(self, worker: Worker) -> dict[str, Any]:
        """See what it learned, what memory it took, and what its limit would be."""
        judged = {"accuracy": worker.ask("accuracy"), "peak_bytes": worker.ask("peak_bytes")}
        if worker.contender.ours:
            judged["difference"] = largest_difference(worker.ask("weights"), self.reference)
            products_by = self.found[worker.contender.name].description.get("products by", "")
            ceilings = self.runner.ceilings_of(worker, self.settings.dtype, products_by)
            point = self.point
            operations = epoch_operations(point.sizes, point.rows, np.dtype(self.settings.dtype).itemsize)
            judged |= {
                "ceilings": ceilings,
                "limits": limit_seconds(operations, ceilings, self.settings.steps(point.rows)),
            }
        return judged


def epochs_in_a_turn(seconds: Sequence[float]) -> int:
    """Return how many epochs make a turn, the same for all, so that all train to the same weights.

    Parameters
    ----------
    seconds
        What an epoch of each contender took.
    """
    if not seconds:
        return 1
    wanted = math.ceil(SHORTEST_TURN / max(min(seconds), 1e-9))
    bearable = int(LONGEST_TURN / max(seconds))
    return max(1, min(wanted, bearable, MOST_EPOCHS_A_TURN))


def largest_difference(weights: Sequence[Any], expected: Sequence[Any]) -> float:
    """Return how far two networks are apart, as a part of the largest weight of each array."""
    return max(
        float(np.max(np.abs(array - other)) / max(float(np.max(np.abs(other))), 1e-12))
        for array, other in zip(weights, expected, strict=True)
    )
