"""Weights and losses go the way of scikit-learn's MLPs, step by step."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import Optimizer, adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.training import FitResult, constant

Fit = Callable[..., FitResult]


IN_ORDER = SimpleNamespace(permutation=np.arange)
SOLVERS: dict[str, tuple[dict[str, Any], Optimizer]] = {
    "sgd": ({"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.2}, sgd()),
    "momentum": ({"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.05}, sgd(momentum=0.9)),
    "nesterov": ({"solver": "sgd", "learning_rate_init": 0.05}, sgd(momentum=0.9, nesterov=True)),
    "adam": ({"solver": "adam", "learning_rate_init": 0.01}, adam()),
}


def scikit_learn_runs(estimator_class: Any, x: Any, y: Any, settings: dict[str, Any]) -> tuple[Layers, Any]:
    """The weights that an estimator starts from, and the estimator after 6 epochs."""
    usual = {
        "hidden_layer_sizes": (6, 5),
        "batch_size": 16,
        "shuffle": False,
        "random_state": 1,
        "tol": 0.0,
        "n_iter_no_change": 1000,
    }
    # A learning rate that is lost in rounding leaves the initial weights as they are.
    unmoved = estimator_class(**usual | settings | {"max_iter": 1, "learning_rate_init": 1e-250}).fit(x, y)
    trained = estimator_class(**usual | settings | {"max_iter": 6}).fit(x, y)
    pairs = zip(unmoved.coefs_, unmoved.intercepts_, strict=True)
    return tuple(Layer(weight, bias[None, :]) for weight, bias in pairs), trained


def assert_same_trajectory(result: FitResult, trained: Any, *, with_losses: bool = True) -> None:
    if with_losses:  # scikit-learn's is the mean over several numbers, but its gradient is that of the sum
        assert_allclose(
            np.array([row.objective for row in result.history], float), trained.loss_curve_, rtol=1e-10, atol=0
        )
    for layer, weight, bias in zip(result.layers, trained.coefs_, trained.intercepts_, strict=True):
        assert_allclose(layer.weight, weight, rtol=1e-10, atol=1e-10)
        assert_allclose(layer.bias[0], bias, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("solver", "activation", "task"),
    [
        *zip(sorted(SOLVERS), ("identity", "logistic", "relu", "tanh"), ["multiclass"] * 4, strict=True),
        ("adam", "tanh", "multiclass"),
        ("nesterov", "relu", "binary"),
        ("adam", "logistic", "multilabel"),
        ("nesterov", "tanh", "regression"),
        ("sgd", "relu", "regression of 3 numbers"),
    ],
)
def test_weights_and_losses_follow_scikit_learns_step_by_step(
    small_fit: Fit, samples: Samples, solver: str, activation: str, task: str
) -> None:
    settings, optimizer = SOLVERS[solver]
    settings = settings | {"activation": activation, "alpha": 0.3}
    loss, y, targets = {
        "multiclass": ("softmax_cross_entropy", samples.targets.argmax(axis=1), samples.targets),
        "binary": ("logistic_cross_entropy", samples.targets[:, 0], samples.targets[:, :1]),
        "multilabel": ("logistic_cross_entropy", *(np.where(samples.x[:, :3] > 0.0, 1.0, 0.0),) * 2),
        "regression": ("squared_error", np.sin(samples.x[:, 0]), np.sin(samples.x[:, :1])),
        "regression of 3 numbers": ("squared_error", *(np.sin(samples.x[:, :3]),) * 2),
    }[task]
    estimator_class = MLPRegressor if loss == "squared_error" else MLPClassifier
    start, trained = scikit_learn_runs(estimator_class, samples.x, y, settings)
    result = small_fit(
        Samples(samples.x, targets),
        layers=start,
        activation=ACTIVATIONS[activation],
        loss=LOSSES[loss],
        optimizer=optimizer,
        schedule=constant(settings["learning_rate_init"]),
        epochs=6,
        generator=IN_ORDER,
        l2=0.3,
    )
    assert np.abs(result.layers[0].weight - start[0].weight).max() > 0.01  # it went somewhere
    assert_same_trajectory(result, trained, with_losses=task != "regression of 3 numbers")


def test_without_hidden_layers_it_is_multinomial_logistic_regression(small_fit: Fit, samples: Samples) -> None:
    reference = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000)
    reference.fit(samples.x, samples.targets.argmax(axis=1))
    layers = (Layer(np.zeros((4, 3)), np.zeros((1, 3))),)
    result = small_fit(layers=layers, schedule=constant(0.5), epochs=400, batch_size=50, l2=2.0)
    assert_allclose(result.layers[0].weight, reference.coef_.T, rtol=0, atol=1e-6)
    assert_allclose(result.layers[0].bias[0], reference.intercept_, rtol=0, atol=1e-6)
