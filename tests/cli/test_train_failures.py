"""Runs that end early, and results that cannot be saved."""

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpmlp import load_model, plots
from xpmlp.cli.run_folder import RUN_FILES
from xpmlp.training.progress import EpochLines

Run = Callable[..., Any]

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send to a process")


# What a run on images leaves.
OF_IMAGES = {*RUN_FILES} - {"predicted.png", "residuals.png"}


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# What cannot be saved


def fail_to_write(monkeypatch: pytest.MonkeyPatch, *names: str, under: Path | None = None) -> None:
    """Let the disk be full for files of these names, anywhere or in one folder."""
    replace = os.replace

    def replace_or_fail(source: Any, target: Any) -> None:
        if Path(target).name in names and (under is None or Path(target).is_relative_to(under.resolve())):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr("xpmlp.whole_files.os.replace", replace_or_fail)


def exhaust(*arguments: Any) -> bytes:
    raise MemoryError("Unable to allocate")


def test_files_that_cannot_be_made_or_written_are_named_and_cost_no_other(
    xpmlp: Run, no_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_write(monkeypatch, "model.safetensors", "run.json", "weights.png")
    monkeypatch.setattr(plots, "draw_confusion", exhaust)
    _, out, err = xpmlp("train", "digits", "--epochs", 1, "-o", "run", status=1)
    failed = ("model.safetensors", "run.json", "confusion.png", "weights.png")
    assert files_of(Path("run")) == OF_IMAGES - {*failed}
    assert err.startswith(f"Error: Not saved: {', '.join(failed)}. Saved in run: ")
    assert f"{Path('run', failed[0])}: cannot be written (No space left on device)" in err
    assert f"{Path('run', failed[2])}: there is not enough memory to make it" in err
    assert err.count("\n") == 1
    assert "test accuracy" in out
    assert "saved in" not in out


def test_what_a_full_disk_refuses_is_kept_among_the_temporary_files(
    xpmlp: Run, no_pictures: None, monkeypatch: pytest.MonkeyPatch, empty_folder: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    Path("run").mkdir()
    Path("run/history.csv").write_bytes(b"old")
    with monkeypatch.context() as patch:
        fail_to_write(patch, "model.safetensors", "history.csv", under=Path("run"))
        err = xpmlp("train", "digits", "--epochs", 1, "-o", "run", "--force", status=1).err
    (refuge,) = temporary.iterdir()
    assert files_of(refuge) == {"model.safetensors", "history.csv"}
    assert load_model(refuge / "model.safetensors").layer_sizes == (64, 256, 10)
    assert f" Saved in {refuge} instead: model.safetensors, history.csv. Left from an earlier run: history.csv. " in err
    # One remedy is enough for both.
    assert err.count("No space left on device") == 1
    assert Path("run/history.csv").read_bytes() == b"old"
    # If nothing can be written anywhere, no empty folder is left.
    fail_to_write(monkeypatch, *RUN_FILES)
    err = xpmlp("train", "digits", "--epochs", 1, status=1).err
    assert "Saved in runs" in err
    assert ": nothing." in err
    assert "instead" not in err
    assert files_of(empty_folder) == {"run"}
    assert files_of(temporary) == {refuge.name}


def test_without_matplotlib_the_model_is_kept_and_the_remedy_said_once(
    xpmlp: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.style", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    err = xpmlp("train", "digits", "--epochs", 1, "-o", "run", status=1).err
    assert files_of(Path("run")) == {"model.safetensors", "history.csv", "run.json"}
    assert err == (
        "Error: Not saved: curves.png, gallery.png, mistakes.png, confusion.png, calibration.png, weights.png. "
        "Saved in run: model.safetensors, history.csv, run.json. "
        'Drawing pictures needs matplotlib, which is not installed. Run: pip install "xpmlp[cli]"\n'
    )


def test_a_download_that_fails_says_so_and_how_to_do_without(
    command: Run, refused: Run, monkeypatch: pytest.MonkeyPatch, empty_folder: Path, tmp_path: Path
) -> None:
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9")
    cache = {name: str(tmp_path / "cache") for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME")}
    code, out, err = command("train", "mnist", env=os.environ | nowhere | cache | {"no_proxy": "", "NO_PROXY": ""})
    assert (code, out) == (1, "")
    assert err.startswith("Downloading https://")
    assert "Error: MNIST could not be downloaded:" in err
    assert "--data-dir" in err
    assert "Traceback" not in err
    monkeypatch.setitem(sys.modules, "pooch", None)
    refused(("train", "mnist"), 'pooch, which is not installed. Run: pip install "xpmlp[cli]"')
    assert list(empty_folder.iterdir()) == []


# Divergence


def test_what_was_good_before_a_run_diverged_is_saved(xpmlp: Run, no_pictures: None) -> None:
    # With so large a penalty a step takes more off a weight than it has, and the weights grow from epoch to epoch.
    growing = ("--optimizer", "sgd", "--schedule", "constant", "--learning-rate", 0.005, "--penalty", 30_000)
    _, out, err = xpmlp("train", "digits", *growing, "--epochs", 30, "-o", "run", status=1)
    (epoch,) = map(int, re.findall(r"^Error: Training diverged in epoch (\d+):", err))
    assert 1 < epoch < 30
    assert f"stopped after epoch {epoch - 1}: diverged" in out
    assert err.endswith(f"The network after epoch {epoch - 1} is saved in run.\n")
    assert files_of(Path("run")) == OF_IMAGES
    assert json.loads(Path("run/run.json").read_text(encoding="utf-8"))["epochs"] == epoch - 1
    xpmlp("evaluate", "run", "digits")


def test_a_network_that_learned_nothing_is_not_praised(xpmlp: Run, no_pictures: None) -> None:
    out = xpmlp("train", "digits", "--learning-rate", "1e6", "--schedule", "constant", "-o", "run").out
    assert "no better than always predicting the most common class" in out
    assert max(map(len, out.splitlines())) < 160


# Interruption


def interrupt(*arguments: Any, **options: Any) -> None:
    raise KeyboardInterrupt


def read_until(process: "subprocess.Popen[str]", beginning: str) -> str:
    """The process's output up to the first line that begins so."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(beginning):
            return "".join(lines)
    raise AssertionError(f"{beginning!r} never came: {''.join(lines)}{process.stderr and process.stderr.read()}")


def test_an_interrupted_run_is_saved_as_it_stood(
    xpmlp: Run, no_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt_in_2(self: EpochLines, run: Any) -> None:
        if len(run.history) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(EpochLines, "on_epoch_end", interrupt_in_2)
    _, out, err = xpmlp("train", "digits", "-o", "run", status=130)
    assert err == ""
    assert files_of(Path("run")) == OF_IMAGES
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert (record["stop_reason"], record["epochs"]) == ("interrupted", 2)
    assert "stopped after epoch 2: interrupted" in out
    assert len(Path("run/history.csv").read_text(encoding="utf-8").splitlines()) == 3
    evaluated = json.loads(xpmlp("evaluate", "run", "digits", "--json").out)
    assert evaluated["accuracy"] == record["test_accuracy"]


@needs_signals
def test_a_run_interrupted_in_its_first_epoch_leaves_nothing(start: Run, empty_folder: Path) -> None:
    # A step for every row, of a network so wide that the first epoch takes minutes.
    process = start("train", "digits", "--batch-size", 1, "--hidden", "3000,3000", "--threads", 1)
    read_until(process, "64-3000-3000-10")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    # A shell shows 130 for both: Python itself ends by the signal if it came during an import that runs text as code.
    assert process.returncode in (130, -signal.SIGINT)
    assert err == "Error: Interrupted before the end of the first epoch. Nothing is saved.\n"
    assert list(empty_folder.iterdir()) == []


def test_an_interruption_while_data_is_read_leaves_nothing(
    xpmlp: Run, monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> None:
    monkeypatch.setattr("xpmlp.cli.processes.load_by_options", interrupt)
    for output in ((), ("-o", "a/b")):
        _, out, err = xpmlp("train", "mnist", *output, status=130)
        assert out == ""
        assert "Nothing is saved" in err
        assert err.count("\n") == 1
        assert list(empty_folder.iterdir()) == []


def interrupt_in_c(*arguments: Any, **options: Any) -> None:
    """Raise another error in place of a KeyboardInterrupt, as code in C may do that calls Python."""
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    raise ValueError("Invalid bounding box")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (interrupt, "Error: Interrupted while saving. Saved in run: model.safetensors, history.csv.\n"),
        (interrupt_in_c, "Error: Interrupted (ValueError: Invalid bounding box).\n"),
    ],
)
def test_a_second_interruption_while_saving_keeps_the_model(
    xpmlp: Run, monkeypatch: pytest.MonkeyPatch, action: Run, message: str
) -> None:
    """Users press Ctrl-C twice. The model is written before anything that takes long, the report among it."""
    monkeypatch.setattr("xpmlp.cli.saving.evaluate", action)
    assert xpmlp("train", "digits", "--epochs", 2, "-o", "run", status=130).err == message
    assert files_of(Path("run")) == {"model.safetensors", "history.csv"}
    assert load_model(Path("run/model.safetensors")).layer_sizes == (64, 256, 10)


# Nobody reads along


@pytest.mark.slow
def test_a_run_goes_on_when_its_reader_has_left(start: Run) -> None:
    """As in ``xpmlp train … | head -1``: what is trained is worth more than the report on it."""
    process = start("train", "digits", "-o", "run")
    read_until(process, "digits:")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 0
    assert files_of(Path("run")) == OF_IMAGES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, a file on a disk that is full")
def test_a_run_goes_on_when_its_log_is_full(xpmlp: Run, no_pictures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        err = xpmlp("train", "digits", "--epochs", 2, "-o", "run").err
    assert err == "note: the output cannot be written (No space left on device); the run continues without it.\n"
    assert files_of(Path("run")) == OF_IMAGES
