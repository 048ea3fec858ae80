"""scikit-learn's learning rate, its records of every epoch, and its rule for stopping."""

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64
from sklearn.metrics import check_scoring, r2_score
from sklearn.utils import _safe_indexing

from xpmlp.data.placement import move_samples
from xpmlp.nn.layers import Layers
from xpmlp.training import Callback, EpochRow, Run
from xpmlp.training.evaluation import loss_and_accuracy
from xpmlp.training.fit import select_rows
from xpmlp.training.prediction import predict_outputs

from .arrays import same_device
from .functions import activation_of, reported_loss
from .problem import GivenRows, Problem

LOWEST = 1e-6  # an adaptive rate is not reduced below this

Score = Callable[[Layers], tuple[float, float]]  # the validation loss and score


@dataclass
class LearningRate:
    """A schedule for `fit` whose rate changes between epochs only."""

    kind: str  # "constant", "invscaling" (decays with the samples seen), or "adaptive" (divided by 5 before stopping)
    initial: float
    power: float  # exponent of "invscaling"
    current: float  # rate of the next epoch

    def __call__(self, step: int, steps: int) -> float:
        """Return the current rate for every step."""
        return self.current

    def end_epoch(self, samples_seen: int) -> None:
        """Update the rate, given the number of samples seen since the first epoch."""
        if self.kind == "invscaling":
            self.current = self.initial / (samples_seen + 1) ** self.power

    def reduce(self) -> bool:
        """Reduce an adaptive rate, and return whether that was possible."""
        if self.kind != "adaptive" or self.current <= LOWEST:
            return False
        self.current /= 5.0
        return True


class Stopping(Callback):
    """Records each epoch in the estimator's attributes, updates the learning rate, and stops the run.

    `score` computes a network's validation loss and score; None without validation samples.
    """

    def __init__(self, estimator: Any, problem: Problem, score: Score | None = None) -> None:
        self.estimator = estimator
        self.problem = problem
        self.score = score
        self.has_best = False
        self.best_layers: Layers | None = None

    def on_fit_start(self, run: Run) -> None:
        """Count this run's epochs from 0."""
        self.estimator.n_iter_ = 0

    def on_epoch_end(self, run: Run) -> None:
        """Store the epoch's weights in the estimator, for other callbacks, and apply the rule."""
        layers = run.state.layers
        if same_device(self.problem.source, run.backend):  # frees the weights before
            self.estimator._keep(layers, run.backend, self.problem.source)
        if self.end_epoch(run.history[-1], run.rows, self.score and self.score(layers), run.stop):
            self.best_layers = layers

    def end_epoch(
        self, row: EpochRow, rows: int, score: tuple[float, float] | None, stop: Callable[[str], None]
    ) -> bool:
        """Record an epoch on so many rows, its validation loss and score, and return whether to keep its weights.

        After too many epochs without improvement, reduce the learning rate or `stop`.
        """
        estimator, is_best = self.estimator, False
        estimator.n_iter_ += 1
        estimator.t_ += rows
        estimator.loss_ = row.objective
        estimator.loss_curve_.append(estimator.loss_)
        if estimator.verbose:
            self.print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        if score is not None:
            improved, is_best = self.record_score(*score)
        if not estimator.early_stopping:
            improved, is_best = not estimator.loss_ > estimator.best_loss_ - estimator.tol, False
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        self.has_best |= is_best
        estimator._no_improvement_count = 0 if improved else estimator._no_improvement_count + 1
        estimator._learning_rate.end_epoch(estimator.t_)
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self.slow_down_or_stop(stop)
        return is_best

    def record_score(self, loss: float, value: float) -> tuple[bool, bool]:
        """Record the validation loss and score, and return whether the score improved by tol, and at all."""
        estimator = self.estimator
        estimator.validation_loss_curve_.append(loss)
        estimator.validation_scores_.append(value)
        self.print(f"Validation score: {value:f}")
        improved = not value < estimator.best_validation_score_ + estimator.tol
        is_best = value > estimator.best_validation_score_
        estimator.best_validation_score_ = max(estimator.best_validation_score_, value)
        return improved, is_best

    def slow_down_or_stop(self, stop: Callable[[str], None]) -> None:
        """Reduce the learning rate if possible, else stop the run."""
        estimator = self.estimator
        what = "Validation score" if estimator.early_stopping else "Training loss"
        reason = (
            f"{what} did not improve more than tol={estimator.tol:f} "
            f"for {estimator.n_iter_no_change} consecutive epochs."
        )
        rate = estimator._learning_rate
        if rate.reduce():
            self.print(f"{reason} Setting learning rate to {rate.current:f}")
            estimator._no_improvement_count = 0
            return
        too_small = " Learning rate too small." if rate.kind == "adaptive" else ""
        self.print(f"{reason}{too_small} Stopping.")
        stop(reason)

    def on_fit_end(self, run: Run) -> None:
        """Restore the weights with this run's best score, if it exceeds all earlier ones."""
        if self.best_layers is not None:
            run.state = run.state._replace(layers=self.best_layers)

    def print(self, line: str) -> None:
        """Print a line if the estimator is verbose."""
        if self.estimator.verbose and self.problem.processes.rank == 0:
            sys.stdout.write(line + "\n")


