"""The fits of a search: prepared, trained as populations, and scored by scikit-learn's own function."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection._validation import _fit_and_score
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import validate_data

from xpmlp.estimators.arrays import decode, numpy_backend, to_host
from xpmlp.estimators.functions import prediction_functions
from xpmlp.estimators.problem import Problem
from xpmlp.nn.ensembles import stack_networks
from xpmlp.nn.network import forward
from xpmlp.nn.samples import Samples
from xpmlp.training.population import Rows, shapes_of, train_widths

from .networks import Fit, Preparation, UnsuitableError

SCORED_AT_ONCE = 2**17  # units: a megabyte, which stays in the cache and is not asked for again


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
    kinds: dict[Any, dict[int, Fit]] = {}
    for index, fit in fits.items():
        kinds.setdefault(fit.kind, {})[index] = fit
    for of_kind in kinds.values():
        began = time.perf_counter()
        train(list(of_kind.values()))
        for fit in of_kind.values():
            fit.seconds += (time.perf_counter() - began) / len(of_kind)
        score_together(of_kind, tasks)
    return {index: score(fit, tasks[index]) for index, fit in fits.items()}, reasons


def train(fits: list[Fit]) -> None:
    """Train networks of one architecture, in all its widths."""
    samples, positions = pool({id(fit.fold): fit.fold for fit in fits})
    rows: dict[int, Rows] = {}
    for fit in fits:
        position, own = positions[id(fit.fold)], fit.rows
        validation = None if own.validation is None else position[own.validation]
        rows.setdefault(id(own), Rows(position[own.train], own.shuffler, validation))
    train_widths(
        samples,
        [fit.make_member(rows[id(fit.rows)]) for fit in fits],
        activation=fits[0].activation,
        loss=fits[0].loss,
        optimizer=fits[0].optimizer,
        batch_size=fits[0].batch_size,
        backend=fits[0].fold.backend,
    )


def pool(folds: dict[int, Problem]) -> tuple[Samples, dict[int, Any]]:
    """Return the samples of all folds on the host, and the positions of each fold's rows among them, by its key."""
    parts = [fold.samples.map(to_host) for fold in folds.values()]
    weights = [np.ones(part.rows, part.x.dtype) if part.weight is None else part.weight for part in parts]
    samples = Samples(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate(weights) if any(part.weight is not None for part in parts) else None,
    )
    ends = np.cumsum([part.rows for part in parts])
    return samples, {key: np.arange(end - part.rows, end) for key, part, end in zip(folds, parts, ends, strict=True)}


def score_together(fits: dict[int, Fit], tasks: Sequence[Task]) -> None:
    """Compute the accuracies on each fold's test rows of all networks of one architecture that are trained."""
    folds: dict[Any, list[int]] = {}
    for index, fit in fits.items():
        task = tasks[index]
        if fit.has_accuracy(task.keywords, task.arguments[2]):
            key = (id(fit.fold), id(task.keywords["test"]), shapes_of(fit.member.layers))
            folds.setdefault(key, []).append(index)
    for fold in folds.values():
        with contextlib.suppress(Exception):  # scikit-learn then scores them one by one, and says what is wrong
            score_fold([fits[index] for index in fold], tasks[fold[0]])


def score_fold(fits: list[Fit], task: Task) -> None:
    """Compute the accuracies of networks on the test rows that they share."""
    (_, X, y), network, backend = task.arguments, fits[0].network, numpy_backend()
    x, truth = _safe_split(fits[0].estimator, X, y, task.keywords["test"], task.keywords["train"])
    if fits[0].estimator is not network and len(fits[0].estimator.steps) > 1:
        x = fits[0].estimator[:-1].transform(x)
    x = np.asarray(validate_data(network, x, reset=False), fits[0].member.dtype)
    activation, loss = prediction_functions(network, backend)
    widest = max(layer.weight.shape[-1] for layer in fits[0].member.layers)
    together = max(1, SCORED_AT_ONCE // (len(truth) * widest))
    for start in range(0, len(fits), together):
        some = fits[start : start + together]
        layers = stack_networks(np, [fit.member.layers for fit in some])
        with backend.threads_for(layers, len(x)):
            outputs = loss.predict(np, forward(np, layers, x, activation)[1])
        labels = decode(backend, outputs.reshape(-1, outputs.shape[-1]), network._label_binarizer)
        accuracies = np.mean(labels.reshape(len(some), -1) == truth, axis=-1).tolist()
        for fit, accuracy in zip(some, accuracies, strict=True):
            fit.test_score = accuracy


def score(fit: Fit, task: Task) -> Any:
    """Let scikit-learn's function score an estimator that is fitted already, and return what it returns."""
    estimator = fit.estimator
    _, *data = task.arguments
    # On this instance alone and for this call alone, there is nothing left to set or to fit.
    replaced: dict[str, Any] = {"fit": fit.fitted, "set_params": lambda **parameters: estimator}
    if fit.test_score is not None:
        replaced["score"] = lambda *_: fit.test_score
    vars(estimator).update(replaced)
    try:
        result = _fit_and_score(estimator, *data, **task.keywords)
    finally:
        for name in replaced:
            del vars(estimator)[name]
    if "fit_time" in result:
        result["fit_time"] += fit.seconds
    return result
