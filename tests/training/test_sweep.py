"""Sweeps find what is better, keep what is finished, and say what they were asked for wrongly."""

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp.datasets import load_dataset
from xpmlp.errors import DataError, SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam
from xpmlp.nn.samples import take_rows
from xpmlp.training import RECIPES, SCHEDULES, Recipe, fit
from xpmlp.training.sweep import Range, Space, Trial, default_space, parse_space, sweep
from xpmlp.training.sweep.space import as_setting, check_space
from xpmlp.training.sweep.trials import make_splits, share_out
from xpmlp.training.train import make_samples

optuna = pytest.importorskip("optuna")
QUICK = Recipe(hidden_layer_sizes=(8,), optimizer="adam", learning_rate=0.01, batch_size=32, epochs=15)
RATES = [1e-6, 1e-3, 0.03]


@pytest.fixture(scope="module")
def iris() -> Any:
    return load_dataset("iris")


def test_texts_become_values_and_ranges() -> None:
    space = parse_space(
        {
            "hidden_layer_sizes": ["64", "128,64", "none"],
            "learning_rate": ["1e-4..0.1 log"],
            "penalty": ["0 .. 0.5"],
            "batch_size": ["32, 64"],
            "activation": ["relu,tanh"],
        }
    )
    assert space == {
        "hidden_layer_sizes": ((64,), (128, 64), ()),
        "learning_rate": Range(1e-4, 0.1, log=True),
        "penalty": Range(0.0, 0.5),
        "batch_size": (32, 64),
        "activation": ("relu", "tanh"),
    }
    check_space(space, QUICK)
    assert as_setting("batch_size", 63.7) == 64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": {}}, "nothing to try"),
        ({"space": {"momentum": [0.9]}}, "momentum: is not a setting that can be swept"),
        ({"space": {"learning_rate": []}}, "learning_rate: has no values"),
        ({"space": {"learning_rate": [0.1, -1.0]}}, r"learning_rate: -1.0 is not a number above 0"),
        ({"space": {"learning_rate": Range(0.1, 0.01)}}, r"0.1..0.01 is not a range from low to high"),
        ({"space": {"penalty": Range(0.0, 1.0, log=True)}}, "begins above 0, not at 0"),
        ({"space": {"activation": Range(0.0, 1.0)}}, "activation: has no range"),
        ({"sampler": "cmaes"}, "sampler: 'cmaes' is not one of tpe, random, grid"),
        ({"prune": "median"}, "prune: 'median' is not one of none, halving, hyperband"),
        ({"trials": 0}, "trials: 0 is too few"),
        ({"folds": 121}, "folds: 121 is not from 2 to 120, the number of training rows"),
        ({"storage": "nowhere:///x"}, r"storage: 'nowhere:///x' cannot be opened"),
        ({"sampler": "grid", "space": {"penalty": Range(0.0, 1.0)}}, "a grid has no ranges, but penalty has one"),
        ({"recipe": Recipe(ensemble=2)}, "ensemble: a sweep compares single networks"),
    ],
)
def test_settings_that_make_no_sense_are_refused(iris: Any, settings: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"space": {"learning_rate": RATES}, "recipe": QUICK}
    with pytest.raises(SettingsError, match=message):
        sweep(iris, **usual | settings)


def test_a_grid_is_tried_whole_and_the_best_is_found(iris: Any) -> None:
    seen: list[Trial] = []
    space: Space = {"learning_rate": RATES, "hidden_layer_sizes": [(), (8,)]}
    found = sweep(iris, space, recipe=QUICK, sampler="grid", folds=3, seeds=2, on_trial=seen.append)
    tried = {(trial.settings["learning_rate"], trial.settings["hidden_layer_sizes"]) for trial in found.trials}
    assert tried == {(rate, sizes) for rate in RATES for sizes in ((), (8,))}
    assert {trial.number for trial in seen} == {trial.number for trial in found.trials}
    assert found.best.settings["learning_rate"] == 0.03
    assert found.best_recipe.learning_rate == 0.03
    assert found.best.score is not None
    assert found.best.score > 0.9
    assert found.best.spread is not None
    assert len(found.best.curve) == QUICK.epochs
    assert max(found.importances, key=found.importances.__getitem__) == "learning_rate"
    header, *lines = found.to_csv().splitlines()
    assert header == "number,learning_rate,hidden_layer_sizes,state,score,spread,loss,epochs,seconds"
    assert len(lines) == 6


def test_a_score_is_that_of_the_network_on_the_rows_that_were_held_out(iris: Any) -> None:
    recipe = replace(QUICK, dtype="float64", learning_rate=0.02)
    found = sweep(iris, {"learning_rate": [0.02, 0.01]}, recipe=recipe, sampler="grid", folds=3)
    samples, scores = make_samples(iris, iris.train), []
    for fold, (train, validation) in enumerate(make_splits(iris, 3)):
        glorot, generator = INITIALIZERS[recipe.initializer](), np.random.default_rng(0)
        result = fit(
            samples,
            layers=init_layers(np, generator, (4, 8, 3), glorot, dtype=np.float64),
            activation=ACTIVATIONS[recipe.activation],
            loss=LOSSES["softmax_cross_entropy"],
            optimizer=adam(),
            schedule=SCHEDULES[recipe.schedule](0.02),
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            generator=np.random.default_rng((0, fold)),
            rows=train,
            validation=take_rows(np, samples, validation),
        )
        scores.append(result.history[-1].validation_accuracy or 0.0)
    trial = next(trial for trial in found.trials if trial.settings["learning_rate"] == 0.02)
    assert trial.score == pytest.approx(np.mean(scores), abs=1e-12)


