"""The search itself: ask Optuna for settings, train them, tell it how good they are."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from xpmlp.backends import Backend, load_backend
from xpmlp.datasets import Dataset
from xpmlp.errors import DataError, SettingsError
from xpmlp.notebooks import html_table
from xpmlp.optional_imports import import_optional
from xpmlp.plots.sweep import describe_value
from xpmlp.threads import use_threads
from xpmlp.training.distributed import Communicator, digest
from xpmlp.training.inputs import as_dataset
from xpmlp.training.population import Rows
from xpmlp.training.recipes import Recipe
from xpmlp.training.train import find_recipe, make_samples

from .space import Range, Space, check_space, default_space, size_of_grid
from .study import Account, find_importances, open_study
from .trials import Trial, make_splits, share_out, train_trials

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("none", "halving", "hyperband")
TRIALS = 64  # unless the space is a grid
TOGETHER = 16  # trials of one population; Optuna learns between populations


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep.

    Attributes
    ----------
    trials
        The finished ones, in the order in which they were proposed.
    recipe
        The settings that were not swept.
    space
        Those that were.
    interrupted
        Whether Ctrl-C ended it.
    """

    trials: tuple[Trial, ...]
    recipe: Recipe
    space: Space
    interrupted: bool = False

    @cached_property
    def importances(self) -> Mapping[str, float]:
        """Share of each setting in the variance of the scores (fANOVA, Hutter et al. 2014).

        Empty if there are too few trials to tell.
        """
        return find_importances(self.space, self.trials)

    @property
    def best(self) -> Trial:
        """The complete trial with the highest score; among equals, the one with the lowest loss."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        if not complete:
            raise DataError("No trial was completed: all diverged, or were stopped. Try smaller learning rates.")
        return max(complete, key=rank)

    @property
    def best_recipe(self) -> Recipe:
        """All settings of the best trial."""
        return replace(self.recipe, **self.best.settings)

    def to_csv(self) -> str:
        """Return a row for each trial: settings, scores, seconds."""
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.settings))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["number", *names, "state", "score", "spread", "loss", "epochs", "seconds"])
        for trial in self.trials:
            settings = (trial.settings[name] for name in names)
            values = [describe_value(value) if isinstance(value, tuple) else value for value in settings]
            result = [trial.state, trial.score, trial.spread, trial.loss, len(trial.curve), round(trial.seconds, 4)]
            writer.writerow([trial.number, *values, *result])
        return text.getvalue()

    def _repr_html_(self) -> str:
        best = sorted((trial for trial in self.trials if trial.score is not None), key=rank, reverse=True)
        names = list(dict.fromkeys(name for trial in best for name in trial.settings))
        rows = [(f"{t.score:.4f}", *(describe_value(t.settings[name]) for name in names)) for t in best[:10]]
        return html_table(("score", *names), rows, f"{len(self.trials)} trials, the best first")


def rank(trial: Trial) -> tuple[float, float]:
    """Return a key by which better trials are larger."""
    return (-np.inf if trial.score is None else trial.score, -np.inf if trial.loss is None else -trial.loss)


def sweep(
    data: Dataset | Any,
    space: Space | None = None,
    *,
    recipe: Recipe | str | None = None,
    trials: int | None = None,
    sampler: str = "tpe",
    folds: int = 1,
    seeds: int = 1,
    prune: str = "none",
    storage: str | None = None,
    backend: Backend | str = "numpy",
    on_trial: Callable[[Trial], None] | None = None,
    communicator: Communicator | Any = None,
    **options: Any,
) -> Sweep:
    """Try settings on the training rows, many networks at once; the test rows choose nothing.

    Parameters
    ----------
    data
        As for `train`, with the same `options`.
    space
        The settings to try; by default `default_space`.
    recipe
        The other settings; by default those of `train`.
    trials
        How many settings to try; by default 64, or all combinations of a grid.
    sampler
        ``"tpe"`` proposes what promises to be better than what it has seen (Bergstra et al. 2011), ``"random"`` draws,
        ``"grid"`` takes every combination of the values.
    folds
        2 or more: score by cross-validation. 1: on a fifth of the training rows.
    seeds
        Networks with different initial weights for each trial and fold.
    prune
        ``"halving"`` (Li et al. 2018) or ``"hyperband"`` stop trials early that fall behind.
    storage
        Where Optuna keeps the trials, such as ``"sqlite:///FILE"``; a sweep that was stopped goes on from there. In
        memory by default.
    on_trial
        Called with each trial when it is finished. Ctrl-C ends the sweep, and keeps those.
    communicator
        Several processes that share the trials, such as ``mpi4py.MPI.COMM_WORLD``. The first one keeps the account.

    Raises
    ------
    SettingsError
        For an empty or contradictory space, a value out of range, or a storage of another sweep.
    MissingDependencyError
        If Optuna is not installed.
    """
    dataset = as_dataset(data, **options)
    recipe = find_recipe(recipe, dataset)
    space = default_space(recipe) if space is None else space
    check_space(space, recipe)
    processes = Communicator.of(communicator)
    check_search(sampler, prune, trials, folds, seeds, processes.size)
    wanted = count_trials(space, sampler, trials)
    backend = load_backend(backend) if isinstance(backend, str) else backend
    rows = {  # of each seed on each fold; all trials share them
        (seed, fold): Rows(train, np.random.default_rng((seed, fold)), validation)
        for seed in range(recipe.seed, recipe.seed + seeds)
        for fold, (train, validation) in enumerate(make_splits(dataset, folds))
    }
    asked = describe_sweep(dataset, space, recipe, folds, seeds)
    processes.compare(asked)
    account: Any = None  # the first process keeps it
    if processes.rank == 0:
        account = Account(open_study(storage, sampler, prune, recipe, asked), space, sampler, recipe)
    samples = make_samples(dataset, dataset.train, recipe, backend, smooth=True)
    at_once = wanted if sampler == "grid" else TOGETHER * processes.size
    threads = processes.threads_each()
    interrupted = False
    try:
        while proposed := processes.from_first(
            [account.ask() for _ in range(min(wanted - len(account.told), at_once))] if account else []
        ):
            finished: list[Trial] = []
            with use_threads(threads):
                train_trials(
                    share_out(proposed, recipe, dataset, processes.size)[processes.rank],
                    recipe,
                    dataset,
                    samples,
                    rows,
                    backend,
                    should_prune=None if account is None or prune == "none" else account.should_prune,
                    # A trial is kept at once, so that a kill does not cost it.
                    on_finish=(lambda trial: account.tell(trial, on_trial)) if processes.size == 1 else finished.append,
                )
            for trial in processes.gather(finished):
                account.tell(trial, on_trial)
    except KeyboardInterrupt:
        interrupted = True
        if account is None or not any(trial.state == "complete" for trial in account.trials()):
            raise
    result: Sweep = processes.from_first(account and Sweep(tuple(account.trials()), recipe, space, interrupted))
    return result


def check_search(sampler: str, prune: str, trials: int | None, folds: int, seeds: int, processes: int = 1) -> None:
    """Refuse what no sweep can do, whatever the data, and any sweep without Optuna."""
    for name, value, choices in (("sampler", sampler, SAMPLERS), ("prune", prune, PRUNERS)):
        if value not in choices:
            raise SettingsError(f"{name}: {value!r} is not one of {', '.join(choices)}.")
    for name, count in (("trials", trials), ("folds", folds), ("seeds", seeds)):
        if count is not None and count < 1:
            raise SettingsError(f"{name}: {count} is too few; at least 1 is needed.")
    if processes > 1 and prune != "none":
        raise SettingsError(
            f"prune: {prune} compares trials while they are trained, which several processes cannot. Start one alone, "
            "or use none."
        )
    import_optional("optuna", extra="sweep", purpose="A sweep")


def count_trials(space: Space, sampler: str, trials: int | None) -> int:
    """Return how many trials a sweep has: no more than there are combinations, if these can be counted."""
    grid = size_of_grid(space)
    if sampler == "grid" and grid is None:
        ranges = ", ".join(name for name, values in space.items() if isinstance(values, Range))
        raise SettingsError(f"sampler: a grid has no ranges, but {ranges} has one. List its values, or use random.")
    if sampler == "grid" and trials is None:
        return grid or 0
    return min(trials or TRIALS, grid or 2**62)


def describe_sweep(dataset: Dataset, space: Space, recipe: Recipe, folds: int, seeds: int) -> dict[str, str]:
    """Return what must be the same for trials to be compared, in plain texts."""
    fixed = {name: value for name, value in recipe.to_json().items() if name not in space}
    plain = {name: list(values) for name, values in space.items()}
    rows = digest(np.asarray(dataset.train.take(slice(100)).x), dataset.train.labels)
    return {
        "data": f"{dataset.name}, {dataset.train.rows} training rows, checksum {rows}",
        "space": json.dumps(plain),
        "settings": json.dumps(fixed),
        "folds": str(folds),
        "seeds": str(seeds),
    }
