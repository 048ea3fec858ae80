"""The functions that an estimator's parameters name, or that users write themselves, and scikit-learn's loss values.

scikit-learn clips probabilities to [eps, 1 − eps] of their dtype before it takes the logarithm, so no output of a
sample costs more than 36.04 in float64 or 15.94 in float32. It reports the squared error as a mean over the outputs,
but descends along the gradient of the sum. The loss curve, and therefore the stopping epoch, depend on both; the
gradients are those of `xpmlp.nn.losses`.
"""

import functools
import math
from typing import Any

from jaxtyping import Float
from scipy.special import expit

from xpmlp.backends import Backend
from xpmlp.nn.activations import ACTIVATIONS, Activations, of_each_layer
from xpmlp.nn.dropout import has_dropout
from xpmlp.nn.loss_names import find_loss
from xpmlp.nn.losses import LOSSES, Loss, logistic, softmax_cross_entropy, squared_error
from xpmlp.nn.own import own_activation, own_loss
from xpmlp.training import Callback

# Cached, so that fits with the same functions share the compiled steps.
cached_activation = functools.lru_cache(maxsize=32)(own_activation)
cached_loss = functools.lru_cache(maxsize=32)(own_loss)


def list_activations(activation: Any) -> list[Any]:
    """Return a parameter's activations, each a name or a pair of functions: one for all hidden layers, or for each."""
    return [activation] if isinstance(activation, str) or is_pair(activation) else list(activation)


def is_pair(value: Any) -> bool:
    """Return whether a value is a function and its derivative."""
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(callable, value))


def activations_of(activation: Any, hidden: int) -> Activations:
    """Return the activation that a parameter means: one for all hidden layers, or one for each.

    Raises
    ------
    ValueError
        For an unknown name, something else that is no activation, or another number than of hidden layers.
    """
    found: list[Any] = []
    for each in list_activations(activation):
        if not is_pair(each) and not (isinstance(each, str) and each in ACTIVATIONS):
            raise ValueError(
                f"activation: {each!r} is not one of {', '.join(ACTIVATIONS)}, nor a pair of functions, f(xp, z) and "
                "its derivative."
            )
        found.append(cached_activation(*each) if is_pair(each) else ACTIVATIONS[each])
    if isinstance(activation, str) or is_pair(activation):
        return found[0]  # type: ignore[no-any-return]
    return of_each_layer(tuple(found), hidden)


def activation_of(estimator: Any) -> Activations:
    """Return the activation of an estimator that has weights."""
    return activations_of(estimator.activation, len(estimator.coefs_) - 1)


def l2_of(estimator: Any) -> float:
    """Return the L2 penalty λ; adamw decays the weights instead."""
    return 0.0 if estimator.solver == "adamw" else float(estimator.alpha)


def exact_loss(estimator: Any) -> Loss:
    """Return the loss whose gradient is the exact derivative, or one's own function."""
    loss = find_loss(estimator._loss_name())
    return cached_loss(estimator.loss, loss) if callable(estimator.loss) else loss


def reported_loss(estimator: Any) -> Loss:
    """Return the loss to train with, whose values are scikit-learn's, or one's own function."""
    loss = exact_loss(estimator)
    if callable(estimator.loss) or getattr(estimator, "label_smoothing", False):  # theirs are for targets of 0 and 1
        return loss
    return REPORTED_LOSSES.get(estimator._loss_name(), loss)


def clipped_softmax_cross_entropy(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute the cross-entropy of clipped class probabilities; `targets` are one-hot."""
    losses, gradient = softmax_cross_entropy(xp, logits, targets)
    eps = float(xp.finfo(logits.dtype).eps)
    return xp.minimum(xp.maximum(losses, -math.log1p(-eps)), -math.log(eps)), gradient


def clipped_logistic_cross_entropy(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute the cross-entropy of clipped probabilities; `targets` are 0 or 1.

    It is computed from the probability, like scikit-learn's, although few digits of 1 − p are left near p = 1.
    """
    predictions = logistic(xp, logits)
    eps = float(xp.finfo(logits.dtype).eps)
    clipped = xp.minimum(xp.maximum(predictions, eps), 1.0 - eps)
    losses = -xp.log(xp.where(targets > 0.5, clipped, 1.0 - clipped))
    return xp.sum(losses, axis=-1), predictions - targets


def mean_squared_error(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute half the squared error's mean over the outputs, and the gradient of half its sum."""
    losses, gradient = squared_error(xp, logits, targets)
    return losses * (1.0 / logits.shape[-1]), gradient


REPORTED_LOSSES: dict[str, Loss] = {
    name: LOSSES[name]._replace(value_and_gradient=reported)
    for name, reported in {
        "softmax_cross_entropy": clipped_softmax_cross_entropy,
        "logistic_cross_entropy": clipped_logistic_cross_entropy,
        "squared_error": mean_squared_error,
    }.items()
}
"""scikit-learn's losses by the names in `xpmlp.nn.losses.LOSSES`."""


def dropout_of(estimator: Any) -> Any:
    """Return the dropout rate: a number, or a tuple with one for each hidden layer."""
    rate = estimator.dropout
    return tuple(map(float, rate)) if isinstance(rate, tuple | list) else float(rate)


def check_functions(estimator: Any, sizes: list[int]) -> None:
    """Raise an error for parameters that name no function, do not fit the hidden layers, or exclude each other."""
    if not all(isinstance(callback, Callback) for callback in estimator.callbacks):
        raise TypeError(f"callbacks must be instances of xpmlp.training.Callback, got {estimator.callbacks!r}.")
    activations_of(estimator.activation, len(sizes))
    rate = dropout_of(estimator)
    if isinstance(rate, tuple) and (len(rate) != len(sizes) or not all(0.0 <= part < 1.0 for part in rate)):
        raise ValueError(f"dropout: {rate} must be a number for each of {len(sizes)} hidden layers, in [0, 1).")
    has_output = getattr(estimator, "out_activation", "identity") != "identity"
    if estimator.ensemble is not None and callable(estimator.loss) and has_output:
        raise ValueError("ensemble: the average of a loss of one's own after out_activation is unknown. Leave one out.")
    not_for_lbfgs = {
        "trains one network: use sgd, adam or adamw for ensemble": estimator.ensemble is not None,
        "needs a deterministic objective: use sgd or adam for dropout": has_dropout(rate),
        "has no steps to shorten: use sgd or adam for max_grad_norm": estimator.max_grad_norm is not None,
        "has no epochs, so it cannot call callbacks; use sgd or adam": bool(estimator.callbacks),
    }
    for reason, is_given in not_for_lbfgs.items():
        if is_given and estimator.solver == "lbfgs":
            raise ValueError(f"solver='lbfgs' {reason}.")


def prediction_functions(estimator: Any, backend: Backend) -> tuple[Activations, Loss]:
    """Return the activation and the loss to predict with.

    On NumPy the logistic function is SciPy's, as in scikit-learn. Its exponential rounds differently from NumPy's, by
    up to 5e-7 in a float32 probability.
    """
    hidden, output = activation_of(estimator), exact_loss(estimator)
    if backend.name == "numpy":
        if estimator.activation == "logistic":
            hidden = ACTIVATIONS["logistic"]._replace(forward=scipy_logistic)
        if estimator._loss_name() == "logistic_cross_entropy":
            output = output._replace(predict=scipy_logistic)
    return hidden, output


def scipy_logistic(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """Return SciPy's logistic function."""
    return expit(z)
