"""Candidates are timed in turn in processes of their own, end with equal weights, and fail on their own."""

import dataclasses
import itertools
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import usable_backends
from xpmlp.bench import (
    BenchSettings,
    Candidate,
    Workload,
    backend_candidate,
    load_results,
    parse_sweep,
    run_benchmark,
    save_results,
    synthetic_workload,
)
from xpmlp.bench.candidates import BackendTrainer
from xpmlp.bench.measure import describe_conditions, epochs_per_timing, find_shortage, largest_difference, make_case
from xpmlp.bench.worker import Worker, WorkerError, describe_loaded, peak_bytes, reset_peak

SETTINGS = BenchSettings(hidden_layer_sizes=(8,), batch_size=16, rounds=2)

STUB = '''
"""Trainers that behave as told."""
import os, time
import numpy as np

class Trainer:
    def __init__(self, workload, settings, behaviour, log):
        if behaviour == "cannot start":
            raise RuntimeError("no such device\\nand more")
        self.behaviour, self.log, self.epochs = behaviour, log, 0

    def train_epoch(self):
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
def log(tmp_path: Path) -> Path:
    """Where stubs write whose turn it was."""
    return tmp_path / "turns.txt"


@pytest.fixture
def stub(tmp_path: Path, log: Path) -> Any:
    """Make a candidate that behaves as told."""
    (tmp_path / "stub_candidate.py").write_text(STUB)
    return lambda behaviour: Candidate(
        behaviour, "stub_candidate:Trainer", {"behaviour": behaviour, "log": str(log)}, path=str(tmp_path)
    )


@pytest.mark.slow
def test_every_usable_backend_is_timed_and_ends_with_numpys_weights(workload: Workload, tmp_path: Path) -> None:
    names = usable_backends()
    results = run_benchmark([backend_candidate(name) for name in names], workload, SETTINGS)
    (case,) = results.cases
    assert [measurement.name for measurement in case.timed] == names
    for measurement in case.timed:
        assert measurement.timing is not None
        assert len(measurement.timing.seconds) == SETTINGS.rounds
        assert measurement.difference is not None
        assert measurement.difference < 1e-4
        assert measurement.description["backend"] == measurement.name
        assert "linear algebra" in measurement.description
        known = (measurement.start_seconds, measurement.prepare_seconds, measurement.first_seconds)
        assert None not in (*known, measurement.accuracy, measurement.peak_bytes)
    assert save_results(results, tmp_path) == ["results.json", "results.md", "throughput.png"]
    assert load_results(tmp_path / "results.json") == results


def test_candidates_take_turns_and_a_failure_stays_its_own(workload: Workload, stub: Any, log: Path) -> None:
    candidates = [stub(name) for name in ("a", "cannot start", "fails", "dies")] + [Candidate("ghost", "no_such:make")]
    results = run_benchmark(candidates, workload, dataclasses.replace(SETTINGS, rounds=3))
    (case,) = results.cases
    a, *failed = case.measurements
    reasons = (
        "RuntimeError: no such device",
        "ValueError: overheated",
        "its process ended (exit code 9)",
        "ModuleNotFoundError: No module named 'no_such'",
    )
    assert tuple(measurement.failure for measurement in failed) == reasons
    assert all(measurement.timing is None and measurement.accuracy is None for measurement in failed)
    assert a.failure is None
    assert a.timing is not None
    assert len(a.timing.seconds) == 3
    assert 0.009 < a.timing.median < 1.0
    assert a.accuracy == pytest.approx(float(np.mean(workload.test_labels == 0)))
    assert a.difference is None  # a peer's weights are its own
    assert 5 <= case.epochs_per_timing <= 21  # of 10 ms each, more on a busy machine
    assert log.read_text().split().count("a") == 2 + 3 * case.epochs_per_timing


@pytest.mark.slow
def test_the_order_rotates_and_ctrl_c_keeps_what_was_measured(workload: Workload, stub: Any, log: Path) -> None:
    def interrupt(line: str) -> None:
        if "round 4" in line:
            raise KeyboardInterrupt

    settings = dataclasses.replace(SETTINGS, rounds=5)
    (case,) = run_benchmark([stub("a"), stub("b")], workload, settings, progress=interrupt).cases
    assert case.interrupted
    assert [len(measurement.timing.seconds) for measurement in case.timed if measurement.timing] == [3, 3]
    turns = log.read_text().split()
    assert turns[:4] == ["a", "a", "b", "b"]  # warm-up
    assert [name for name, _ in itertools.groupby(turns[4:])] == ["a", "b", "a", "b"]  # a b, b a, a b


def test_ctrl_c_while_workers_start_leaves_nothing_behind(
    workload: Workload, stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def interrupt(line: str) -> None:
        if line == "starting b":
            raise KeyboardInterrupt

    before = set(multiprocessing.active_children())  # such as joblib's, of other tests
    assert run_benchmark([stub("a"), stub("b")], workload, SETTINGS, progress=interrupt).cases == ()
    assert set(multiprocessing.active_children()) <= before
    assert list(tmp_path.glob("xpmlp-bench-*")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_worker_ignores_ctrl_c(stub: Any, workload: Workload, tmp_path: Path) -> None:
    worker = Worker(stub("a"))
    try:
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGINT)
        workload.save(tmp_path)
        worker.request("prepare", tmp_path, SETTINGS)
        assert worker.request("train") > 0.0
    finally:
        worker.close()
    assert not worker.process.is_alive()
    with pytest.raises(WorkerError):
        worker.request("train")


@pytest.mark.slow
def test_a_sweep_is_a_case_for_each_value_and_skips_what_does_not_fit(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpmlp.bench.measure.available_memory", lambda: 10**8)
    sweep = parse_sweep("rows=10,200,100000000")
    lines: list[str] = []
    results = run_benchmark([backend_candidate("numpy")], workload, SETTINGS, sweep, progress=lines.append)
    assert lines[0].startswith("will not be measured: 60-8-3, batch 16, 100,000,000 rows")  # before all else
    assert [case.rows for case in results.cases] == [10, 200, 100_000_000]
    assert [len(case.timed) for case in results.cases] == [1, 1, 0]
    assert "needs about" in (results.cases[2].skipped or "")
    assert save_results(results, tmp_path) == ["results.json", "results.md", "sweep.png"]
    assert "not measured" in (tmp_path / "results.md").read_text()
    assert load_results(tmp_path / "results.json") == results


def test_memory_for_weights_and_batches_counts_as_well_as_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpmlp.bench.measure.available_memory", lambda: 2**30)
    workload = synthetic_workload(rows=100)

    def shortage(candidates: int = 1, **changes: Any) -> str | None:
        settings = dataclasses.replace(BenchSettings(rows=60_000), **changes)
        return find_shortage(make_case(workload, settings), candidates)

    assert shortage() is None
    assert "needs about" in (shortage(hidden_layer_sizes=(10**6,)) or "")  # 3 GiB of weights
    assert "needs about" in (shortage(hidden_layer_sizes=(4096,), batch_size=60_000) or "")
    assert shortage(10, rows=200_000) is not None
    monkeypatch.setattr("xpmlp.bench.measure.available_memory", lambda: None)
    assert shortage(hidden_layer_sizes=(10**6,)) is None


def test_a_backend_trains_as_fit_does(workload: Workload) -> None:
    trainer = BackendTrainer(workload, dataclasses.replace(SETTINGS, dtype="float64"), backend="numpy", device=None)
    before = trainer.weights()
    accuracies = []
    for _ in range(100):
        trainer.train_epoch()
        accuracies.append(float(np.mean(trainer.predict(workload.x) == workload.labels)))
    assert accuracies[-1] > 0.9 > accuracies[0]
    assert largest_difference(trainer.weights(), before) > 0.1


def test_rows_are_the_first_ones_or_repeated(workload: Workload) -> None:
    assert workload.take(None) is workload
    np.testing.assert_array_equal(workload.take(7).x, workload.x[:7])
    np.testing.assert_array_equal(workload.take(250).labels, np.tile(workload.labels, 3)[:250])


@pytest.mark.parametrize(
    ("seconds", "epochs"),
    [((0.5, 0.3), 1), ((0.01, 0.05), 20), ((0.01, 1.0), 2), ((1e-6,), 100), ((30.0, 0.001), 1), ((), 1)],
)
def test_a_timing_is_long_enough_to_measure_and_short_enough_to_wait_for(
    seconds: tuple[float, ...], epochs: int
) -> None:
    assert epochs_per_timing(seconds) == epochs


def test_threads_clock_and_versions_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    conditions = describe_conditions()
    assert conditions["threads"]["OPENBLAS_NUM_THREADS"] == "3"
    assert 0.0 < conditions["clock"]["resolution"] < 1e-3
    assert f"numpy {np.__version__}" in describe_loaded()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets a peak")
def test_peak_memory_is_a_workers_own_and_measured_anew_in_each_case(stub: Any, tmp_path: Path) -> None:
    ballast = np.ones(40_000_000)  # 320 MB in this process are not the worker's
    whole = synthetic_workload(rows=40_000, features=1000, classes=3)
    whole.save(tmp_path)
    worker = Worker(stub("a"))
    peaks = []
    for rows in (40_000, 10):
        worker.request("prepare", tmp_path, dataclasses.replace(SETTINGS, rows=rows))
        peaks.append(worker.request("peak_bytes"))
    worker.close()
    assert ballast.nbytes + 200e6 > peaks[0] > whole.x.nbytes
    assert peaks[1] < peaks[0] - 0.9 * whole.x.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets a peak")
def test_a_peak_outlasts_its_memory() -> None:
    reset_peak()
    before = peak_bytes()
    assert before is not None
    size = np.ones(10_000_000).nbytes
    after = peak_bytes()
    assert after is not None
    assert after >= before + 0.8 * size
    reset_peak()
    assert (peak_bytes() or 0) < after - 0.8 * size
