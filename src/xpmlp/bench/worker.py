"""One process per candidate, so that thread pools and memory of different libraries do not interfere."""

import contextlib
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from .candidates import Candidate
from .settings import BenchSettings
from .workload import Workload

SPAWN = multiprocessing.get_context("spawn")
LIBRARIES = ("numpy", "scipy", "sklearn", "torch", "jax", "jaxlib", "keras", "thinc", "cupy")


class WorkerError(Exception):
    """An error in a worker, in one line; `details` holds the traceback."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class Worker:
    """A process that trains one candidate, and executes one request at a time."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        started = time.perf_counter()
        self.connection, far_end = SPAWN.Pipe()
        self.process = SPAWN.Process(target=serve, args=(far_end, candidate), daemon=True)
        with ignoring_interrupts():
            self.process.start()
        far_end.close()
        try:
            self.request("hello")
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - started

    def request(self, name: str, *arguments: Any) -> Any:
        """Call a method of `Session` in the process and return its result.

        Raises
        ------
        WorkerError
            If the method raises, or the process has ended.
        """
        try:
            self.connection.send((name, arguments))
            succeeded, result = self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join(timeout=5)
            raise WorkerError(f"its process ended (exit code {self.process.exitcode})") from error
        if not succeeded:
            raise WorkerError(*result)
        return result

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C; a process started in this context ignores it from the start."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def share_gpus() -> None:
    """Keep JAX from allocating most of a GPU's memory, which other processes need too."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def serve(connection: Connection, candidate: Candidate) -> None:
    """Answer requests until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which closes the connection
    share_gpus()
    session = Session(candidate)
    while True:
        try:
            name, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, getattr(session, name)(*arguments))
        except Exception as error:  # noqa: BLE001 - one candidate's failure must not end the benchmark
            lines = str(error).strip().splitlines()
            answer = (False, (f"{type(error).__name__}: {lines[0] if lines else ''}", traceback.format_exc()))
        try:
            connection.send(answer)
        except OSError:
            return


class Session:
    """The requests that a worker answers."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.trainer: Any = None
        self.workload: Workload | None = None

    def hello(self) -> None:
        """Confirm that the process runs."""

    def prepare(self, data: Path, settings: BenchSettings) -> float:
        """Load the workload and create the trainer; return the seconds that the latter took."""
        self.trainer = self.workload = None  # free their memory first
        self.workload = Workload.load(data).take(settings.rows)
        reset_peak()  # after loading, which reads all rows
        started = time.perf_counter()
        self.trainer = self.candidate.make_trainer(self.workload, settings)
        return time.perf_counter() - started

    def train(self, epochs: int = 1) -> float:
        """Train; return the seconds it took."""
        started = time.perf_counter()
        for _ in range(epochs):
            self.trainer.train_epoch()
        return time.perf_counter() - started

    def accuracy(self) -> float:
        """Return the accuracy on the test rows."""
        assert self.workload is not None
        return float(np.mean(self.trainer.predict(self.workload.test_x) == self.workload.test_labels))

    def weights(self) -> list[Any]:
        """Return the weights, on the host."""
        return list(self.trainer.weights())

    def describe(self) -> dict[str, str]:
        """Return versions, library and device."""
        describe = getattr(self.trainer, "describe", dict)
        return {"versions": describe_loaded(), **describe()}

    def peak_bytes(self) -> int | None:
        """Return the peak memory since `prepare`."""
        return peak_bytes()


def describe_loaded() -> str:
    """Return the array libraries that this process has loaded, with their versions."""
    versions = {name: sys.modules[name].__version__ for name in LIBRARIES if name in sys.modules}
    return ", ".join(f"{'scikit-learn' if name == 'sklearn' else name} {found}" for name, found in versions.items())


def reset_peak() -> None:
    """Restart the measurement of peak memory; on Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # 5: the peak alone


def peak_bytes() -> int | None:
    """Return this process's peak memory since `reset_peak`; None if the system does not report it."""
    # Not getrusage on Linux: a process inherits its parent's peak there.
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if platform.system() != "Darwin":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
