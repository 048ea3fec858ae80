"""``mpiexec -n 2 xpmlp train``: one voice, one folder, and an end for all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from xpmlp.datasets.splitting import draw
from xpmlp.training.checkpoint import checkpoint_files

MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
LAUNCH = [str(MPIEXEC), "--oversubscribe", "-n"]
XPMLP = [sys.executable, "-m", "xpmlp"]
TRAIN = [*XPMLP, "train"]
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is not installed")


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=False)


def launch(processes: int, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run([*LAUNCH, str(processes), *TRAIN, *arguments], cwd)


@pytest.mark.slow
def test_the_first_process_alone_speaks_and_writes(tmp_path: Path) -> None:
    done = launch(2, "digits", "--epochs", "2", "--output", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/2") == 1
    assert done.stdout.count("saved in run") == 1
    assert "2 processes on" in done.stdout
    assert "\x1b" not in done.stdout
    compute = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["compute"]
    assert (compute["processes"], compute["threads"]) == (2, 1)
    refused = launch(2, "digits", "--output", "run", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.count("already holds a run") == 1


@pytest.mark.parametrize(
    ("option", "values", "code", "message"),
    [
        ("--seed", ("1", "2"), 1, "seed: is 1 in process 0, but 2 in process 1."),
        ("--epochs", ("1", "0"), 1, "process 1 of 2: --epochs: 0 is not a whole number of at least 1."),
        ("--seed", ("1", "one"), 2, "process 1 of 2: Invalid value for '--seed': "),
    ],
)
def test_processes_with_other_settings_are_refused(
    option: str, values: tuple[str, str], code: int, message: str, tmp_path: Path
) -> None:
    first, second = ([*TRAIN, "digits", option, value, "--output", "run"] for value in values)
    command = [*LAUNCH, "1", *first, ":", "-n", "1", *second]
    done = run(command, tmp_path)
    assert done.returncode == code
    assert done.stderr.count(message) == 1
    assert not (tmp_path / "run").exists()


ENSEMBLE = ("train", "digits", "--ensemble", "3", "--epochs", "2", "--hidden", "8", "--dropout", "0.2")
SWEEP = ("sweep", "digits", "--trials", "8", "--sampler", "random", "--epochs", "2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "tolerance", "said"),
    [((*ENSEMBLE, "--dtype", "float64"), 1e-9, "3 × 64-8-10 networks"), (SWEEP, 0.0, "8 trials in")],
)
def test_several_processes_leave_the_run_of_one(
    tmp_path: Path, command: tuple[str, ...], tolerance: float, said: str
) -> None:
    if command == SWEEP:
        pytest.importorskip("optuna")
    for processes in ("1", "2"):
        done = run([*LAUNCH, processes, *XPMLP, *command, "--output", processes], tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(said) == done.stdout.count("saved in") == 1
    one, two = (safetensors.numpy.load_file(tmp_path / name / "model.safetensors") for name in ("1", "2"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=0.0, atol=tolerance)
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("1", "2")]
    assert files[0] == files[1]
    assert ("sweep_curves.png" in files[0]) == (command == SWEEP)


RECORD_ROWS = """
import numpy as np
from mpi4py import MPI

from xpmlp.cli import main, train
from xpmlp.data import DiskSamples

blocks, fit_dataset, epochs, weights = DiskSamples.blocks, train.fit_dataset, [], []


def recorded(samples, seed, batch_size):
    epochs.append([])
    for block in blocks(samples, seed, batch_size):
        taken = block.order[block.samples.weight[block.order] > 0]
        epochs[-1].extend(block.samples.targets[taken, 0].tolist())
        yield block


def fitted(*arguments, **options):
    result = fit_dataset(*arguments, **options)
    weights.append(result.layers[0].weight)
    return result


DiskSamples.blocks, train.fit_dataset = recorded, fitted
try:
    main()
finally:
    np.savez(f"{MPI.COMM_WORLD.Get_rank()}.npz", rows=np.asarray(epochs), weight=weights[0])
"""


@pytest.mark.slow
def test_processes_read_different_rows_of_a_streamed_folder_and_all_together(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    (tmp_path / "points").mkdir()
    for number in (0, 1):  # rows are told apart by their targets
        frame = polars.DataFrame({f"x{i}": np.random.default_rng(9 * number + i).normal(size=10_000) for i in range(8)})
        frame = frame.with_columns(y=polars.col("x0") + polars.col("x1"))
        frame.write_parquet(tmp_path / "points" / f"{number}.parquet", row_group_size=1000)
    settings = ("--target", "y", "--memory", "1MB", "--epochs", "2", "--hidden", "8", "--dtype", "float64")
    command = [*LAUNCH, "3", sys.executable, "-c", RECORD_ROWS, "train", "points", *settings, "--output", "run"]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "streamed from disk" in done.stdout
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["compute"]["processes"] == 3
    assert record["test_r2"] > 0.8
    found = [np.load(tmp_path / f"{rank}.npz") for rank in range(3)]
    rows = np.concatenate([one["rows"] for one in found], axis=1)
    train_rows = int(np.count_nonzero(draw(np.arange(20_000)) >= 0.2))
    for epoch in rows:
        assert len(np.unique(epoch)) == len(epoch) == train_rows
    assert np.mean(found[0]["rows"][0] == found[0]["rows"][1]) < 0.01  # in another order in each epoch
    for other in found[1:]:
        np.testing.assert_array_equal(other["weight"], found[0]["weight"])


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_run_resumes_with_another_number(tmp_path: Path) -> None:
    settings = ["digits", "--epochs", "100", "--dtype", "float64", "--checkpoint-every", "1"]
    alone = launch(1, *settings, "--output", "whole", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    command = [*LAUNCH, "2", *TRAIN, *settings, "--output", "killed"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        while len(checkpoint_files(tmp_path / "killed" / "checkpoints")) < 2:
            assert running.poll() is None
            time.sleep(0.01)
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text(encoding="ascii").split()
        os.kill(int(children[-1]), signal.SIGKILL)
        _, errors = running.communicate(timeout=30)
    assert running.returncode != 0
    assert "signal 9" in errors
    resumed = launch(1, "--resume", "killed", cwd=tmp_path)  # three would share two cores, and spin
    assert resumed.returncode == 0, resumed.stderr
    first, second = (
        safetensors.numpy.load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "killed")
    )
    for name, array in first.items():
        np.testing.assert_allclose(second[name], array, atol=1e-8)
