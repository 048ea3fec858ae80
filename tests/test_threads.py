import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import joblib
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from xpmlp import threads
from xpmlp.backends import Backend
from xpmlp.errors import SettingsError
from xpmlp.estimators import MLPClassifier
from xpmlp.threads import BlasThreads, Runs, choose_threads


class Library:
    """A BLAS library without any products."""

    user_api = "blas"

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads

    def set_num_threads(self, number: int) -> None:
        self.num_threads = number


@pytest.fixture
def blas(monkeypatch: pytest.MonkeyPatch) -> BlasThreads:
    blas = BlasThreads()
    monkeypatch.setattr(blas, "find_libraries", lambda: None)
    blas.libraries = [Library(4), Library(6)]
    return blas


def numbers(blas: BlasThreads) -> list[int]:
    return [library.num_threads for library in blas.libraries]


def test_a_limit_holds_inside_and_nowhere_afterwards(blas: BlasThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Callable[[], bool]) -> bool:
        raise KeyboardInterrupt

    with blas.limit(1):
        assert numbers(blas) == [1, 1]
        with blas.limit(3), blas.limit(3):
            assert numbers(blas) == [3, 3]
        assert numbers(blas) == [1, 1]
    assert numbers(blas) == [4, 6]
    with monkeypatch.context() as patch:
        patch.setattr(blas.condition, "wait_for", interrupt)
        with pytest.raises(KeyboardInterrupt), blas.limit(2):
            pass
    with pytest.raises(KeyError), blas.limit(3):  # whoever was interrupted while waiting holds nothing
        raise KeyError
    assert numbers(blas) == [4, 6]


def test_overlapping_limits_leave_the_process_as_it_was(blas: BlasThreads) -> None:
    other = blas.limit(1)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(other.__enter__).result()
        with blas.limit(1):  # the second in, but the first out
            pass
        assert numbers(blas) == [1, 1]
        pool.submit(other.__exit__, None, None, None).result()
    assert numbers(blas) == [4, 6]


def test_python_threads_never_see_the_number_of_another(blas: BlasThreads) -> None:
    def work(number: int) -> set[int]:
        seen = set()
        for _ in range(50):
            with blas.limit(number):
                with blas.limit(1):  # as a callback may
                    pass
                time.sleep(1e-5)
                seen.update(numbers(blas))
        return seen

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, [1, 2, 3, 1, 2, 3])) == [{1}, {2}, {3}] * 2
    assert numbers(blas) == [4, 6]


def test_no_more_threads_than_the_process_may_use(blas: BlasThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, limits, available in (
        (8, (4, 6), 4),
        (3, (4, 6), 3),  # joblib counts a container's quota
        (1, (4, 6), 1),
        (8, (1, 1), 1),  # the user set one thread
    ):
        monkeypatch.setattr(joblib, "cpu_count", lambda cores=cores: cores)
        blas.libraries = [*map(Library, limits)]
        assert blas.available() == available
        with blas.limit(1):
            assert blas.available() == available


class Machine:
    """A clock, and a product that takes so many seconds in so many threads."""

    def __init__(self, seconds: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.now, self.products = seconds, 1000.0, 0
        self.number = 0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(threads, "limit_threads", self.limit)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def multiply(self) -> None:
        self.now += self.seconds[self.number]
        self.products += 1

    def limit(self, number: int) -> AbstractContextManager[None]:
        self.number = number
        return nullcontext()


def test_a_trial_takes_the_most_faster_threads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quiet = Machine({1: 0.001, 2: 0.0006}, monkeypatch)
    assert choose_threads(quiet.multiply, 2) == 2
    assert quiet.now - 1000.0 < 2 * threads.TRIAL_SECONDS
    assert not caplog.messages
    busy = Machine({1: 0.001, 2: 0.024}, monkeypatch)
    assert choose_threads(busy.multiply, 2) == 1
    assert busy.products < 20
    found, done = "2 took 24 times as long as one, as they do on a busy machine", "matrix products run in 1 thread"
    assert caplog.messages == [f"{done}: {found} (--threads 2 to insist)"]
    partly = Machine({1: 0.001, 8: 0.01, 4: 0.002, 2: 0.0006}, monkeypatch)
    assert choose_threads(partly.multiply, 8) == 2


def test_runs_that_overlap_or_follow_closely_take_what_one_trial_found(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, machine = Runs(), Machine({1: 0.001, 2: 0.01}, monkeypatch)

    def begin(wanted: int | None = None, most: int = 2) -> AbstractContextManager[int]:
        return runs.begin(wanted, machine.multiply, most)

    with begin(most=1) as number:  # nothing to decide
        assert number == 1
        assert machine.products == 0
    with begin() as number:
        assert number == runs.current.get() == 1
        machine.seconds[2] = 0.0001
        machine.now += 60.0
        tried = machine.products
        with runs.use(None), begin() as second, begin(3) as third, begin() as nested:
            assert (second, third, nested) == (1, 3, 3)
        assert machine.products == tried
    with begin() as number:  # a minute later, alone
        assert number == 2
        assert machine.products > tried
    machine.seconds[2] = 0.01
    with begin() as number:
        assert number == 2
    assert runs.current.get() is None


def test_trainings_side_by_side_do_not_change_each_others_results(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(1280, 784)).astype(np.float32), generator.integers(2, size=1280)
    held, exchange = set(), threads.BLAS.exchange

    def train(units: int) -> str:
        network = MLPClassifier((units,), batch_size=128, random_state=0)
        for _ in range(2):
            network.partial_fit(x, y, classes=[0, 1])
        return hashlib.sha256(b"".join(array.tobytes() for array in network.coefs_)).hexdigest()

    def spy(number: int | None) -> None:
        exchange(number)
        held.add(number)

    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(threads, "choose_threads", lambda multiply, most: most)
    monkeypatch.setattr(threads.BLAS, "exchange", spy)
    pools = ThreadpoolController().select(user_api="blas")
    with pools.limit(limits=2):
        large, small = train(128), train(4)
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(train, [128, 4, 128, 4])) == [large, small] * 2
        assert {library["num_threads"] for library in pools.info()} == {2}
    assert held == {1, 2, None}


def test_a_number_below_one_is_refused_and_one_that_cannot_be_set_ignored(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SettingsError, match="threads: 0 is too few"), threads.use_threads(0):
        pass
    with Backend(np, "cpu").run_threads((), 1, 2) as number:
        assert number is None
    assert caplog.messages == ["backend array-api on cpu has no number of threads to set: it is ignored."]