def test_regression_is_scored_by_r2_and_the_default_space_suits_it() -> None:
    diabetes = load_dataset("diabetes")
    recipe = replace(RECIPES["table"], hidden_layer_sizes=(16,), epochs=20)
    rate = recipe.learning_rate
    assert default_space(recipe)["learning_rate"] == pytest.approx((rate / 10, 3 * rate, True))
    found = sweep(diabetes, recipe=recipe, trials=8, sampler="random")
    assert len(found.trials) == 8
    assert found.best.score is not None
    assert found.best.score > 0.2


def test_diverging_trials_harm_no_other(iris: Any) -> None:
    recipe = replace(QUICK, optimizer="sgd")
    found = sweep(iris, {"learning_rate": [0.1, 1e30]}, recipe=recipe, sampler="grid")
    states = {trial.settings["learning_rate"]: trial.state for trial in found.trials}
    assert states == {0.1: "complete", 1e30: "diverged"}
    alone = sweep(iris, {"learning_rate": [0.1]}, recipe=recipe, sampler="grid")
    assert found.best.score == alone.best.score
    with pytest.raises(DataError, match="No trial was completed"):
        _ = sweep(iris, {"learning_rate": [1e30]}, recipe=recipe, sampler="grid").best


def test_pruned_trials_stop_early(iris: Any) -> None:
    space = {"learning_rate": [10.0**-power for power in range(1, 9)]}
    recipe = replace(QUICK, epochs=40)
    found = sweep(iris, space, recipe=recipe, sampler="grid", prune="halving")
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert all(len(trial.curve) < 40 for trial in pruned)
    assert found.best.state == "complete"


def test_a_stored_sweep_goes_on_and_tries_nothing_twice(iris: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"recipe": QUICK, "sampler": "grid", "storage": f"sqlite:///{tmp_path / 'trials.db'}"}
    space = {"learning_rate": [10.0**-power for power in range(1, 7)]}
    done: list[int] = []
    later: list[int] = []

    def stop_after_four(trial: Trial) -> None:
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(trial.number)

    first = sweep(iris, space, **settings, on_trial=stop_after_four)
    second = sweep(iris, space, **settings, on_trial=lambda trial: later.append(trial.number))
    assert (first.interrupted, second.interrupted) == (True, False)
    rates = [trial.settings["learning_rate"] for trial in second.trials]
    assert sorted(rates) == sorted(space["learning_rate"])
    assert set(done).isdisjoint(later)
    scores, all_scores = ({trial.number: trial.score for trial in found.trials} for found in (first, second))
    assert scores.items() <= all_scores.items()
    with pytest.raises(SettingsError, match="holds another sweep: its folds is 1, but now it is 3"):
        sweep(iris, space, **settings, folds=3)


KILLED = """
import sys
import xpmlp
from xpmlp.training.sweep import Range

storage, log = sys.argv[1:]
with open(log, "a", buffering=1) as file:
    xpmlp.sweep(
        "digits",
        {"learning_rate": Range(1e-4, 0.1, log=True), "hidden_layer_sizes": [(16,), (32,)]},
        recipe=xpmlp.Recipe(epochs=3),
        trials=90,
        sampler="random",
        storage=storage,
        on_trial=lambda trial: file.write(f"{trial.number} {trial.settings} {trial.score!r}\\n"),
    )
"""


@pytest.mark.slow
def test_a_sweep_that_is_killed_again_and_again_loses_no_trial_and_trains_none_twice(tmp_path: Path) -> None:
    storage, log = f"sqlite:///{tmp_path / 'trials.db'}", tmp_path / "log"
    log.touch()
    chance, kills = random.Random(0), 0
    while True:
        before = len(log.read_text().splitlines())
        process = subprocess.Popen([sys.executable, "-c", KILLED, storage, str(log)])
        enough = before + chance.randint(0, 8) if kills < 10 else 10**6
        while process.poll() is None and len(log.read_text().splitlines()) <= enough:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.05))
        if process.poll() is not None:
            assert process.returncode == 0
            break
        process.kill()
        process.wait()
        kills += 1
    assert kills >= 5  # on a busy machine, a run may end before it is killed
    told = [line.split(" ", 1) for line in log.read_text().rpartition("\n")[0].splitlines()]
    study = optuna.load_study(study_name="xpmlp", storage=storage)
    finished = [trial for trial in study.trials if "result" in trial.user_attrs]
    assert len(finished) == 90
    assert len({number for number, _ in told}) == len(told)
    settings = [text.rsplit(" ", 1)[0] for _, text in told]
    assert len(set(settings)) == len(settings)
    scores = {str(trial.number): repr(trial.user_attrs["result"]["score"]) for trial in finished}
    assert {number: text.rsplit(" ", 1)[1] for number, text in told}.items() <= scores.items()
    assert len({str(trial.params) for trial in finished}) == 90


def test_what_matters_is_found_among_many_values_in_little_time(iris: Any) -> None:
    space: Space = {"learning_rate": [0.001 * 1.2**power for power in range(30)], "penalty": [0.0, 0.001]}
    found = sweep(iris, space, recipe=replace(QUICK, epochs=3), sampler="grid")
    assert found.importances["learning_rate"] > found.importances["penalty"]


def test_processes_have_equally_much_to_do(iris: Any) -> None:
    widths = [256, 8, 8, 64, 8, 64, 8, 8, 64, 8, 8, 8]  # of a hidden layer with 4 inputs and 3 outputs
    trials = [Trial(number, {"hidden_layer_sizes": (width,)}) for number, width in enumerate(widths)]
    parts = share_out(trials, QUICK, iris, 2)
    assert sorted(trial.number for part in parts for trial in part) == list(range(12))
    assert [sum(widths[trial.number] for trial in part) for part in parts] == [256, 256]
    assert share_out(trials, QUICK, iris, 1) == [trials]
