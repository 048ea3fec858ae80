"""Contenders are timed in turn in processes of their own, end with the same weights, and a failure stays its own."""

import dataclasses
import itertools
import json
import multiprocessing
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import usable_backends
from xpmlp.bench import (
    BenchSettings,
    Contender,
    Runner,
    backend_contender,
    load_results,
    measure_point,
    parse_sweep,
    run_benchmark,
    save_results,
    synthetic_workload,
)
from xpmlp.bench.contenders import BackendTrainer
from xpmlp.bench.measure import epochs_in_a_turn, largest_difference
from xpmlp.bench.process_memory import forget_peak, peak_bytes
from xpmlp.bench.worker import Worker, WorkerError
from xpmlp.bench.workload import Workload

SETTINGS = BenchSettings(hidden_layer_sizes=(8,), batch_size=16, rounds=2)

STUB = '''
"""Contenders that are told how to behave."""
import os, time
import numpy as np

class Trainer:
    def __init__(self, workload, settings, behaviour, log):
        if behaviour == "cannot start":
            raise RuntimeError("no such device\\nand more")
        self.behaviour, self.log, self.epochs = behaviour, log, 0

    def epoch(self):
        self.epochs += 1
        with open(self.log, "a") as file:
            file.write(self.behaviour + "\\n")
        if self.behaviour == "fails" and self.epochs == 4:
            raise ValueError("overheated")
        if self.behaviour == "dies" and self.epochs == 4:
            os._exit(9)
        time.sleep(0.01)

    def predict(self, x):
        return np.zeros(len(x), np.int64)
'''


@pytest.fixture
def workload() -> Workload:
    return synthetic_workload(rows=100, features=60, classes=3)


@pytest.fixture
def stub(tmp_path: Path) -> Any:
    """Make contenders of the stub's behaviours, which write down whose turn it was."""
    (tmp_path / "stub_contender.py").write_text(STUB)
    log = tmp_path / "turns.txt"

    def make(behaviour: str) -> Contender:
        arguments = {"behaviour": behaviour, "log": str(log)}
        return Contender(behaviour, "stub_contender:Trainer", arguments, path=str(tmp_path))

    make.log = log  # type: ignore[attr-defined]
    return make


@pytest.mark.slow
def test_every_usable_backend_is_timed_and_ends_with_numpys_weights(workload: Workload, tmp_path: Path) -> None:
    names = usable_backends()
    results = run_benchmark([backend_contender(name) for name in names], workload, SETTINGS)
    (point,) = results.points
    assert [measurement.name for measurement in point.timed] == names
    for measurement in point.timed:
        assert measurement.timing is not None
        assert len(measurement.timing.seconds) == SETTINGS.rounds
        assert measurement.difference is not None
        assert measurement.difference < 1e-4
        assert measurement.accuracy is not None
        assert measurement.limits is not None
        assert min(measurement.limits) > 0.0
        assert measurement.peak_bytes is not None
        assert measurement.description["backend"] == measurement.name
        assert None not in (measurement.start_seconds, measurement.prepare_seconds, measurement.first_seconds)
    (tmp_path / "out").mkdir()
    files = save_results(results, tmp_path / "out")
    assert files == ["results.json", "results.md", "throughput.png", "roofline.png"]
    assert load_results(tmp_path / "out" / "results.json") == results


def test_contenders_take_turns_and_who_begins_changes(workload: Workload, stub: Any) -> None:
    with Runner([stub("a"), stub("b")], workload) as runner:
        point = measure_point(runner, dataclasses.replace(SETTINGS, rounds=3))
    epochs = stub.log.read_text().split()
    assert epochs[:4] == ["a", "a", "b", "b"]  # what does not count
    assert 5 <= point.epochs_a_turn <= 21  # of 10 ms each, as far as a busy machine lets them be
    turns = [name for name, _ in itertools.groupby(epochs[4:])]
    assert turns == ["a", "b", "a", "b"]  # a b, b a, a b
    assert epochs.count("a") == epochs.count("b") == 2 + 3 * point.epochs_a_turn
    for measurement in point.timed:
        assert measurement.timing is not None
        assert len(measurement.timing.seconds) == 3
        assert 0.009 < measurement.timing.median < 1.0
        assert measurement.difference is None  # nobody asked a stranger for weights


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("cannot start", "RuntimeError: no such device"),
        ("fails", "ValueError: overheated"),
        ("dies", "its process ended (exit code 9)"),
    ],
)
def test_one_that_fails_does_not_take_the_others_along(
    workload: Workload, stub: Any, behaviour: str, reason: str
) -> None:
    results = run_benchmark([stub("good"), stub(behaviour)], workload, SETTINGS)
    (point,) = results.points
    good, bad = point.measurements
    assert good.failure is None
    assert good.timing is not None
    assert bad.failure == reason
    assert bad.timing is None
    assert good.accuracy == pytest.approx(float(np.mean(workload.test_labels == 0)))
    assert bad.accuracy is None


