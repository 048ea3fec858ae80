"""SGD and Adam: `xpmlp.training.fit`, with scikit-learn's shuffling, validation split and stopping."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Int64
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from xpmlp.nn.dropout import has_dropout
from xpmlp.nn.optimizers import Optimizer, adam, adamw, sgd
from xpmlp.training import DivergedError, FitResult, fit
from xpmlp.training.errors import USE_SMALLER
from xpmlp.training.population import Rows, with_largest_norm

from .arrays import to_host
from .functions import activation_of, dropout_of, l2_of, reported_loss
from .problem import Problem
from .sklearn_callbacks import SklearnCallbacks
from .stopping import LearningRate, Stopping, make_score

LARGE = 1e3  # values beyond may be the cause if training diverges

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd,
    "nesterov": functools.partial(sgd, nesterov=True),
    "adam": adam,
    "adamw": adamw,
}


@functools.lru_cache(maxsize=32)  # so that fits with the same settings share one optimizer, and with it compiled steps
def cached_optimizer(make: Callable[..., Optimizer], **settings: float) -> Optimizer:
    """Return an optimizer."""
    return make(**settings)


class Reshuffler:
    """Shuffles the previous epoch's order again for each epoch, like scikit-learn; without a generator, never."""

    def __init__(self, random_state: np.random.RandomState | None) -> None:
        self.random_state = random_state
        self.order: Int64[np.ndarray, " rows"] | None = None

    def permutation(self, rows: int, /) -> Int64[np.ndarray, " rows"]:
        """Return the next epoch's order."""
        indices = np.arange(rows, dtype=np.int64)
        if self.random_state is not None:
            self.random_state.shuffle(indices)
            indices = indices if self.order is None else self.order[indices]
        self.order = indices
        return indices


def fit_stochastic(estimator: Any, problem: Problem, random_state: np.random.RandomState, *, incremental: bool) -> None:
    """Train, and record the epochs and the network in the estimator's attributes.

    If `incremental`, train one epoch with the current optimizer, its state and learning rate.
    """
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    continue_curves(estimator, validates=bool(estimator.early_stopping) or problem.validation is not None)
    rows = draw_rows(estimator, problem, random_state)
    score = make_score(estimator, problem, rows.validation)
    if not incremental or getattr(estimator, "_optimizer", (None,))[0] != estimator.solver:
        reset_optimizer(estimator)
    make_optimizer, settings = optimizer_of(estimator)
    stopping = Stopping(estimator, problem, score)
    theirs = [SklearnCallbacks(estimator, problem.given)] if hasattr(estimator, "_skl_callbacks") else []
    error: DivergedError | None = None
    try:
        result = fit(
            problem.samples,
            layers=iter(estimator._layers(problem.backend, problem.dtype)),
            activation=activation_of(estimator),
            loss=reported_loss(estimator),
            optimizer=cached_optimizer(make_optimizer, **settings),
            schedule=estimator._learning_rate,
            epochs=1 if incremental else estimator.max_iter,
            batch_size=batch_size(estimator, len(rows.train)),
            generator=rows.shuffler,
            rows=None if rows.validation is None else rows.train,
            loss_rows=0,
            l2=l2_of(estimator) or None,
            dropout=dropout_of(estimator),
            dropout_key=estimator._dropout_key,
            optimizer_state=estimator._optimizer_state,
            backend=problem.backend,
            callbacks=(stopping, *theirs, *estimator.callbacks),
            communicator=problem.processes,
        )
    except DivergedError as diverged:
        result, error = diverged.result, diverged
    keep_result(estimator, problem, result, error, has_best=stopping.has_best, incremental=incremental)


def keep_result(
    estimator: Any,
    problem: Problem,
    result: FitResult,
    error: DivergedError | None,
    *,
    has_best: bool,
    incremental: bool = False,
) -> None:
    """Store a trained network in the estimator, and warn if it did not converge.

    Raises
    ------
    DivergedError
        If it diverged, unless it has the weights of a best epoch.
    """
    if error is not None:
        if not has_best:
            raise explain_divergence(error, problem)
        warnings.warn(f"{error} The weights are those of the best validation score.", ConvergenceWarning, stacklevel=6)
    elif result.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=6)
    elif result.stop_reason is None and not incremental:
        message = f"Maximum iterations ({estimator.max_iter}) reached and the optimization hasn't converged yet."
        warnings.warn(f"Stochastic Optimizer: {message}", ConvergenceWarning, stacklevel=6)
    estimator._optimizer_state = result.state.optimizer
    if has_dropout(dropout_of(estimator)):
        key = to_host(result.state.dropout)
        estimator._dropout_key = key if key.ndim else int(key)
    estimator._keep(result.state.layers, result.backend, problem.source)


