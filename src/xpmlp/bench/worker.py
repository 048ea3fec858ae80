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
    """An error in a worker, in one line; its notes hold the traceback."""


class Worker:
    """A process that trains one candidate, and executes one request at a time."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        started = time.perf_counter()
        self.connection, far_end = SPAWN.Pipe()
        self.process = SPAWN.Process(target=serve, args=(far_end, candidate), daemon=True)
        # The process inherits that Ctrl-C is ignored. Only the main thread may set signal handlers.
        is_main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None
        try:
            self.process.start()
        finally:
            if is_main:
                signal.signal(signal.SIGINT, before)
        far_end.close()
        try:
            self.receive()
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - started

    def request(self, name: str, *arguments: Any) -> Any:
        """Call a method of `Session` in the process and return its result; its error or end is a `WorkerError`."""
        with contextlib.suppress(OSError):  # the process has ended, as `receive` finds
            self.connection.send((name, arguments))
        return self.receive()

    def receive(self) -> Any:
        """Return the process's next answer, or raise its error."""
        try:
            error, result = self.connection.recv()
        except (EOFError, OSError) as ended:
            self.process.join(timeout=5)
            raise WorkerError(f"its process ended (exit code {self.process.exitcode})") from ended
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def share_gpus() -> None:
    """Keep JAX from allocating most of a GPU's memory, which other processes need too."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def serve(connection: Connection, candidate: Candidate) -> None:
    """Answer requests until the connection closes, which it does when Ctrl-C ends the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    share_gpus()
    session = Session(candidate)
    with contextlib.suppress(EOFError, OSError):
        connection.send((None, None))  # the process runs
        while True:
            connection.send(session.answer(*connection.recv()))


class Session:
    """The requests that a worker answers."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.trainer: Any = None
        self.workload: Workload | None = None

    def answer(self, name: str, arguments: tuple[Any, ...]) -> tuple[WorkerError | None, Any]:
        """Call a method; return the error, if any, and the result."""
        try:
            return None, getattr(self, name)(*arguments)
        except Exception as error:  # noqa: BLE001 - one candidate's failure must not end the benchmark
            lines = str(error).strip().splitlines()
            failure = WorkerError(f"{type(error).__name__}: {lines[0] if lines else ''}")
            failure.add_note(traceback.format_exc())
            return failure, None

    def prepare(self, data: Path, settings: BenchSettings) -> float:
        """Load the workload and create the trainer; return the seconds that the latter took."""
        self.trainer = self.workload = None  # free their memory first
        self.workload = Workload.load(data).take(settings.rows)
        with contextlib.suppress(OSError):  # Linux alone can restart the measurement of peak memory; 5: that alone
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
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
        """Return the array libraries that this process has loaded with their versions, and the trainer's own words."""
        versions = {name: sys.modules[name].__version__ for name in LIBRARIES if name in sys.modules}
        names = {"sklearn": "scikit-learn"}
        loaded = ", ".join(f"{names.get(name, name)} {version}" for name, version in versions.items())
        return {"versions": loaded, **getattr(self.trainer, "describe", dict)()}

    def peak_bytes(self) -> int | None:
        """Return the process's peak memory since `prepare`; None if the system does not report it."""
        # Not getrusage on Linux: a process inherits its parent's peak there.
        with contextlib.suppress(OSError, ValueError):
            for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        if platform.system() != "Darwin":
            return None
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