def test_a_module_that_is_not_there_is_a_failure_like_any_other(workload: Workload) -> None:
    (point,) = run_benchmark([Contender("ghost", "no_such_module:make")], workload, SETTINGS).points
    assert "no_such_module" in (point.measurements[0].failure or "")


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured(workload: Workload, stub: Any) -> None:
    rounds: list[str] = []

    def interrupt(line: str) -> None:
        rounds.append(line)
        if "round 3" in line:
            raise KeyboardInterrupt

    settings = dataclasses.replace(SETTINGS, rounds=5)
    results = run_benchmark([stub("a"), stub("b")], workload, settings, say=interrupt)
    (point,) = results.points
    assert point.interrupted
    assert [len(m.timing.seconds) for m in point.timed if m.timing] == [2, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_ctrl_c_does_not_reach_a_worker(stub: Any, workload: Workload, tmp_path: Path) -> None:
    import os

    worker = Worker(stub("a"))
    try:
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGINT)
        workload.save(tmp_path)
        worker.ask("prepare", tmp_path, SETTINGS)
        assert worker.ask("epoch") > 0.0
    finally:
        worker.close()
    assert not worker.process.is_alive()
    with pytest.raises(WorkerError):
        worker.ask("epoch")


@pytest.mark.slow
def test_a_sweep_is_a_point_for_each_value_and_skips_what_does_not_fit(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpmlp.bench.memory.available_memory", lambda: 10**8)
    sweep = parse_sweep("rows=10,100,200,100000000")
    said: list[str] = []
    results = run_benchmark([backend_contender("numpy")], workload, SETTINGS, sweep, say=said.append)
    assert said[0].startswith("will not be measured: 60-8-3, batch 16, 100,000,000 rows")  # before all else
    assert [point.rows for point in results.points] == [10, 100, 200, 100_000_000]
    assert [len(point.timed) for point in results.points] == [1, 1, 1, 0]
    assert all(point.timed[0].limits is not None for point in results.points[:3])
    assert "needs about" in (results.points[3].skipped or "")
    assert save_results(results, tmp_path)[-2:] == ["sweep.png", "roofline.png"]
    page = (tmp_path / "results.md").read_text()
    assert "not measured" in page
    assert "| numpy | rows^" in page
    assert json.loads((tmp_path / "results.json").read_text())["sweep"] == "rows"


def test_a_backend_trains_as_fit_does(workload: Workload) -> None:
    trainer = BackendTrainer(workload, dataclasses.replace(SETTINGS, dtype="float64"), backend="numpy", device=None)
    before = trainer.weights()
    accuracies = []
    for _ in range(200):
        trainer.epoch()
        accuracies.append(float(np.mean(trainer.predict(workload.x) == workload.labels)))
    assert accuracies[-1] > 0.9 > accuracies[0]
    assert largest_difference(trainer.weights(), before) > 0.1


def test_rows_are_the_first_ones_or_go_round_again(workload: Workload) -> None:
    assert workload.take(None) is workload
    np.testing.assert_array_equal(workload.take(7).x, workload.x[:7])
    np.testing.assert_array_equal(workload.take(250).labels, np.tile(workload.labels, 3)[:250])


@pytest.mark.parametrize(
    ("seconds", "epochs"),
    [((0.5, 0.3), 1), ((0.01, 0.05), 20), ((0.01, 1.0), 2), ((1e-6,), 100), ((30.0, 0.001), 1), ((), 1)],
)
def test_a_turn_is_long_enough_to_be_timed_and_short_enough_to_wait_for(
    seconds: tuple[float, ...], epochs: int
) -> None:
    assert epochs_in_a_turn(seconds) == epochs


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_peak_memory_is_a_workers_own_and_counted_afresh_for_each_point(stub: Any, tmp_path: Path) -> None:
    ballast = np.ones(40_000_000)  # 320 MB here are nothing of the worker's
    large, small = (synthetic_workload(rows=rows, features=1000, classes=3) for rows in (40_000, 10))
    peaks: list[int] = []
    for workload in (large, small):
        workload.save(tmp_path)
        if not peaks:
            worker = Worker(stub("a"))
        worker.ask("prepare", tmp_path, SETTINGS)
        peaks.append(worker.ask("peak_bytes"))
    worker.close()
    assert ballast.nbytes + 200e6 > peaks[0] > large.x.nbytes
    assert peaks[1] < peaks[0] - 0.9 * large.x.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_peak_memory_is_that_of_the_rows_taken_not_of_all_there_are(stub: Any, tmp_path: Path) -> None:
    whole = synthetic_workload(rows=40_000, features=1000, classes=3)
    whole.save(tmp_path)
    worker = Worker(stub("a"))
    peaks = []
    for rows in (10, 40_000):
        worker.ask("prepare", tmp_path, dataclasses.replace(SETTINGS, rows=rows))
        peaks.append(worker.ask("peak_bytes"))
    worker.close()
    assert peaks[1] - peaks[0] > 0.9 * whole.x.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_stays_after_its_memory_is_given_back() -> None:
    forget_peak()
    before = peak_bytes()
    assert before is not None
    ballast = np.ones(10_000_000)
    size = ballast.nbytes
    del ballast
    after = peak_bytes()
    assert after is not None
    assert after >= before + 0.8 * size
    forget_peak()
    assert (peak_bytes() or 0) < after - 0.8 * size


@pytest.mark.slow
def test_ctrl_c_while_workers_start_leaves_nothing_behind(
    workload: Workload, stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def interrupt(line: str) -> None:
        if line == "starting b":
            raise KeyboardInterrupt

    before = set(multiprocessing.active_children())  # such as joblib's, of other tests
    results = run_benchmark([stub("a"), stub("b")], workload, SETTINGS, say=interrupt)
    assert results.points == ()
    assert set(multiprocessing.active_children()) <= before
    assert list(tmp_path.glob("xpmlp-bench-*")) == []
