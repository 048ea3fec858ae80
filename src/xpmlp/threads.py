"""How many threads matrix products run in: a number that a run decides when it starts, and keeps.

The number decides how a product's sums are split, and so its rounding (in OpenBLAS if the inner axis is longer than a
few hundred). It is recorded with a run, so that a resumed run equals an unbroken one.
"""

import logging
import statistics
import sys
import threading
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from threadpoolctl import ThreadpoolController

from xpmlp.errors import SettingsError

logger = logging.getLogger(__name__)

TRIAL_SECONDS = 0.02
TRIAL_LASTS = 10.0  # seconds in which later runs use its result: every partial_fit is a run
PRODUCTS_IN_A_ROW = 4
FEWEST_PRODUCTS = 3 * PRODUCTS_IN_A_ROW


class BlasThreads:
    """The number of threads of this process's BLAS libraries (NumPy's, SciPy's, PyTorch's), as they are loaded.

    There is one number for all Python threads. Several may hold the same number at once; a Python thread that needs
    another one waits, so that no training changes another's results; later ones queue behind it, so that
    it cannot wait for ever. When the last holder leaves, the libraries get back their numbers from before the first.
    """

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.entrance = threading.Lock()
        self.held: list[int] = []  # the same number for each holder
        self.before: list[int] = []
        self.mine = threading.local()
        self.libraries: list[Any] = []
        self.modules = 0  # that were imported when the libraries were looked up

    def find_libraries(self) -> None:
        """Look the libraries up, which takes milliseconds, if modules have been imported that may bring another one."""
        if self.modules != len(sys.modules):
            self.modules = len(sys.modules)
            found = ThreadpoolController().lib_controllers
            self.libraries = [library for library in found if library.user_api == "blas"]

    def available(self) -> int:
        """Return the number of threads that this process may use: its cores, or fewer if the user has limited BLAS."""
        with self.condition:
            if not self.held:
                self.find_libraries()
            limits = self.before if self.held else [library.num_threads for library in self.libraries]
        most = min(limits, default=1)
        return min(most, count_cores()) if most > 1 else 1

    @contextmanager
    def limit(self, threads: int) -> Iterator[None]:
        """Run matrix products in exactly `threads` threads; the innermost of nested limits counts."""
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
        """Release the number that this Python thread holds, and wait for another; None for none.

        Whoever waits holds nothing, so no two can wait for each other.
        """
        with self.condition:
            if getattr(self.mine, "threads", None) is not None:
                self.mine.threads = None
                self.held.pop()
                if not self.held:
                    for library, number in zip(self.libraries, self.before, strict=True):
                        library.set_num_threads(number)
                self.condition.notify_all()
        if threads is None:
            return
        with self.entrance, self.condition:
            self.condition.wait_for(lambda: not self.held or threads in self.held)
            if not self.held:
                self.find_libraries()
                self.before = [library.num_threads for library in self.libraries]
                for library in self.libraries:
                    library.set_num_threads(threads)
            self.held.append(threads)
            self.mine.threads = threads


BLAS = BlasThreads()
available_threads, limit_threads = BLAS.available, BLAS.limit


def count_cores() -> int:
    """Return the number of cores that this process may use, by affinity and container quota."""
    import joblib  # slow to import, and small networks need one thread only

    return int(joblib.cpu_count())


class Runs:
    """The runs of this process, which share the result of one trial while they overlap."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0  # of the runs that are under way
        self.found: int | None = None  # by the last trial
        self.found_at = 0.0
        # The number of threads of the run in this Python thread; None outside of runs.
        self.current: ContextVar[int | None] = ContextVar("threads", default=None)

    @contextmanager
    def begin(self, threads: int | None, multiply: Callable[[], object], most: int) -> Iterator[int]:
        """Decide the number of threads for a run: the given one, else that of the context, else by a trial.

        The trial finds how many threads, of `most`, are best for a product of the run's size, which `multiply`
        computes. There is none while other runs are under way, which would keep the cores busy themselves.
        """
        with self.lock:
            threads = threads or self.current.get()
            if threads is None and most > 1:
                now = time.monotonic()
                if self.count == 0 and (self.found is None or now - self.found_at > TRIAL_LASTS):
                    self.found, self.found_at = choose_threads(multiply, most), now
                threads = min(self.found or most, most)
            threads = threads or 1
            self.count += 1
        del multiply  # it holds arrays
        try:
            with self.use(threads):
                yield threads
        finally:
            with self.lock:
                self.count -= 1

    @contextmanager
    def use(self, threads: int | None) -> Iterator[None]:
        """Run large matrix products in `threads` threads, in and outside of runs; None for the default."""
        token = self.current.set(check_threads(threads))
        try:
            yield
        finally:
            self.current.reset(token)


RUNS = Runs()
use_threads = RUNS.use


def threads_in_use() -> int:
    """Return the number of threads of the run in this Python thread; outside of runs those available."""
    return RUNS.current.get() or available_threads()


def check_threads(threads: int | None) -> int | None:
    """Return a number of threads, or raise an error if it is below 1."""
    if threads is not None and threads < 1:
        raise SettingsError(f"threads: {threads} is too few; at least 1 is needed.")
    return threads


def choose_threads(multiply: Callable[[], object], most: int) -> int:
    """Return the largest of `most`, half of it, … that makes a matrix product faster than one thread does.

    Threads wait for each other at the end of a product, by spinning: if other work takes a core away, all stand still,
    and a product can take a hundred times as long.
    """
    threads, first = most, 0.0
    while threads > 1 and (ratio := compare_threads(multiply, threads)) >= 1.0:
        first = first or ratio
        threads //= 2
    if threads < most:
        found = (
            f"{most} took {first:.3g} times as long as one, as they do on a busy machine (--threads {most} to insist)"
        )
        logger.info("matrix products run in %s: %s", describe_threads(threads), found)
    return threads


def compare_threads(multiply: Callable[[], object], threads: int) -> float:
    """Return the time of a matrix product in `threads` threads, relative to one thread."""
    one: list[float] = []
    several: list[float] = []
    for number in (1, threads):  # the first product allocates memory
        with limit_threads(number):
            multiply()
    began = time.perf_counter()
    while len(one) < FEWEST_PRODUCTS or time.perf_counter() - began < TRIAL_SECONDS:
        for number, times in ((1, one), (threads, several)):
            with limit_threads(number):
                times += timeit.repeat(multiply, timer=time.perf_counter, repeat=PRODUCTS_IN_A_ROW, number=1)
        if sum(several) > 2 * max(len(several), FEWEST_PRODUCTS) * statistics.median(one):  # too slow already
            break
    # Several threads are slow because of rare long waits, which the mean counts; those of one thread are chance.
    return statistics.fmean(several) / statistics.median(one)


def describe_threads(threads: int) -> str:
    """Return a number of threads as text."""
    return f"{threads} thread{'s' if threads > 1 else ''}"
