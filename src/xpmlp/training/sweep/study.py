"""A sweep's study in Optuna: the proposed trials, their results, and the importances of the settings."""

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from xpmlp.errors import SettingsError
from xpmlp.optional_imports import import_optional
from xpmlp.plots.sweep import describe_value
from xpmlp.training.recipes import Recipe

from .space import WHOLE, Range, Space, as_setting
from .trials import Trial

FIRST_LOOK = 10  # trials are compared from this fraction of their epochs on
ASKED = "xpmlp"  # the study's attribute with what it was started for
RESULT = "result"  # a trial's attribute with what Optuna does not keep itself


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
        kept = None if storage is None else optuna.storages.RDBStorage(storage)
        study = optuna.create_study(
            study_name="xpmlp", storage=kept, direction="maximize", pruner=pruners[prune], load_if_exists=True
        )
    except Exception as error:
        if storage is None:
            raise
        raise SettingsError(
            f"storage: {storage!r} cannot be opened ({' '.join(str(error).split())[:200]}). Write sqlite:///FILE."
        ) from error
    if kept:
        weakref.finalize(study, kept.engine.dispose)  # Optuna leaves the database open
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
    """The proposed and the finished trials. Only finished trials count; those of a process that was killed do not."""

    def __init__(self, study: Any, space: Space, sampler: str, recipe: Recipe) -> None:
        self.study = study
        self.space = space
        self.recipe = recipe
        self.optuna = import_optional("optuna", extra="sweep", purpose="A sweep")
        self.asked: dict[int, Any] = {}
        self.told: dict[int, Trial] = {}
        self.choices = {  # by what Optuna keeps of them, which has no tuples
            name: {describe_value(value) if isinstance(value, tuple) else value: value for value in values}
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
            for combination in product(*self.choices.values()):
                study.enqueue_trial(dict(zip(self.choices, combination, strict=True)), skip_if_exists=True)

    def trials(self) -> list[Trial]:
        """Return the finished trials, in the order of their numbers."""
        return [self.told[number] for number in sorted(self.told)]

    def read(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings from what Optuna keeps."""
        return {
            name: self.choices[name][value] if name in self.choices else as_setting(name, value)
            for name, value in params.items()
        }

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


def find_importances(space: Space, trials: Sequence[Trial]) -> dict[str, float]:
    """Return how much of the scores' variance each setting explains."""
    complete = [trial for trial in trials if trial.state == "complete"]
    varied = [name for name in space if len({str(trial.settings[name]) for trial in complete}) > 1]
    if len(complete) < 4 or len({trial.score for trial in complete}) < 2 or not varied:
        return {}
    optuna = import_optional("optuna", extra="sweep", purpose="A sweep")
    study = optuna.create_study(direction="maximize")
    for trial in complete:
        numbers, ranges = {}, {}
        for name in varied:
            values, value = space[name], trial.settings[name]
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
