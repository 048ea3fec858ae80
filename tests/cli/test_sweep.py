"""``xpmlp sweep`` tries settings, and leaves an ordinary run of the best."""

import csv
import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")


def test_it_leaves_a_run_of_the_best_settings(xpmlp: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    out = xpmlp(
        *("sweep", "iris", "--learning-rate", "1e-4..0.1 log", "--hidden", "8", "--hidden", "16,8", "--epochs", "30"),
        *("--trials", "10", "--sampler", "random", "--seeds", "2", "-o", folder),
    ).out
    assert "learning_rate: 0.0001 to 0.1, in powers of ten" in out
    assert "hidden_layer_sizes: 8, 16-8" in out
    assert "10 trials in" in out
    trials = list(csv.DictReader((folder / "trials.csv").read_text(encoding="utf-8").splitlines()))
    assert len(trials) == 10
    assert max(float(trial["score"]) for trial in trials) > 0.9
    for name in ("sweep_curves.png", "sweep_settings.png", "sweep_parallel.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    out = xpmlp("evaluate", folder, "iris").out
    assert "accuracy" in out


def test_ctrl_c_after_the_trials_keeps_them(xpmlp: Any, monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    from xpmlp.cli import sweep as module
    from xpmlp.training.sweep import search

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "find_importances", interrupt)
    monkeypatch.setattr(module, "fit_dataset", interrupt)
    err = xpmlp("sweep", "iris", "--hidden", "4", "--hidden", "8", "--epochs", "2", "-o", "out", status=130).err
    assert "Interrupted before the end. Saved in out: trials.csv" in err
    assert len((empty_folder / "out" / "trials.csv").read_text(encoding="utf-8").splitlines()) > 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--learning-rate", "quick"),
            "learning_rate: 'quick' is not a number. Write values as 0.001,0.01 or a range as",
        ),
        (("--learning-rate", "0.1..0.01"), "learning_rate: 0.1..0.01 is not a range from low to high"),
        (("--hidden", "8;16"), "--hidden: '8;16' is not a list of sizes"),
        (("--activation", "relu,tahn"), "activation: 'tahn' is not one of"),
        (("--sampler", "grid", "--penalty", "0..1"), "--sampler: a grid has no ranges, but penalty has one"),
        (("--trials", "0"), "--trials: 0 is too few"),
        (("--prune", "early"), "--prune: 'early' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused_before_data_are_read(
    refused: Any, empty_folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused(("sweep", "/nowhere", *arguments), message)
    assert not list(empty_folder.iterdir())


@pytest.mark.slow
def test_a_sweep_killed_at_any_moment_loses_no_finished_trial(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'trials.db'}"
    rates = ",".join(f"{0.001 * number:.3f}" for number in range(1, 41))
    command = [sys.executable, "-m", "xpmlp", "sweep", "digits", "--learning-rate", rates, "--sampler", "grid"]
    command += ["--epochs", "30", "--storage", storage, "-o", str(tmp_path / "out")]
    import optuna

    finished: dict[int, float] = {}
    for wait in (0.3, 0.8):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            while running.poll() is None:
                time.sleep(wait)
                if len(read_finished(optuna, storage)) > len(finished):
                    running.send_signal(signal.SIGKILL)
                    break
        now = read_finished(optuna, storage)
        assert finished.items() <= now.items()
        finished = now
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    now = read_finished(optuna, storage)
    assert finished.items() <= now.items()
    trials = list(csv.DictReader((tmp_path / "out" / "trials.csv").read_text(encoding="utf-8").splitlines()))
    assert sorted(float(trial["learning_rate"]) for trial in trials) == [float(rate) for rate in rates.split(",")]


def read_finished(optuna: Any, storage: str) -> dict[int, float]:
    """Return the scores of the finished trials."""
    try:
        pool = importlib.import_module("sqlalchemy.pool")
        # Without a pool, each connection is closed after use, as Python 3.13 insists.
        kept = optuna.storages.RDBStorage(storage, engine_kwargs={"poolclass": pool.NullPool})
        study = optuna.load_study(study_name="xpmlp", storage=kept)
    except Exception:  # noqa: BLE001 - the file is being made
        return {}
    return {trial.number: trial.value for trial in study.get_trials() if trial.state.is_finished() and trial.values}
