"""A run that is killed and resumed from the command line is the run that was not."""

import json
import math
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpmlp import load_dataset, load_model
from xpmlp.cli.run_folder import read_history
from xpmlp.training import evaluate_classifier, newest_checkpoint
from xpmlp.training.checkpoint import checkpoint_files, save_checkpoint

pytestmark = pytest.mark.usefixtures("no_pictures")

LONG = ("train", "digits", "--epochs", "40", "--hidden", "32", "--seed", "3")


def weights(run: Path) -> list[bytes]:
    return [array.tobytes() for layer in load_model(run / "model.safetensors").layers for array in layer]


def losses(run: Path) -> list[list[str]]:
    return [line.split(",")[:4] for line in (run / "history.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    subprocess.run([sys.executable, "-m", "xpmlp", *LONG, "-q", "-o", str(folder)], check=True, timeout=300)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_and_resumed_it_ends_with_the_same_bits(
    start: Any, xpmlp: Any, tmp_path: Path, unbroken: Path, seed: int
) -> None:
    run = tmp_path / "run"
    patience = random.Random(seed)
    command: tuple[Any, ...] = (*LONG, "--checkpoint-every", "1", "-o", run)
    for _ in range(6):
        process = start(*command)
        while not checkpoint_files(run / "checkpoints") and process.poll() is None:
            time.sleep(0.01)
        time.sleep(patience.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        command = ("train", "--resume", run)
    assert newest_checkpoint(run / "checkpoints").epoch >= 0
    xpmlp(*command)
    assert weights(run) == weights(unbroken)
    assert losses(run) == losses(unbroken)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_before_its_first_checkpoint_it_is_begun_again(
    start: Any, xpmlp: Any, tmp_path: Path, unbroken: Path
) -> None:
    run = tmp_path / "run"
    process = start(*LONG, "--checkpoint-every", "1", "-o", run)
    while not (run / "checkpoints" / "command.json").exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _, checkpoint in checkpoint_files(run / "checkpoints"):
        checkpoint.unlink()  # where it was quicker than this test
    err = xpmlp("train", "--resume", run, "--epochs", "3", status=1).err
    assert "--epochs 3 was given, but the run has 40" in err
    out = xpmlp("train", "--resume", run).out
    assert "there is no checkpoint yet, so the run starts over" in out
    assert weights(run) == weights(unbroken)
    assert sorted(path.suffix for path in (run / "checkpoints").iterdir()) == [".safetensors"] * 2


ENSEMBLE = ("--ensemble", "3", "--dropout", "0.2", "--hidden", "9", "--validation-fraction", "0.2")


@pytest.mark.parametrize("options", [(), ENSEMBLE], ids=["network", "ensemble"])
def test_nothing_else_need_be_said(
    xpmlp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    xpmlp("train", "digits", "--epochs", "4", *options, "--checkpoint-every", "1", "-o", run)
    whole = weights(run)
    checkpoint_files(run / "checkpoints")[0][1].unlink()
    (run / "model.safetensors").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    out = xpmlp("train", "--resume", run).out
    assert "resuming after epoch 3" in out
    assert weights(run) == whole
    assert not list(elsewhere.iterdir())


def test_other_settings_are_refused_with_the_difference(xpmlp: Any, refused: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    xpmlp("train", tmp_path / "no.csv", "--checkpoint-every", "1", "-o", run, status=1)
    refused(("train", "--resume", run), "there is no such folder")  # it could not begin
    assert not run.exists()
    refused(("train", "--resume", tmp_path), "holds no checkpoint")
    xpmlp("train", "digits", "--epochs", "2", "--checkpoint-every", "1", "--patience", "9", "-o", run)
    assert not (run / "last.safetensors").exists()  # the best weights are the last
    refused(("train", "--resume", tmp_path), f"holds several runs. Did you mean {run}?")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for option, value, own in (
        ("--epochs", "9", "2"),
        ("--learning-rate", "0.5", "None"),
        ("--backend", "torch", "numpy"),
        ("--ensemble", "2", "None"),
    ):
        refused(("train", "--resume", run, option, value), f"{option} {value} was given, but the run has {own}")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    # A file of the run stands for it; the same again is no contradiction.
    xpmlp("train", "--resume", run / "model.safetensors", "--epochs", "2", "-q")
    # Without its files, as it is when a run was killed, it is not begun over.
    for path in run.glob("*.*"):
        path.unlink()
    again = ("train", "digits", "--epochs", "1", "--checkpoint-every", "1", "-o", run)
    refused(again, f"xpmlp train --resume {run}")
    xpmlp(*again, "--force")
    assert newest_checkpoint(run / "checkpoints").epoch == 1  # the older run's second is gone


def test_patience_ends_a_run_with_its_best_weights(xpmlp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int | None] = []  # the epoch that the curves mark

    def keep(history: Any, title: str, epoch: int | None, loss: str) -> bytes:
        kept.append(epoch)
        return b"a picture"

    monkeypatch.setattr("xpmlp.plots.draw_curves", keep)
    run = tmp_path / "run"
    out = xpmlp("train", "digits", "--epochs", "60", "--patience", "2", "-o", run).out
    record = json.loads((run / "run.json").read_text())
    assert record["epochs"] == record["kept_epoch"] + 2
    assert f"stopped after epoch {record['epochs']}: no lower loss for 2 epochs" in out
    assert f"the weights are those of epoch {record['kept_epoch']}, the best" in out
    xpmlp("plot", run)
    assert kept == [record["kept_epoch"]] * 2
    history = read_history(run / "history.csv")
    losses = [row.validation_loss or math.inf for row in history]
    digits = load_dataset("digits").with_validation(0.1)
    assert digits.validation is not None
    for name, loss in ("model", min(losses)), ("last", losses[-1]):
        report = evaluate_classifier(load_model(run / f"{name}.safetensors"), digits.validation)
        assert report.loss == pytest.approx(loss, rel=1e-4)
    assert losses[-1] > min(losses)
    # Nothing is chosen on the test rows: they are not looked at before the end.
    assert {row.test_loss for row in history} == {None}
    assert record["data"]["validation_rows"] == 144


def test_a_run_of_an_earlier_version_is_resumed_on_its_own_rows(xpmlp: Any, refused: Any, tmp_path: Path) -> None:
    """Its epoch was chosen by the test rows, and all other rows were trained on."""
    run = tmp_path / "run"
    command = ("train", "digits", "--epochs", "4", "--patience", "2", "--checkpoint-every", "1", "-o", run)
    xpmlp(*command)
    (_, newest), _ = checkpoint_files(run / "checkpoints")
    checkpoint = newest_checkpoint(run / "checkpoints")
    checkpoint.settings.pop("validation_fraction")
    save_checkpoint(newest, replace(checkpoint, history=()))
    (run / "run.json").unlink()
    _, out, _ = xpmlp("train", "--resume", run)
    assert "1,437 training rows, 360 validation rows, 360 test rows" in out
    refused(("train", "--resume", run, "--validation-fraction", "0.2"), "0.2 was given, but the run has")


def test_the_number_of_threads_is_kept_and_may_be_changed_on_resuming(xpmlp: Any, tmp_path: Path) -> None:
    def record() -> tuple[Any, Any]:
        kept = json.loads((tmp_path / "run.json").read_text())["compute"]["threads"]
        return kept, newest_checkpoint(tmp_path / "checkpoints").threads

    command = ("train", "digits", "--epochs", "2", "--checkpoint-every", "1", "-o", tmp_path)
    xpmlp(*command, "--threads", "2")
    assert record() == (2, 2)
    for option, number in ((), 2), (("--threads", "3"), 3):
        checkpoint_files(tmp_path / "checkpoints")[0][1].unlink()
        out = xpmlp("train", "--resume", tmp_path, *option).out
        assert f"resuming after epoch 1, in {number} threads" in out
        assert record() == (number, number)
