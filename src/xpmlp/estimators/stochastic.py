"""SGD and Adam: `xpmlp.training.fit`, with scikit-learn's shuffling, validation split and stopping."""

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

from xpmlp.nn.layers import Layers
from xpmlp.nn.optimizers import Optimizer, adam, sgd
from xpmlp.training import DivergedError, fit

from .arrays import to_host
from .problem import Problem
from .stopping import LearningRate, Stopping, make_score

# Cached, so that fits with the same settings share one optimizer, and with it the compiled steps.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": functools.lru_cache(maxsize=32)(sgd),
    "adam": functools.lru_cache(maxsize=32)(adam),
}


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


def fit_stochastic(
    estimator: Any, problem: Problem, random_state: np.random.RandomState, *, incremental: bool
) -> Layers:
    """Train, record the epochs in the estimator's attributes, and return the network as arrays of the backend.

    If `incremental`, train one epoch with the current optimizer, its state and learning rate.
    """
    rows, score = None, None
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    continue_curves(estimator)
    if estimator.early_stopping:
        rows, validation_rows = split_rows(estimator, problem, random_state)
        score = make_score(problem, validation_rows)
    trained_on = problem.samples.rows if rows is None else len(rows)
    if not incremental or getattr(estimator, "_optimizer", (None,))[0] != estimator.solver:
        reset_optimizer(estimator)
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
            generator=Reshuffler(random_state if estimator.shuffle else None),
            rows=rows,
            loss_rows=0,
            l2=problem.l2,
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
        if result.interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        elif result.stop_reason is None and not incremental:
            message = f"Maximum iterations ({epochs}) reached and the optimization hasn't converged yet."
            warnings.warn(f"Stochastic Optimizer: {message}", ConvergenceWarning, stacklevel=5)
    estimator._optimizer_state = result.state.optimizer
    if estimator.dropout > 0.0:
        estimator._dropout_key = int(result.state.dropout)
    return result.state.layers


def reset_curves(estimator: Any) -> None:
    """Clear the records of epochs: losses, and with early stopping validation scores."""
    estimator.loss_curve_ = []
    estimator._no_improvement_count = 0
    estimator.best_loss_ = None if estimator.early_stopping else math.inf
    estimator.validation_scores_ = [] if estimator.early_stopping else None
    estimator.best_validation_score_ = -math.inf if estimator.early_stopping else None


def continue_curves(estimator: Any) -> None:
    """Keep the losses of earlier epochs; clear the other records if early stopping was switched, or after lbfgs."""
    losses = getattr(estimator, "loss_curve_", None)
    had_scores = getattr(estimator, "validation_scores_", None) is not None
    if losses is None or had_scores != bool(estimator.early_stopping):
        reset_curves(estimator)
        estimator.loss_curve_ = losses or []


def reset_optimizer(estimator: Any) -> None:
    """Set the optimizer's settings, which later calls of partial_fit keep, its state, and the learning rate."""
    initial = float(estimator.learning_rate_init)
    if estimator.solver == "sgd":
        settings = {"momentum": float(estimator.momentum), "nesterov": bool(estimator.nesterovs_momentum)}
        estimator._learning_rate = LearningRate(estimator.learning_rate, initial, estimator.power_t, initial)
    else:
        settings = {name: float(getattr(estimator, name)) for name in ("beta_1", "beta_2", "epsilon")}
        estimator._learning_rate = LearningRate("constant", initial, 0.0, initial)
    estimator._optimizer = estimator.solver, settings
    estimator._optimizer_state = None


def split_rows(
    estimator: Any, problem: Problem, random_state: np.random.RandomState
) -> tuple[Int64[np.ndarray, " rows"], Int64[np.ndarray, " validation_rows"]]:
    """Draw training and validation rows; stratified for two classes."""
    samples = problem.samples
    is_binary = is_classifier(estimator) and samples.targets.shape[-1] == 1
    rows, validation_rows = train_test_split(
        np.arange(samples.rows, dtype=np.int64),
        random_state=random_state,
        test_size=estimator.validation_fraction,
        stratify=to_host(samples.targets) if is_binary else None,
    )
    if len(validation_rows) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    return rows, validation_rows


def batch_size(estimator: Any, rows: int) -> int:
    """Return the number of rows per batch."""
    if isinstance(estimator.batch_size, str):  # "auto"
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return int(min(estimator.batch_size, rows))
