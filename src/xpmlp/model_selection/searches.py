"""scikit-learn's searches, with another `Parallel`: the object that they hand all their fits to."""

import functools
import inspect
import logging
from collections.abc import Callable
from types import FunctionType
from typing import Any

import joblib
import sklearn.model_selection
from sklearn.base import _fit_context
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the halving searches importable
from sklearn.model_selection import _search_successive_halving as halving
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils._param_validation import validate_params
from sklearn.utils.parallel import Parallel, delayed

from .population import Task, train_and_score

logger = logging.getLogger(__name__)


class PopulationParallel(Parallel):
    """scikit-learn's `Parallel`, except that the networks among its tasks are trained at once.

    With `n_jobs`, each process trains its share of the candidates at once. All other tasks are run as always.
    """

    said = False

    def __call__(self, iterable: Any) -> list[Any]:
        """Run tasks of ``_fit_and_score``, and return their results in order."""
        tasks = [Task(*task) for task in iterable]
        shares = share_out(tasks, joblib.effective_n_jobs(self.n_jobs))
        if len(shares) > 1:
            of_shares = super().__call__(delayed(train_and_score)([tasks[i] for i in share]) for share in shares)
        else:
            of_shares = [train_and_score(tasks)]
        results: dict[int, Any] = {}
        reasons: dict[int, str] = {}
        for share, (found, refused) in zip(shares, of_shares, strict=True):
            results |= {share[index]: result for index, result in found.items()}
            reasons |= {share[index]: reason for index, reason in refused.items()}
        if reasons and not self.said:
            self.said = True
            why = "; ".join(dict.fromkeys(reasons.values()))
            logger.warning("%d of %d fits are left to scikit-learn, one by one: %s.", len(reasons), len(tasks), why)
        others = super().__call__(tuple(tasks[index]) for index in reasons) if reasons else []
        results |= dict(zip(reasons, others, strict=True))
        return [results[index] for index in range(len(tasks))]


def share_out(tasks: list[Task], shares: int) -> list[list[int]]:
    """Return the indices of the tasks in so many shares, candidate by candidate in turn."""
    candidates: dict[int, list[int]] = {}
    for index, task in enumerate(tasks):
        parameters = task.keywords.get("parameters")
        candidates.setdefault(index if parameters is None else id(parameters), []).append(index)
    every = list(candidates.values())
    in_turn = [[index for candidate in every[share::shares] for index in candidate] for share in range(shares)]
    return [share for share in in_turn if share] or [[]]


def with_globals(function: Callable[..., Any], **names: Any) -> Callable[..., Any]:
    """Return a copy of a function that reads other values under some names of its module; the module is unchanged."""
    inner = inspect.unwrap(function)
    copy = FunctionType(inner.__code__, {**inner.__globals__, **names}, inner.__name__, inner.__defaults__)
    copy.__kwdefaults__ = inner.__kwdefaults__
    return functools.update_wrapper(copy, inner)


def with_population(function: Callable[..., Any], **names: Any) -> Any:
    """Return a copy of one of scikit-learn's functions that trains populations, with the same checks of arguments."""
    checked = validate_params(vars(function)["_skl_parameter_constraints"], prefer_skip_nested_validation=False)
    return checked(with_globals(function, **names))


class PopulationSearch(BaseSearchCV):
    """The part of a search that hands out the fits."""

    fit = _fit_context(prefer_skip_nested_validation=False)(with_globals(BaseSearchCV.fit, Parallel=PopulationParallel))


class GridSearchCV(sklearn.model_selection.GridSearchCV, PopulationSearch):
    """``sklearn.model_selection.GridSearchCV``; networks of xpmlp are trained all at once."""


class RandomizedSearchCV(sklearn.model_selection.RandomizedSearchCV, PopulationSearch):
    """``sklearn.model_selection.RandomizedSearchCV``; networks of xpmlp are trained all at once."""


class HalvingGridSearchCV(halving.HalvingGridSearchCV, PopulationSearch):
    """``sklearn.model_selection.HalvingGridSearchCV``; networks of xpmlp are trained all at once, in each round."""


class HalvingRandomSearchCV(halving.HalvingRandomSearchCV, PopulationSearch):
    """``sklearn.model_selection.HalvingRandomSearchCV``; networks of xpmlp are trained all at once, in each round."""


cross_validate = with_population(sklearn.model_selection.cross_validate, Parallel=PopulationParallel)
cross_val_score = with_population(sklearn.model_selection.cross_val_score, cross_validate=cross_validate)
