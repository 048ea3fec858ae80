"""When scikit-learn's MLPs stop: their loss curve, validation scores, and the epochs borne without improvement."""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from xpmlp.backends import Backend
from xpmlp.nn.activations import Activation
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.samples import Samples
from xpmlp.training import Callback, Run
from xpmlp.training.evaluation import loss_and_accuracy
from xpmlp.training.prediction import predict_outputs

from .learning_rate import LearningRate

Score = Callable[[Layers], float]


class Stopping(Callback):
    """Keeps an estimator's records of its epochs, changes the learning rate, and ends the run.

    Parameters
    ----------
    estimator
        Whose ``loss_curve_``, ``best_loss_``, ``validation_scores_`` and so on go on from where they are.
    learning_rate
        Is told of the end of every epoch.
    score
        Gives the validation score of a network; None where there is no early stopping.
    """

    def __init__(self, estimator: Any, learning_rate: LearningRate, score: Score | None) -> None:
        self.estimator = estimator
        self.learning_rate = learning_rate
        self.score = score
        self.best_layers: Layers | None = None
        self.converged = False

    def on_fit_start(self, run: Run) -> None:
        """Count this run's epochs from 0."""
        self.estimator.n_iter_ = 0

    def on_epoch_end(self, run: Run) -> None:
        """Record the epoch; where there was no improvement for too long, lower the learning rate or end the run."""
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += run.rows
        estimator.loss_ = run.history[-1].train_loss
        estimator.loss_curve_.append(estimator.loss_)
        self.say(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        improved = self.record_loss() if self.score is None else self.record_score(run, self.score)
        estimator._no_improvement_count = 0 if improved else estimator._no_improvement_count + 1
        self.learning_rate.end_epoch(estimator.t_)
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self.end_or_go_on_slower(run)

    def record_loss(self) -> bool:
        """Keep the lowest loss, and tell whether this one is lower than that by enough."""
        estimator = self.estimator
        improved = not estimator.loss_ > estimator.best_loss_ - estimator.tol
        estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        return improved

    def record_score(self, run: Run, score: Score) -> bool:
        """Keep the best score with its weights, and tell whether this one is as high as that and more."""
        estimator = self.estimator
        value = score(run.state.layers)
        estimator.validation_scores_.append(value)
        self.say(f"Validation score: {value:f}")
        improved = not value < estimator.best_validation_score_ + estimator.tol
        if value > estimator.best_validation_score_:
            estimator.best_validation_score_ = value
            self.best_layers = run.state.layers
        return improved

    def end_or_go_on_slower(self, run: Run) -> None:
        """End the run, unless the learning rate can be lowered."""
        estimator = self.estimator
        what = "Training loss" if self.score is None else "Validation score"
        reason = (
            f"{what} did not improve more than tol={estimator.tol:f} "
            f"for {estimator.n_iter_no_change} consecutive epochs."
        )
        if self.learning_rate.lower():
            self.say(f"{reason} Setting learning rate to {self.learning_rate.current:f}")
            estimator._no_improvement_count = 0
            return
        too_small = " Learning rate too small." if self.learning_rate.kind == "adaptive" else ""
        self.say(f"{reason}{too_small} Stopping.")
        self.converged = True
        run.stop(reason)

    def on_fit_end(self, run: Run) -> None:
        """Go back to the weights with the best score of this run, if it was better than any before."""
        if self.best_layers is not None:
            run.state = run.state._replace(layers=self.best_layers)

    def say(self, line: str) -> None:
        """Print a line where the estimator is verbose."""
        if self.estimator.verbose:
            sys.stdout.write(line + "\n")


def accuracy_score(backend: Backend, samples: Samples, *, activation: Activation, loss: Loss) -> Score:
    """Return the function that gives a network's accuracy on samples of `backend`."""

    def score(layers: Layers) -> float:
        _, accuracy = loss_and_accuracy(backend, layers, samples, activation=activation, loss=loss)
        assert accuracy is not None  # the losses of classes know right and wrong
        return accuracy

    return score


def r2_score(backend: Backend, samples: Samples, *, activation: Activation, loss: Loss) -> Score:
    """Return the function that gives a network's R² on samples of `backend`: the mean over the outputs."""
    xp = backend.xp
    y = samples.targets
    weight = xp.ones_like(y[:, :1]) if samples.weight is None else samples.weight[:, None]
    mean = xp.sum(weight * y, axis=0) / xp.sum(weight)
    total = backend.to_numpy(xp.sum(weight * (y - mean) ** 2, axis=0)).astype(np.float64)

    def score(layers: Layers) -> float:
        predictions = predict_outputs(backend, layers, samples.x, activation=activation, loss=loss)
        residual = backend.to_numpy(xp.sum(weight * (y - predictions) ** 2, axis=0)).astype(np.float64)
        return mean_r2(residual, total)

    return score


def mean_r2(residual: Float[np.ndarray, " outputs"], total: Float[np.ndarray, " outputs"]) -> float:
    """Return the mean of 1 − residual / total; an output that does not vary counts 1 where it is met, else 0."""
    if not np.all(np.isfinite(residual)):
        return math.nan
    of_constants = np.where(residual == 0.0, 1.0, 0.0)
    return float(np.mean(np.where(total > 0.0, 1.0 - residual / np.where(total > 0.0, total, 1.0), of_constants)))
