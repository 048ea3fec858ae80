"""How many threads matrix products run in: no more than this process may use, and one where other work is in the way.

The number decides how the sums of a product are split and so the last bits of the result, as soon as the inner axis is
longer than a block of OpenBLAS (384 numbers in float32). A run therefore takes one number at its start, and keeps it.
"""

import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any

from threadpoolctl import ThreadpoolController

from xpmlp.errors import SettingsError

logger = logging.getLogger(__name__)

TRIAL_SECONDS = 0.02
TRIAL_LASTS = 10.0  # seconds for which the next runs take what it found: partial_fit is a run for each batch
PRODUCTS_IN_A_ROW = 4
FEWEST_TRIALS = 3 * PRODUCTS_IN_A_ROW


class BlasThreads:
    """The BLAS libraries of this process (NumPy's, SciPy's), whose number of threads is one for all Python threads.

    Several Python threads may hold the same number at once. One that needs another number waits, first come, first
    served, so that no training changes the results of another; when nobody holds a number, it is as it was before.
    """

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiting: deque[object] = deque()
        self.holders = 0
        self.threads = 0  # that the holders have
        self.before: list[tuple[Any, int]] = []  # each library, and the threads that it had before the first holder
        self.mine = threading.local()

    @cached_property
    def libraries(self) -> list[Any]:
        """The libraries, looked for once."""
        return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]

    def available(self) -> int:
        """Return the threads that this process may use: its cores or its container's quota, or fewer if set so."""
        with self.condition:
            counts = [n for _, n in self.before] if self.holders else [lib.num_threads for lib in self.libraries]
        return min([*counts, count_cores()]) if max(counts, default=1) > 1 else 1

    @contextmanager
    def limit(self, threads: int) -> Iterator[None]:
        """Run matrix products in exactly so many threads. Nested limits: the inner one counts."""
        outer = getattr(self.mine, "threads", None)
        if outer == threads:
            yield
            return
        self.exchange(threads)
        try:
            yield
        finally:
            self.exchange(outer)

    def exchange(self, threads: int | None) -> None:
        """Release the number that this Python thread holds, and hold another; None for none.

        A thread never holds one number while it waits for another, so two cannot wait for each other.
        """
        with self.condition:
            if getattr(self.mine, "threads", None) is not None:
                self.mine.threads = None
                self.holders -= 1
                if self.holders == 0:
                    for library, number in self.before:
                        library.set_num_threads(number)
                self.condition.notify_all()
            if threads is None:
                return
            ticket = object()
            self.waiting.append(ticket)
            try:
                self.condition.wait_for(
                    lambda: self.waiting[0] is ticket and (self.holders == 0 or self.threads == threads)
                )
                if self.holders == 0:
                    self.before = [(library, library.num_threads) for library in self.libraries]
                    for library in self.libraries:
                        library.set_num_threads(threads)
                self.threads = self.mine.threads = threads
                self.holders += 1
            finally:
                self.waiting.remove(ticket)
                self.condition.notify_all()


BLAS = BlasThreads()
limit_threads = BLAS.limit
available_threads = BLAS.available


def count_cores() -> int:
    """Return the cores that this process may use, by its affinity and its container's quota."""
    import joblib  # takes as long to import as NumPy, and small networks do without

    return int(joblib.cpu_count())


class Runs:
    """The runs under way in this process, and the number of threads that a trial has found for them.

    Attributes
    ----------
    found, found_at
        The number that the last trial found, and when; None before the first.
    current
        The number of the run that this Python thread is in; None outside.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.found: int | None = None
        self.found_at = 0.0
        self.current: ContextVar[int | None] = ContextVar("threads", default=None)

    @contextmanager
    def begin(self, threads: int | None, multiply: Callable[[], object], most: int) -> Iterator[int]:
        """Decide the number of threads for a run: the given one or that of the context, else what a trial finds.

        A run that begins while others are under way makes no trial, for it would find its own process busy; nor does
        one that begins a few seconds after a trial. They take what was found.

        Parameters
        ----------
        multiply
            Computes a product of the run's size.
        most
            Threads that may be used.
        """
        threads = check_threads(threads) or self.current.get()
        with self.lock:
            if threads is None and most > 1:
                now = time.monotonic()
                if self.count == 0 and (self.found is None or now - self.found_at > TRIAL_LASTS):
                    self.found, self.found_at = choose_threads(multiply, most), now
                threads = min(self.found or most, most)
            threads = threads or 1
            self.count += 1
        try:
            with self.use(threads):
                yield threads
        finally:
            with self.lock:
                self.count -= 1

    @contextmanager
    def use(self, threads: int | None) -> Iterator[None]:
        """Use so many threads for large matrix products within this context, runs or not; None for the default."""
        token = self.current.set(check_threads(threads))
        try:
            yield
        finally:
            self.current.reset(token)


RUNS = Runs()
use_threads = RUNS.use


def threads_in_use() -> int:
    """Return the number of threads of the run that this Python thread is in; outside of runs those available."""
    return RUNS.current.get() or available_threads()


def check_threads(threads: int | None) -> int | None:
    """Refuse a number of threads below 1."""
    if threads is not None and threads < 1:
        raise SettingsError(f"threads: {threads} is too few; at least 1 is needed.")
    return threads


def choose_threads(multiply: Callable[[], object], most: int) -> int:
    """Return the most threads that compute a product faster than one thread does: all, half of them, …, one.

    Several threads wait for each other: if other work takes one's core away for a moment, all stand still, and a
    product can take a hundred times as long.
    """
    threads, slowest = most, 0.0
    while threads > 1 and (ratio := compare_threads(multiply, threads)) >= 1.0:
        slowest = slowest or ratio
        threads //= 2
    if threads < most:
        logger.info(
            "matrix products run in %s: %d took %.1f times as long as one, as they do on a busy machine "
            "(--threads %d to insist)",
            describe_threads(threads),
            most,
            slowest,
            most,
        )
    return threads


def compare_threads(multiply: Callable[[], object], threads: int) -> float:
    """Return the time of a product in so many threads, as a ratio to its time in one thread."""
    one: list[float] = []
    several: list[float] = []
    for number in (1, threads):  # their first product takes memory
        with limit_threads(number):
            multiply()
    began = time.perf_counter()
    while len(one) < FEWEST_TRIALS or time.perf_counter() - began < TRIAL_SECONDS:
        for number, times in ((1, one), (threads, several)):
            with limit_threads(number):
                for _ in range(PRODUCTS_IN_A_ROW):
                    started = time.perf_counter()
                    multiply()
                    times.append(time.perf_counter() - started)
        if sum(several) > 2 * max(len(several), FEWEST_TRIALS) * statistics.median(one):  # that is enough
            break
    # A mean, for rare long waits are what makes several threads slow; in one thread they tell nothing.
    return statistics.fmean(several) / statistics.median(one)


def describe_threads(threads: int) -> str:
    """Return a number of threads in words."""
    return f"{threads} thread{'s' if threads > 1 else ''}"
