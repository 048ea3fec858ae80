"""A process of its own for each contender: thread pools and memory of one do not disturb another's."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from .conditions import describe_loaded
from .contenders import Contender
from .process_memory import forget_peak, peak_bytes
from .settings import BenchSettings
from .workload import Workload

STARTS_AFRESH = multiprocessing.get_context("spawn")


class WorkerError(Exception):
    """What went wrong in a worker, in one line; `details` holds the traceback."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class Worker:
    """A contender in a process of its own, which does one thing at a time, when told to."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        started = time.perf_counter()
        self.connection, far_end = STARTS_AFRESH.Pipe()
        self.process = STARTS_AFRESH.Process(target=serve, args=(far_end, contender), daemon=True)
        with deaf_to_interrupts():
            self.process.start()
        far_end.close()
        try:
            self.ask("hello")
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - started

    def ask(self, question: str, *arguments: Any) -> Any:
        """Have it do something, and return what comes of it.

        Raises
        ------
        WorkerError
            Where it could not, or is no more.
        """
        try:
            self.connection.send((question, arguments))
            succeeded, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join(timeout=5)
            raise WorkerError(f"its process ended (exit code {self.process.exitcode})") from error
        if not succeeded:
            raise WorkerError(*answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C; a process that is started meanwhile ignores it from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may decide that
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def share_gpus() -> None:
    """Keep JAX from taking most of a GPU's memory at its first use, where other processes are to use it too."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def serve(connection: Connection, contender: Contender) -> None:
    """Do what is asked for until nobody asks any more."""
    # Ctrl-C is for the process that asks: it ends this one, by hanging up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    share_gpus()
    bench = ServingBench(contender)
    while True:
        try:
            question, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, getattr(bench, question)(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever a library does, the others are still of interest
            lines = str(error).strip().splitlines()
            answer = (False, (f"{type(error).__name__}: {lines[0] if lines else ''}", traceback.format_exc()))
        try:
            connection.send(answer)
        except OSError:
            return


class ServingBench:
    """What a worker can be asked for."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.trainer: Any = None
        self.workload: Workload | None = None

    def hello(self) -> None:
        """Say that the process is there."""

    def prepare(self, folder: Path, settings: BenchSettings) -> float:
        """Load the workload and make the trainer; return the seconds that the second took."""
        self.trainer = self.workload = None  # their memory first
        self.workload = Workload.load(folder).take(settings.rows)
        forget_peak()  # which was that of reading all rows, where only some are taken
        started = time.perf_counter()
        self.trainer = self.contender.make(self.workload, settings)
        return time.perf_counter() - started

    def epoch(self, count: int = 1) -> float:
        """Train for an epoch, or so many of them; return the seconds that it took."""
        started = time.perf_counter()
        for _ in range(count):
            self.trainer.epoch()
        return time.perf_counter() - started

    def accuracy(self) -> float:
        """Return the part of the test rows that are now answered right."""
        assert self.workload is not None
        return float(np.mean(self.trainer.predict(self.workload.test_x) == self.workload.test_labels))

    def weights(self) -> list[Any]:
        """Return the weights, on the host."""
        return list(self.trainer.weights())

    def ceilings(self) -> dict[str, float]:
        """Return what the library and the device can do at most."""
        return asdict(self.trainer.ceilings())

    def describe(self) -> dict[str, str]:
        """Return what a record should say of the library, its version, and the device."""
        describe = getattr(self.trainer, "describe", None)
        return {"versions": describe_loaded()} | ({} if describe is None else dict(describe()))

    def peak_bytes(self) -> int | None:
        """Return the most memory that the process has held since `prepare`; None where the system does not tell."""
        return peak_bytes()