def explain_divergence(error: DivergedError, problem: Problem) -> DivergedError:
    """Return the error with scikit-learn's sentence, and advice on large values."""
    advice = ""
    x, y = problem.samples.x, problem.samples.targets
    with problem.source.scope():
        for name, values, remedy in (
            ("X", x.data if scipy.sparse.issparse(x) else x, "sklearn.preprocessing.StandardScaler"),
            ("y", y, "sklearn.compose.TransformedTargetRegressor"),
        ):
            largest = 0.0 if values.dtype == bool else float(np.max(np.abs(to_host(values))))
            if largest > LARGE:
                advice += f" {name} has values up to {largest:.3g}: scale them, for example with {remedy}."
    # A smaller learning rate does not help large values.
    text = f"{str(error).removesuffix(USE_SMALLER)}." if advice else str(error)
    text += " Solver produced non-finite parameter weights. The input data may contain large values and need to be "
    return DivergedError(f"{text}preprocessed.{advice}", error.epoch, error.result)


def reset_curves(estimator: Any, *, validates: bool | None = None, losses: list[float] | None = None) -> None:
    """Clear the records of epochs, but for these losses; those of validation samples are None without any."""
    validates = bool(estimator.early_stopping) if validates is None else validates
    estimator.loss_curve_ = losses or []
    estimator._no_improvement_count = 0
    estimator.best_loss_ = None if estimator.early_stopping else math.inf
    estimator.validation_scores_ = [] if validates else None
    estimator.validation_loss_curve_ = [] if validates else None
    estimator.best_validation_score_ = -math.inf if validates else None


def continue_curves(estimator: Any, *, validates: bool) -> None:
    """Keep the losses of earlier epochs; clear the other records if validation was switched, or after lbfgs."""
    losses, scores = getattr(estimator, "loss_curve_", None), getattr(estimator, "validation_scores_", None)
    stopped = getattr(estimator, "best_loss_", None) is None
    if losses is None or (scores is not None) != validates or stopped != bool(estimator.early_stopping):
        reset_curves(estimator, validates=validates, losses=losses)
    if validates and getattr(estimator, "validation_loss_curve_", None) is None:  # from scikit-learn
        estimator.validation_loss_curve_ = []


def reset_optimizer(estimator: Any) -> None:
    """Set the optimizer's settings, which later calls of partial_fit keep, its state, and the learning rate."""
    initial = float(estimator.learning_rate_init)
    if estimator.solver == "sgd":
        settings = {"momentum": float(estimator.momentum), "nesterov": bool(estimator.nesterovs_momentum)}
        estimator._learning_rate = LearningRate(estimator.learning_rate, initial, estimator.power_t, initial)
    else:
        settings = {name: float(getattr(estimator, name)) for name in ("beta_1", "beta_2", "epsilon")}
        settings |= {"weight_decay": float(estimator.alpha)} if estimator.solver == "adamw" else {}
        estimator._learning_rate = LearningRate("constant", initial, 0.0, initial)
    estimator._optimizer = estimator.solver, settings
    estimator._optimizer_state = None


def optimizer_of(estimator: Any) -> tuple[Callable[..., Optimizer], dict[str, float]]:
    """Return the function that makes the optimizer, and its settings."""
    solver, settings = estimator._optimizer
    settings = dict(settings)
    make = OPTIMIZERS["nesterov" if settings.pop("nesterov", False) else solver]
    if estimator.max_grad_norm is None:
        return make, settings
    return with_largest_norm(make), settings | {"max_grad_norm": float(estimator.max_grad_norm)}


def draw_rows(estimator: Any, problem: Problem, random_state: np.random.RandomState) -> Rows:
    """Draw training and validation rows; stratified for two classes."""
    rows, validation_rows = np.arange(problem.processes.total(problem.samples.rows), dtype=np.int64), None
    if estimator.early_stopping and problem.validation is None:
        targets = problem.samples.targets
        is_binary = is_classifier(estimator) and targets.shape[-1] == 1
        rows, validation_rows = train_test_split(
            rows,
            random_state=random_state,
            test_size=estimator.validation_fraction,
            stratify=problem.processes.concatenate(to_host(targets)) if is_binary else None,
        )
        if len(validation_rows) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
    return Rows(rows, Reshuffler(random_state if estimator.shuffle else None), validation_rows)


def batch_size(estimator: Any, rows: int) -> int:
    """Return the number of rows per batch."""
    if isinstance(estimator.batch_size, str):  # "auto"
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return int(min(estimator.batch_size, rows))