def make_score(estimator: Any, problem: Problem, rows: Int64[np.ndarray, " validation_rows"] | None) -> Score | None:
    """Return a function that computes a network's validation loss and score: on given samples, or these rows.

    The score is the accuracy, R² for regression, minus the loss for quantiles or if asked for, or that of the
    estimator's scorer on the rows as they were given. Without validation samples, return None.
    """
    backend, activation, loss = problem.backend, activation_of(estimator), reported_loss(estimator)
    samples, given, processes = problem.validation, problem.given_validation, problem.processes
    if samples is None:
        if rows is None:
            return None
        rows = processes.own(rows)
        given = GivenRows(*(part if part is None else _safe_indexing(part, rows) for part in problem.given))
        samples = select_rows(backend, problem.samples, rows)
    with backend.scope():
        samples = move_samples(backend, samples, problem.dtype)
        truth = None if loss.is_correct is not None else processes.concatenate(backend.to_numpy(samples.targets))
        weight = None if samples.weight is None else processes.concatenate(backend.to_numpy(samples.weight))
    stopping = estimator.early_stopping
    scorer = None if isinstance(stopping, bool) or stopping == "loss" else check_scoring(estimator, stopping)

    evaluate = functools.partial(
        loss_and_accuracy, backend, samples=samples, activation=activation, loss=loss, combine=processes.sum_numbers
    )
    if scorer is not None and processes.size > 1:
        raise ValueError(
            f"early_stopping={stopping!r}: a scorer needs all validation samples in one process. With a communicator, "
            "use early_stopping=True or 'loss'."
        )

    def r2(layers: Layers) -> float:
        assert truth is not None
        if truth.shape[1] != layers[-1].weight.shape[-1]:  # quantiles
            return -evaluate(layers)[0]
        predictions = backend.to_numpy(predict_outputs(backend, layers, samples.x, activation=activation, loss=loss))
        predictions = processes.concatenate(predictions)
        return (
            float(r2_score(truth, predictions, sample_weight=weight)) if np.all(np.isfinite(predictions)) else math.nan
        )

    def score(layers: Layers) -> tuple[float, float]:
        value, accuracy = evaluate(layers)
        if stopping == "loss":
            return value, -value
        if scorer is None:
            return value, r2(layers) if accuracy is None else accuracy
        assert given is not None
        estimator._keep(layers, backend, problem.source)
        weights = {} if given.sample_weight is None else {"sample_weight": given.sample_weight}
        return value, float(scorer(estimator, given.X, given.y, **weights))

    return score
