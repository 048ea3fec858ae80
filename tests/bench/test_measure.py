"""Candidates are timed in turn in processes of their own, end with equal weights, and fail on their own."""

import dataclasses
import itertools
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
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
from xpmlp.bench.measure import epochs_per_timing, largest_difference, plan_case
from xpmlp.bench.worker import Worker, WorkerError

SETTINGS = BenchSettings(hidden_layer_sizes=(8,), batch_size=16, rounds=2)
STUB = '''
import os, time
import numpy as np

class Trainer:
    """Fails as told, and logs whose turn it was."""
    def __init__(self, workload, settings, failure, log):
        assert failure != "at start", "no such device\\nand more"
        self.failure, self.log, self.epochs = failure, log, 0

    def train_epoch(self):
        self.epochs += 1
        with open(self.log, "a") as file:
            file.write(self.failure + "\\n")
        if self.epochs == 4:
            assert self.failure != "later", "overheated"
            if self.failure == "process":
                os._exit(9)
        time.sleep(0.01)

    def predict(self, x):
        return np.zeros(len(x), np.int64)
'''


@pytest.fixture
def workload() -> Workload:
    return synthetic_workload(rows=100, features=60, classes=3)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a candidate that fails as told; any other name does not fail."""
    (tmp_path / "stub_candidate.py").write_text(STUB)
    monkeypatch.syspath_prepend(tmp_path)
    log = str(tmp_path / "turns.txt")
    return lambda name: Candidate(name, "stub_candidate:Trainer", {"failure": name, "log": log})


@pytest.mark.slow
def test_every_usable_backend_is_timed_and_ends_with_numpys_weights(workload: Workload, tmp_path: Path) -> None:
    results = run_benchmark([backend_candidate(name) for name in usable_backends()], workload, SETTINGS)
    assert {"threads", "clock", "load"} <= set(results.machine["conditions"])
    assert [measurement.name for measurement in results.cases[0].timed] == usable_backends()
    for measurement in results.cases[0].timed:
        values = msgspec.to_builtins(measurement)
        assert [name for name, value in values.items() if value is None] == ["failure"]
        assert len(values["timing"]["seconds"]) == SETTINGS.rounds
        assert values["difference"] < 1e-4
        assert values["description"]["backend"] == measurement.name
        assert f"numpy {np.__version__}" in values["description"]["versions"]
        assert "linear algebra" in values["description"]
    assert save_results(results, tmp_path) == ["results.json", "results.md", "throughput.png"]
    assert load_results(tmp_path / "results.json") == results


@pytest.mark.slow
def test_one_that_fails_does_not_stop_the_others(workload: Workload, stub: Any, tmp_path: Path) -> None:
    candidates = [*map(stub, ("a", "at start", "later", "process")), Candidate("ghost", "no_such:make")]
    (case,) = run_benchmark(candidates, workload, dataclasses.replace(SETTINGS, rounds=3)).cases
    a, *failed = case.measurements
    assert [(measurement.failure, measurement.timing, measurement.accuracy) for measurement in failed] == [
        ("AssertionError: no such device", None, None),
        ("AssertionError: overheated", None, None),
        ("its process ended (exit code 9)", None, None),
        ("ModuleNotFoundError: No module named 'no_such'", None, None),
    ]
    assert a.timing is not None
    assert len(a.timing.seconds) == 3
    assert 0.009 < a.timing.median < 1.0
    assert a.accuracy == pytest.approx(float(np.mean(workload.test_labels == 0)))
    assert a.difference is None  # a peer's weights are its own
    assert 5 <= case.epochs_per_timing <= 21  # of 10 ms each, longer on a busy machine
    assert (tmp_path / "turns.txt").read_text().split().count("a") == 2 + 3 * case.epochs_per_timing


@pytest.mark.slow
def test_the_order_rotates_and_ctrl_c_keeps_what_was_measured(workload: Workload, stub: Any, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        if "round 4" in line:
            raise KeyboardInterrupt

    settings = dataclasses.replace(SETTINGS, rounds=5)
    (case,) = run_benchmark([stub("a"), stub("b")], workload, settings, progress=interrupt).cases
    assert case.interrupted
    assert [len(measurement.timing.seconds) for measurement in case.timed if measurement.timing] == [3, 3]
    turns = (tmp_path / "turns.txt").read_text().split()
    assert turns[:4] == ["a", "a", "b", "b"]  # warm-up
    assert [name for name, _ in itertools.groupby(turns[4:])] == ["a", "b", "a", "b"]  # a b, b a, a b


def test_ctrl_c_while_workers_start_leaves_nothing_behind(
    workload: Workload, stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(line: str) -> None:
        if line == "starting b":
            raise KeyboardInterrupt

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(multiprocessing.active_children())  # such as joblib's, of other tests
    assert run_benchmark([stub("a"), stub("b")], workload, SETTINGS, progress=interrupt).cases == ()
    assert set(multiprocessing.active_children()) <= before
    assert list(tmp_path.glob("xpmlp-bench-*")) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Windows has no such signal, and only Linux resets a peak")
def test_a_worker_ignores_ctrl_c_and_measures_its_own_memory(stub: Any, tmp_path: Path) -> None:
    ballast = np.ones(40_000_000)  # 320 MB in this process are not the worker's
    whole, data = synthetic_workload(rows=40_000, features=1000, classes=3), tmp_path / "workload.npz"
    whole.save(data)
    worker = Worker(stub("a"))
    try:
        os.kill(worker.process.pid or 0, signal.SIGINT)
        peaks = []
        for rows in (40_000, 10):  # the second peak is not the first's
            worker.request("prepare", data, dataclasses.replace(SETTINGS, rows=rows))
            peaks.append(worker.request("peak_bytes"))
        assert worker.request("train") > 0.0
    finally:
        worker.close()
    assert ballast.nbytes + 200e6 > peaks[0] > whole.x.nbytes
    assert peaks[1] < peaks[0] - 0.9 * whole.x.nbytes
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
    assert lines[0].startswith("will not be measured: 60-8-3, batch 16, 100,000,000 rows: needs about")
    assert [(case.rows, len(case.timed)) for case in results.cases] == [(10, 1), (200, 1), (100_000_000, 0)]
    assert save_results(results, tmp_path) == ["results.json", "results.md", "sweep.png"]
    assert "not measured" in (tmp_path / "results.md").read_text()


def test_memory_for_weights_and_batches_counts_as_well_as_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = synthetic_workload(rows=100)

    def fits(free: int | None = 2**30, candidates: int = 1, **changes: Any) -> bool:
        monkeypatch.setattr("xpmlp.bench.measure.available_memory", lambda: free)
        settings = dataclasses.replace(BenchSettings(rows=60_000), **changes)
        return plan_case(workload, settings, candidates).skipped is None

    assert fits()
    assert not fits(hidden_layer_sizes=(10**6,))  # 3 GiB of weights
    assert not fits(hidden_layer_sizes=(4096,), batch_size=60_000)
    assert not fits(candidates=10, rows=200_000)
    assert fits(free=None, hidden_layer_sizes=(10**6,))


def test_a_backend_learns_from_the_first_rows_or_repeated_ones(workload: Workload) -> None:
    np.testing.assert_array_equal(workload.take(7).x, workload.x[:7])
    repeated = workload.take(250)
    np.testing.assert_array_equal(repeated.labels, np.tile(workload.labels, 3)[:250])
    trainer = BackendTrainer(repeated, dataclasses.replace(SETTINGS, dtype="float64"), backend="numpy", device=None)
    before = trainer.weights()
    assert np.mean(trainer.predict(workload.x) == workload.labels) < 0.9
    for _ in range(40):
        trainer.train_epoch()
    assert np.mean(trainer.predict(workload.x) == workload.labels) > 0.9
    assert largest_difference(trainer.weights(), before) > 0.1


def test_a_timing_is_long_enough_to_measure_and_short_enough_to_wait_for() -> None:
    seconds = ((0.5, 0.3), (0.01, 0.05), (0.01, 1.0), (1e-6,), (30.0, 0.001), ())
    assert [*map(epochs_per_timing, seconds)] == [1, 20, 2, 100, 1, 1]
