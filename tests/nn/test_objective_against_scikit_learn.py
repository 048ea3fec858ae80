"""The objective and its gradients are those of scikit-learn's MLPs, seen through their public interface."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from xpmlp.nn.activations import ACTIVATIONS

# Our loss and the number of outputs, scikit-learn's estimator, and our targets in the form that it takes them in.
TASKS: dict[str, tuple[str, int, Any, Callable[[Any], Any]]] = {
    "softmax": ("softmax_cross_entropy", 3, MLPClassifier, lambda y: np.argmax(y, axis=1)),
    "binary": ("logistic_cross_entropy", 1, MLPClassifier, lambda y: y[:, 0].astype(int)),
    "multilabel": ("logistic_cross_entropy", 3, MLPClassifier, lambda y: y.astype(int)),
    "regression": ("squared_error", 1, MLPRegressor, lambda y: y[:, 0]),
    "regression-of-3": ("squared_error", 3, MLPRegressor, lambda y: y),
}


def scikit_learns_step(estimator: Any, problem: Any, targets: Any) -> tuple[float, list[Any], list[Any]]:
    """The loss and the gradients of scikit-learn: what one step of plain descent at rate 1 takes off the weights."""
    weights = {} if problem.sample_weight is None else {"sample_weight": problem.sample_weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(problem.x, targets, **weights)
        estimator.coefs_ = [layer.weight.copy() for layer in problem.layers]
        estimator.intercepts_ = [layer.bias[0].copy() for layer in problem.layers]
        estimator.fit(problem.x, targets, **weights)
    return (
        estimator.loss_,
        [layer.weight - after for layer, after in zip(problem.layers, estimator.coefs_, strict=True)],
        [layer.bias[0] - after for layer, after in zip(problem.layers, estimator.intercepts_, strict=True)],
    )


@pytest.mark.parametrize(
    ("activation", "task", "hidden", "weighted"),
    [
        *((activation, task, (6, 5), True) for activation in ACTIVATIONS for task in TASKS),
        *(("identity", task, (), False) for task in TASKS),
    ],
)
def test_objective_and_gradients_are_scikit_learns(
    make_problem: Callable[..., Any], activation: str, task: str, hidden: tuple[int, ...], weighted: bool
) -> None:
    loss, outputs, estimator, their_targets = TASKS[task]
    problem = make_problem(activation, loss, layer_sizes=(4, *hidden, outputs), rows=11, weighted=weighted)
    problem = replace(problem, penalty=0.9 if weighted else 0.0)
    theirs = estimator(
        hidden_layer_sizes=hidden,
        activation=activation,
        solver="sgd",
        alpha=problem.penalty,
        batch_size=11,
        learning_rate_init=1.0,
        max_iter=1,
        shuffle=False,
        momentum=0.0,
        warm_start=True,
    )
    their_loss, weights, biases = scikit_learns_step(theirs, problem, their_targets(problem.targets))

    objective, gradients = problem.objective_and_gradients()
    for ours, weight, bias in zip(gradients, weights, biases, strict=True):
        np.testing.assert_allclose(ours.weight, weight, rtol=0.0, atol=1e-13)
        np.testing.assert_allclose(ours.bias[0], bias, rtol=0.0, atol=1e-13)
    if task != "regression-of-3":  # there its loss is the mean over the outputs, but its gradient that of the sum
        np.testing.assert_allclose(objective, their_loss, rtol=1e-12)


def test_every_class_is_in_the_targets_that_scikit_learn_sees(make_problem: Callable[..., Any]) -> None:
    for loss, outputs, _, their_targets in TASKS.values():
        if loss != "squared_error":
            targets = make_problem("tanh", loss, layer_sizes=(4, 6, 5, outputs), rows=11).targets
            assert len(np.unique(their_targets(targets))) == max(outputs if loss.startswith("softmax") else 2, 2)
