"""The search itself: ask Optuna for settings, train them, tell it how good they are."""

import csv
import io
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from xpmlp.backends import Backend, load_backend
from xpmlp.datasets import Dataset
from xpmlp.errors import DataError, SettingsError
from xpmlp.optional_imports import import_optional
from xpmlp.plots.sweep import describe_value
from xpmlp.threads import use_threads
from xpmlp.training.distributed import Communicator, SingleProcess, digest
from xpmlp.training.inputs import as_dataset
from xpmlp.training.recipes import Recipe
from xpmlp.training.targets import choose_loss
from xpmlp.training.train import class_weights, find_recipe, make_samples, trains_on_bytes, with_smooth_labels

from .space import WHOLE, Range, Space, as_setting, check_space, default_space, size_of_grid
from .trials import Trial, make_rows, make_splits, share_out, train_trials

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("none", "halving", "hyperband")
TRIALS = 64  # unless the space is a grid
TOGETHER = 16  # trials of one population; Optuna learns between populations
FIRST_LOOK = 10  # trials are compared from this fraction of their epochs on
ASKED = "xpmlp"  # the study's attribute with what it was started for
RESULT = "result"  # a trial's attribute with what Optuna does not keep itself


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep.

    Attributes
    ----------
    trials
        The finished ones, in the order in which they were proposed.
    recipe
        The settings that were not swept.
    importances
        Share of each setting in the variance of the scores (fANOVA, Hutter et al. 2014); empty if there are too few
        trials to tell.
    interrupted
        Whether Ctrl-C ended it.
    """

    trials: tuple[Trial, ...]
    recipe: Recipe
    importances: Mapping[str, float]
    interrupted: bool = False

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
        rows = sorted((trial for trial in self.trials if trial.score is not None), key=rank, reverse=True)
        names = list(dict.fromkeys(name for trial in rows for name in trial.settings))
        head = "".join(f"<th>{name}</th>" for name in ("score", *names))
        body = "".join(
            f"<tr><td>{trial.score:.4f}</td>"
            + "".join(f"<td>{describe_value(trial.settings[name])}</td>" for name in names)
            + "</tr>"
            for trial in rows[:10]
        )
        return f"<table><caption>{len(self.trials)} trials, the best first</caption><tr>{head}</tr>{body}</table>"


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
    check_search(sampler, prune, trials, folds, seeds)
    wanted = count_trials(space, sampler, trials)
    backend = load_backend(backend) if isinstance(backend, str) else backend
    rows = make_rows(make_splits(dataset, folds), range(recipe.seed, recipe.seed + seeds))
    processes = Communicator.of(communicator) or SingleProcess()
    if processes.size > 1 and prune != "none":
        raise SettingsError(f"prune: {prune} compares trials while they are trained, so it needs a single process.")
    asked = describe_sweep(dataset, space, recipe, folds, seeds)
    processes.compare(asked)
    account: Any = None  # the first process keeps it
    if processes.rank == 0:
        account = Account(open_study(storage, sampler, prune, recipe, asked), space, sampler, recipe)
    weight = class_weights(dataset) if recipe.class_weight == "balanced" else None
    as_bytes = trains_on_bytes(backend, recipe)
    samples = make_samples(dataset, dataset.train, weight, choose_loss(dataset, recipe), as_bytes=as_bytes)
    samples = with_smooth_labels(samples, dataset, recipe)
    at_once = wanted if sampler == "grid" else TOGETHER * processes.size
    threads = processes.threads_each()
    interrupted = False
    try:
        while proposed := processes.from_first(
            account.ask_for(min(wanted - len(account.told), at_once)) if account else []
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
    importances: dict[str, float] = {}
    try:
        importances = account.importances() if account else {}
    except KeyboardInterrupt:
        interrupted = True
    found = account and Sweep(tuple(account.trials()), recipe, importances, interrupted)
    result: Sweep = processes.from_first(found)
    return result


def check_search(sampler: str, prune: str, trials: int | None, folds: int, seeds: int) -> None:
    """Refuse what no sweep can do, whatever the data, and any sweep without Optuna."""
    for name, value, choices in (("sampler", sampler, SAMPLERS), ("prune", prune, PRUNERS)):
        if value not in choices:
            raise SettingsError(f"{name}: {value!r} is not one of {', '.join(choices)}.")
    for name, count in (("trials", trials), ("folds", folds), ("seeds", seeds)):
        if count is not None and count < 1:
            raise SettingsError(f"{name}: {count} is too few; at least 1 is needed.")
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


def open_study(storage: str | None, sampler: str, prune: str, recipe: Recipe, asked: Mapping[str, str]) -> Any:
    """Return a study of Optuna: a new one, or the one in the storage if it is of the same sweep."""
    optuna = import_optional("optuna", extra="sweep", purpose="A sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    first = max(recipe.epochs // FIRST_LOOK, 1)
    pruners = {
        "none": optuna.pruners.NopPruner(),
        "halving": optuna.pruners.SuccessiveHalvingPruner(first),
        "hyperband": optuna.pruners.HyperbandPruner(first, recipe.epochs),
    }
    try:
        study = optuna.create_study(
            study_name="xpmlp",
            storage=storage,
            direction="maximize",
            pruner=pruners[prune],
            load_if_exists=True,
        )
    except Exception as error:
        if storage is None:
            raise
        raise SettingsError(
            f"storage: {storage!r} cannot be opened ({' '.join(str(error).split())[:200]}). Write sqlite:///FILE."
        ) from error
    before = study.user_attrs.get(ASKED, {})
    for name, value in asked.items():
        if before and before.get(name) != value:
            raise SettingsError(
                f"storage: {storage} holds another sweep: its {name} is {before.get(name)}, but now it is {value}. "
                "Choose another file."
            )
    study.set_user_attr(ASKED, dict(asked))
    seed = recipe.seed + len(study.get_trials(deepcopy=False))  # a sweep that goes on draws other settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # Trials of one population are asked for before any of them is told: each is to avoid the others.
        tpe = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study.sampler = tpe if sampler == "tpe" else optuna.samplers.RandomSampler(seed)
    return study


class Account:
    """What was proposed, trained and told. Only finished trials count; those of a process that was killed do not."""

    def __init__(self, study: Any, space: Space, sampler: str, recipe: Recipe) -> None:
        self.study = study
        self.space = space
        self.recipe = recipe
        self.optuna = import_optional("optuna", extra="sweep", purpose="A sweep")
        self.asked: dict[int, Any] = {}
        self.told: dict[int, Trial] = {}
        self.choices = {
            name: {describe_choice(value): value for value in values}
            for name, values in space.items()
            if not isinstance(values, Range)
        }
        states = self.optuna.trial.TrialState
        for frozen in study.get_trials(deepcopy=False):
            if RESULT in frozen.user_attrs:
                result = frozen.user_attrs[RESULT]
                self.told[frozen.number] = Trial(frozen.number, self.read(frozen.params), **result)
            elif frozen.state == states.RUNNING:  # its process was killed
                study.tell(frozen.number, state=states.FAIL)
                if frozen.params.keys() == space.keys():
                    study.enqueue_trial(frozen.params)
        if sampler == "grid":
            taken = {json.dumps(self.write(trial.settings), sort_keys=True) for trial in self.told.values()}
            for combination in product(*(choices for choices in self.choices.values())):
                params = dict(zip(self.choices, combination, strict=True))
                if json.dumps(params, sort_keys=True) not in taken:
                    study.enqueue_trial(params, skip_if_exists=True)

    def trials(self) -> list[Trial]:
        """Return the finished trials, in the order of their numbers."""
        return [self.told[number] for number in sorted(self.told)]

    def read(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings from what Optuna keeps."""
        return {
            name: self.choices[name][value] if name in self.choices else as_setting(name, value)
            for name, value in params.items()
        }

    def write(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what Optuna keeps of settings."""
        return {name: describe_choice(value) if name in self.choices else value for name, value in settings.items()}

    def ask_for(self, count: int) -> list[Trial]:
        """Return so many trials that Optuna proposes."""
        return [self.ask() for _ in range(count)]

    def ask(self) -> Trial:
        """Return a trial that Optuna proposes."""
        proposed = self.study.ask()
        params = {}
        for name, values in self.space.items():
            if isinstance(values, Range):
                if name in WHOLE and float(values.low).is_integer():
                    params[name] = proposed.suggest_int(name, int(values.low), int(values.high), log=values.log)
                else:
                    params[name] = proposed.suggest_float(name, values.low, values.high, log=values.log)
            else:
                params[name] = proposed.suggest_categorical(name, list(self.choices[name]))
        self.asked[proposed.number] = proposed
        return Trial(proposed.number, self.read(params))

    def should_prune(self, trial: Trial, epoch: int) -> bool:
        """Report a trial's score after an epoch, and return whether it has fallen too far behind."""
        proposed = self.asked[trial.number]
        proposed.report(trial.curve[-1], epoch)
        return bool(proposed.should_prune())

    def tell(self, trial: Trial, on_trial: Callable[[Trial], None] | None) -> None:
        """Keep a finished trial."""
        states = self.optuna.trial.TrialState
        proposed = self.asked.pop(trial.number)
        names = ("score", "spread", "loss", "curve", "seconds", "state")
        proposed.set_user_attr(RESULT, {name: getattr(trial, name) for name in names})
        if trial.state == "complete":
            self.study.tell(proposed, trial.score)
        else:
            self.study.tell(proposed, state=states.PRUNED if trial.state == "pruned" else states.FAIL)
        self.told[trial.number] = trial
        if on_trial is not None:
            on_trial(trial)

    def importances(self) -> dict[str, float]:
        """Return how much of the scores' variance each setting explains."""
        complete = [trial for trial in self.told.values() if trial.state == "complete"]
        varied = [name for name in self.space if len({str(trial.settings[name]) for trial in complete}) > 1]
        if len(complete) < 4 or len({trial.score for trial in complete}) < 2 or not varied:
            return {}
        optuna, study = self.optuna, self.optuna.create_study(direction="maximize")
        for trial in complete:
            numbers, ranges = {}, {}
            for name in varied:
                values, value = self.space[name], trial.settings[name]
                if isinstance(values, Range):
                    numbers[name] = float(value)
                    ranges[name] = optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)
                else:  # its position: to fANOVA, each of a list's values would be a dimension, at exponential cost
                    numbers[name] = list(values).index(value)
                    ranges[name] = optuna.distributions.IntDistribution(0, len(values) - 1)
            study.add_trial(optuna.create_trial(params=numbers, distributions=ranges, value=trial.score))
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return {name: float(value) for name, value in found.items()}


def describe_choice(value: Any) -> Any:
    """Return a value as Optuna keeps it, which has no tuples."""
    return describe_value(value) if isinstance(value, tuple) else value
