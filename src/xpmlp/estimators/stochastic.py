"""SGD and Adam: `xpmlp.training.fit` with the rows drawn, and the run ended, as scikit-learn does."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int64
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from xpmlp.data.placement import move_samples
from xpmlp.nn.layers import Layers
from xpmlp.nn.optimizers import Optimizer, adam, sgd
from xpmlp.nn.samples import take_rows
from xpmlp.training import DivergedError, FitResult, fit

from .learning_rate import LearningRate
from .places import dtype_name, to_host
from .problem import Problem
from .stopping import Score, Stopping, accuracy_score, r2_score

# One object for the same settings: a step made of it, and what is compiled of that, serves every fit.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": functools.lru_cache(maxsize=32)(sgd),
    "adam": functools.lru_cache(maxsize=32)(adam),
}


class Reshuffler:
    """Shuffles the last epoch's order for the next one; the first starts from the rows as they are."""

    def __init__(self, random_state: np.random.RandomState) -> None:
        self.random_state = random_state
        self.order: Int64[np.ndarray, " rows"] | None = None

    def permutation(self, rows: int, /) -> Int64[np.ndarray, " rows"]:
        """Return the next epoch's order."""
        shuffled = np.arange(rows, dtype=np.int64)
        self.random_state.shuffle(shuffled)
        self.order = shuffled if self.order is None else self.order[shuffled]
        return self.order


class InOrder:
    """Leaves the rows as they are."""

    def permutation(self, rows: int, /) -> Int64[np.ndarray, " rows"]:
        """Return the numbers of the rows, in order."""
        return np.arange(rows, dtype=np.int64)


def fit_stochastic(
    estimator: Any, problem: Problem, random_state: np.random.RandomState, *, incremental: bool
) -> Layers:
    """Train, keep the records in the estimator's attributes, and return the network as arrays of the backend.

    Parameters
    ----------
    random_state
        Draws the validation rows, then each epoch's order.
    incremental
        Take one epoch, going on with the optimizer's settings, state and learning rate as they are.
    """
    rows, score = None, None
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    take_up_curves(estimator)
    if estimator.early_stopping:
        rows, validation_rows = split_rows(estimator, problem, random_state)
        score = make_score(estimator, problem, validation_rows)
    trained_on = problem.samples.rows if rows is None else len(rows)
    goes_on = incremental and getattr(estimator, "_optimizer", (None,))[0] == estimator.solver
    if not goes_on:
        estimator._optimizer = describe_optimizer(estimator)
        estimator._learning_rate = make_learning_rate(estimator)
        estimator._optimizer_state = None
    solver, settings = estimator._optimizer
    stopping = Stopping(estimator, estimator._learning_rate, score)
    epochs = 1 if incremental else estimator.max_iter
    try:
        result = fit(
            problem.samples,
            layers=problem.layers,
            activation=problem.activation,
            loss=problem.loss,
            optimizer=OPTIMIZERS[solver](**settings),
            schedule=estimator._learning_rate,
            epochs=epochs,
            batch_size=batch_size(estimator, trained_on),
            generator=Reshuffler(random_state) if estimator.shuffle else InOrder(),
            rows=rows,
            l2=problem.penalty,
            dropout=float(estimator.dropout),
            dropout_key=estimator._dropout_key,
            optimizer_state=estimator._optimizer_state,
            backend=problem.backend,
            callbacks=(stopping, *estimator.callbacks),
        )
    except DivergedError as error:
        if stopping.best_layers is None:
            raise
        result = error.result
        warnings.warn(f"{error} The weights are those of the best validation score.", ConvergenceWarning, stacklevel=5)
    else:
        warn_of_the_end(estimator, result, epochs=epochs, incremental=incremental)
    estimator._optimizer_state = result.state.optimizer
    if estimator.dropout > 0.0:
        estimator._dropout_key = int(result.state.dropout)
    return result.state.layers


def begin_curves(estimator: Any) -> None:
    """Begin the records of epochs: of losses, and with early stopping of validation scores."""
    estimator.loss_curve_ = []
    estimator._no_improvement_count = 0
    estimator.best_loss_ = None if estimator.early_stopping else math.inf
    estimator.validation_scores_ = [] if estimator.early_stopping else None
    estimator.best_validation_score_ = -math.inf if estimator.early_stopping else None


def take_up_curves(estimator: Any) -> None:
    """Go on with the records of earlier epochs, but begin those that they did not leave, as after lbfgs."""
    losses = getattr(estimator, "loss_curve_", [])
    had_scores = getattr(estimator, "validation_scores_", None) is not None
    if hasattr(estimator, "loss_curve_") and had_scores == bool(estimator.early_stopping):
        return
    begin_curves(estimator)
    estimator.loss_curve_ = losses


def split_rows(
    estimator: Any, problem: Problem, random_state: np.random.RandomState
) -> tuple[Int64[np.ndarray, " rows"], Int64[np.ndarray, " validation_rows"]]:
    """Draw which rows to train on and which to validate on; of two classes, the same part of each."""
    samples, backend = problem.samples, problem.backend
    is_binary = is_classifier(estimator) and samples.targets.shape[-1] == 1
    rows, validation_rows = train_test_split(
        np.arange(samples.rows, dtype=np.int64),
        random_state=random_state,
        test_size=estimator.validation_fraction,
        stratify=to_host(backend, samples.targets) if is_binary else None,
    )
    if len(validation_rows) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    return rows, validation_rows


def make_score(estimator: Any, problem: Problem, rows: Int64[np.ndarray, " rows"]) -> Score:
    """Return the function that gives a network's score on the validation rows."""
    backend, samples = problem.backend, problem.samples
    of_problem = accuracy_score if is_classifier(estimator) else r2_score
    with backend.scope():
        if isinstance(samples.x, np.ndarray):  # before they are moved, because only these rows need to be
            samples = take_rows(np, samples, rows)
        else:
            samples = take_rows(backend.xp, samples, backend.asarray(rows))
        samples = move_samples(backend, samples, dtype_name(problem.layers[0].weight))
        return of_problem(backend, samples, activation=problem.activation, loss=problem.loss)


def make_learning_rate(estimator: Any) -> LearningRate:
    """Return the learning rate before the first epoch; only SGD's changes."""
    initial = float(estimator.learning_rate_init)
    kind = estimator.learning_rate if estimator.solver == "sgd" else "constant"
    return LearningRate(kind, initial, estimator.power_t, initial)


def describe_optimizer(estimator: Any) -> tuple[str, dict[str, Any]]:
    """Return the name of the estimator's optimizer and its settings, which stay what they are for partial_fit."""
    if estimator.solver == "sgd":
        return "sgd", {"momentum": float(estimator.momentum), "nesterov": bool(estimator.nesterovs_momentum)}
    return "adam", {name: float(getattr(estimator, name)) for name in ("beta_1", "beta_2", "epsilon")}


def batch_size(estimator: Any, rows: int) -> int:
    """Return the rows of a batch."""
    if isinstance(estimator.batch_size, str):  # "auto"
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return int(min(estimator.batch_size, rows))


def warn_of_the_end(estimator: Any, result: FitResult, *, epochs: int, incremental: bool) -> None:
    """Warn of a run that was interrupted, or that came to its last epoch without converging."""
    if result.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=6)
    elif result.stop_reason is None and not incremental:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=6,
        )
