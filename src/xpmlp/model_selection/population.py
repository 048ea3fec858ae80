"""The fits of a search: prepared, trained as populations, and scored by scikit-learn's own function."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection._validation import _fit_and_score

from xpmlp.nn.samples import Samples
from xpmlp.training.population import Rows, train_population

from .networks import Fit, Inputs, Preparation, UnsuitableError


class Task(NamedTuple):
    """A call that a search wants to be made."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def train_and_score(tasks: Sequence[Task]) -> tuple[dict[int, Any], dict[int, str]]:
    """Train the networks among the tasks at once, and score them.

    Returns
    -------
    results
        Of the tasks by their index, as scikit-learn's ``_fit_and_score`` returns them.
    reasons
        Why a task has no result, by its index: it is left to scikit-learn.
    """
    preparation, fits, reasons = Preparation(), {}, {}
    for index, task in enumerate(tasks):
        try:
            if getattr(task.function, "function", None) is not _fit_and_score:
                raise UnsuitableError("they are no fits of an estimator")
            estimator, X, y = task.arguments
            fits[index] = preparation.prepare(estimator, X, y, task.keywords)
        except UnsuitableError as error:
            reasons[index] = str(error)
    kinds: dict[Any, list[Fit]] = {}
    for fit in fits.values():
        kinds.setdefault(fit.kind, []).append(fit)
    for of_kind in kinds.values():
        began = time.perf_counter()
        train(of_kind)
        for fit in of_kind:
            fit.seconds += (time.perf_counter() - began) / len(of_kind)
    return {index: score(fit, tasks[index]) for index, fit in fits.items()}, reasons


def train(fits: list[Fit]) -> None:
    """Train networks of one architecture, and store them in their estimators."""
    backend = fits[0].backend
    samples, offsets = pool({id(fit.inputs): fit.inputs for fit in fits})
    rows: dict[int, Rows] = {}
    for fit in fits:
        if id(fit.rows) not in rows:
            position = offsets[id(fit.inputs)]
            validation = fit.rows.validation
            rows[id(fit.rows)] = Rows(
                position[fit.rows.train],
                fit.rows.shuffler,
                None if validation is None else position[validation],
            )
    members = [fit.member(rows[id(fit.rows)]) for fit in fits]
    train_population(
        samples,
        members,
        activation=fits[0].activation,
        loss=fits[0].loss,
        optimizer=fits[0].optimizer,
        batch_size=fits[0].batch_size,
        backend=backend,
    )
    for fit, member in zip(fits, members, strict=True):
        fit.finish(member)


def pool(inputs: dict[int, Inputs]) -> tuple[Samples, dict[int, Any]]:
    """Return all samples, and for each of the inputs the positions of its rows among them, by its key.

    Training rows that are the search's own, of several folds and without weights, are held once.
    """
    parts = list(inputs.values())
    weighted = any(part.weight is not None for part in parts)
    source = parts[0]
    shared = [part.x is not source.x and part.source is not None and part.source is source.source for part in parts[1:]]
    if shared and all(shared) and not weighted and all(part.same_targets(source) for part in parts):
        count = 1 + max(int(np.max(part.train)) for part in parts)
        x = np.zeros((count, source.x.shape[1]), source.x.dtype)
        targets = np.zeros((count, source.targets.shape[1]), source.targets.dtype)
        for part in parts:
            x[part.train], targets[part.train] = part.x, part.targets
        return Samples(x, targets), {key: part.train for key, part in inputs.items()}
    starts = np.cumsum([0, *(len(part.x) for part in parts)])
    weights = [np.ones(len(part.x), part.x.dtype) if part.weight is None else part.weight for part in parts]
    samples = Samples(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate(weights) if weighted else None,
    )
    offsets = {key: start + np.arange(len(part.x)) for (key, part), start in zip(inputs.items(), starts, strict=False)}
    return samples, offsets


def score(fit: Fit, task: Task) -> Any:
    """Let scikit-learn's function score an estimator that is fitted already, and return what it returns."""
    estimator = fit.estimator
    _, *data = task.arguments
    # On this instance alone and for this call alone, there is nothing left to set or to fit.
    vars(estimator).update(fit=fit.fitted, set_params=lambda **parameters: estimator)
    try:
        result = _fit_and_score(estimator, *data, **task.keywords)
    finally:
        del vars(estimator)["fit"], vars(estimator)["set_params"]
    if "fit_time" in result:
        result["fit_time"] += fit.seconds
    return result
