"""``xpmlp sweep`` tries settings, and leaves an ordinary run of the best."""

import csv
import re
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


def test_ctrl_c_after_the_trials_keeps_them_and_a_stored_sweep_goes_on_from_there(
    xpmlp: Any, monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> None:
    """A sweep that is killed is that of tests/training/test_sweep.py."""
    from xpmlp.cli import sweep as module
    from xpmlp.training.sweep import search

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    settings = "--hidden 4 --hidden 8 --hidden 16 --sampler grid --epochs 2"
    command = ("sweep", "iris", *settings.split(), "--storage", "sqlite:///trials.db", "-o", "out")
    with monkeypatch.context() as patch:
        patch.setattr(search, "find_importances", interrupt)
        patch.setattr(module, "fit_dataset", interrupt)
        err = xpmlp(*command, status=130).err
    assert "Interrupted before the end. Saved in out: trials.csv" in err
    trials = (empty_folder / "out" / "trials.csv").read_text(encoding="utf-8")
    assert len(trials.splitlines()) == 4
    assert re.search(r"^0 trials in .*, 3 earlier$", xpmlp(*command).out, re.MULTILINE)
    assert (empty_folder / "out" / "trials.csv").read_text(encoding="utf-8") == trials


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
