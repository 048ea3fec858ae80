"""Taking over a network that scikit-learn has trained."""

import copy
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer
from sklearn.utils.validation import check_is_fitted

from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.optimizers import AdamState, MomentumState

from .learning_rate import LearningRate

# What fit leaves behind, so far as a solver does.
FITTED = (
    "_label_binarizer",
    "_no_improvement_count",
    "best_loss_",
    "best_validation_score_",
    "classes_",
    "feature_names_in_",
    "loss_",
    "loss_curve_",
    "n_features_in_",
    "n_iter_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "t_",
    "validation_scores_",
)


def take_over(ours: type[Any], theirs: Any, **settings: Any) -> Any:
    """Return an estimator of our class with the settings, the network and the records of scikit-learn's.

    The optimizer's state comes along, so that ``partial_fit`` goes on as there.

    Raises
    ------
    TypeError
        Where it is not scikit-learn's estimator of the same name.
    NotFittedError
        Where it is not fitted.
    """
    expected = getattr(sklearn.neural_network, ours.__name__)
    if not isinstance(theirs, expected):
        raise TypeError(
            f"{ours.__name__}.from_sklearn takes a fitted {expected.__module__.split('.')[0]}.neural_network."
            f"{ours.__name__}, not an instance of {type(theirs).__module__}.{type(theirs).__name__}."
        )
    check_is_fitted(theirs)
    estimator = ours(**theirs.get_params(deep=False) | settings)
    for name in FITTED:
        if hasattr(theirs, name):
            setattr(estimator, name, copy.deepcopy(getattr(theirs, name)))
    estimator.coefs_ = [np.array(array) for array in theirs.coefs_]
    estimator.intercepts_ = [np.array(array) for array in theirs.intercepts_]
    optimizer = getattr(theirs, "_optimizer", None)
    if optimizer is not None and theirs.solver != "lbfgs":
        estimator._optimizer = describe_optimizer(optimizer)
        estimator._optimizer_state = optimizer_state(optimizer, theirs.coefs_[0].dtype)
        estimator._learning_rate = learning_rate(optimizer)
    return estimator


def describe_optimizer(optimizer: Any) -> tuple[str, dict[str, Any]]:
    """Return the name of scikit-learn's optimizer and its settings as ours are kept."""
    if isinstance(optimizer, AdamOptimizer):
        return "adam", {name: float(getattr(optimizer, name)) for name in ("beta_1", "beta_2", "epsilon")}
    return "sgd", {"momentum": float(optimizer.momentum), "nesterov": bool(optimizer.nesterov)}


def optimizer_state(optimizer: Any, dtype: Any) -> Any:
    """Return the state of scikit-learn's optimizer as ours keeps it."""
    if isinstance(optimizer, AdamOptimizer):
        return AdamState(np.asarray(optimizer.t, dtype=dtype), as_layers(optimizer.ms), as_layers(optimizer.vs))
    return () if optimizer.momentum == 0.0 else MomentumState(as_layers(optimizer.velocities))


def learning_rate(optimizer: Any) -> LearningRate:
    """Return the learning rate where scikit-learn's optimizer left it; Adam's own corrections are not part of ours."""
    initial = float(optimizer.learning_rate_init)
    if isinstance(optimizer, AdamOptimizer):
        return LearningRate("constant", initial, 0.0, initial)
    return LearningRate(optimizer.lr_schedule, initial, optimizer.power_t, float(optimizer.learning_rate))


def as_layers(arrays: list[Any]) -> Layers:
    """Return arrays, those of all weights and then those of all biases, as layers."""
    count = len(arrays) // 2
    return tuple(
        Layer(np.array(weight), np.array(bias)[None, :])
        for weight, bias in zip(arrays[:count], arrays[count:], strict=True)
    )
