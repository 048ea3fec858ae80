"""Loss functions, each with its gradient beside it.

Each loss is a function of the last layer's output z (the *logits*), and paired with the output function that makes
predictions of it. For the cross-entropies, the squared error and the Poisson loss the gradient at z is prediction −
target (``docs/derivation.md``, equations 1 to 5f). Computed from the logits, a loss stays exact where predicted
probabilities would round to 0 or 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Bool, Float


class Loss(NamedTuple):
    """A loss and the output function that it is paired with.

    Attributes
    ----------
    predict
        ``predict(xp, logits)`` is the network's prediction ŷ, shape ``(*models, batch, outputs)``.
    value_and_gradient
        ``value_and_gradient(xp, logits, targets)`` is the loss of each sample, shape ``(*models, batch)``, and its
        gradient at the logits, shape ``(*models, batch, outputs)``.
    is_correct
        ``is_correct(xp, logits, targets)`` says which predictions are correct, shape ``(*models, batch)``; None for
        regression.
    of_predictions
        The loss as a function of the predictions, if these are an output function of the logits; else None.
    """

    predict: Callable[[Any, Any], Any]
    value_and_gradient: Callable[[Any, Any, Any], tuple[Any, Any]]
    is_correct: Callable[[Any, Any, Any], Any] | None
    of_predictions: Any = None


def softmax(xp: Any, logits: Float[Any, "*models batch outputs"]) -> Float[Any, "*models batch outputs"]:
    """Return ŷₖ = exp(zₖ) / Σⱼ exp(zⱼ), with the largest z subtracted first so that no exponential overflows."""
    exponentials = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return exponentials / xp.sum(exponentials, axis=-1, keepdims=True)


def softmax_cross_entropy(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """L = log Σⱼ exp(zⱼ) − Σₖ yₖ zₖ and ∂L/∂z = softmax(z) − y.

    Each row of `targets` is a distribution over the classes: one-hot, or any non-negative numbers with sum 1.
    """
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    exponentials = xp.exp(shifted)
    total = xp.sum(exponentials, axis=-1, keepdims=True)
    losses = xp.log(total[..., 0]) - xp.vecdot(targets, shifted)
    return losses, exponentials / total - targets


def largest_output_is_correct(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> Bool[Any, "*models batch"]:
    """Return whether the most probable class is the target's."""
    return xp.argmax(logits, axis=-1) == xp.argmax(targets, axis=-1)


def logistic(xp: Any, logits: Float[Any, "*models batch outputs"]) -> Float[Any, "*models batch outputs"]:
    """Return ŷ = 1 / (1 + exp(−z)), accurate to the last digit even for tiny probabilities."""
    small = xp.exp(-xp.abs(logits))
    return xp.where(logits >= 0.0, 1.0, small) / (1.0 + small)


def logistic_cross_entropy(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """L = Σₖ log(1 + exp(zₖ)) − yₖ zₖ and ∂L/∂z = logistic(z) − y.

    One output is binary classification; several are multilabel classification. `targets` are from 0 to 1.
    """
    small = xp.exp(-xp.abs(logits))
    losses = xp.sum(xp.maximum(logits, 0.0) - targets * logits + xp.log1p(small), axis=-1)
    return losses, xp.where(logits >= 0.0, 1.0, small) / (1.0 + small) - targets


def every_output_is_correct(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> Bool[Any, "*models batch"]:
    """Return whether every label is correct: for several outputs, scikit-learn's subset accuracy."""
    return xp.all((logits > 0.0) == (targets > 0.5), axis=-1)


def identity(xp: Any, logits: Float[Any, "*models batch outputs"]) -> Float[Any, "*models batch outputs"]:
    """Return ŷ = z."""
    return logits


def squared_error(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """L = ½ Σₖ (zₖ − yₖ)² and ∂L/∂z = z − y."""
    difference = logits - targets
    return 0.5 * xp.sum(difference * difference, axis=-1), difference


def exponential(xp: Any, logits: Float[Any, "*models batch outputs"]) -> Float[Any, "*models batch outputs"]:
    """Return ŷ = exp(z)."""
    return xp.exp(logits)


def poisson(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """L = Σₖ exp(zₖ) − yₖ zₖ + yₖ log yₖ − yₖ, half the Poisson deviance, and ∂L/∂z = exp(z) − y.

    `targets` are counts or rates, at least 0. The terms without z make the loss of a perfect prediction 0.
    """
    predictions = xp.exp(logits)
    at_best = targets * xp.log(xp.where(targets > 0.0, targets, 1.0)) - targets
    return xp.sum(predictions - targets * logits + at_best, axis=-1), predictions - targets


def gamma(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """L = Σₖ (zₖ + yₖ exp(−zₖ) − 1 − log yₖ), half the gamma deviance, and ∂L/∂z = 1 − y exp(−z).

    `targets` are above 0. The loss depends on ŷ / y alone: an error of 10 % counts the same for all sizes.
    """
    ratios = targets * xp.exp(-logits)
    return xp.sum(logits + ratios - xp.log(targets) - 1.0, axis=-1), 1.0 - ratios


def absolute_error(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """``L = Σₖ |zₖ − yₖ|`` and ∂L/∂z = sign(z − y), which is 0 at z = y. Its best constant is the median."""
    difference = logits - targets
    return xp.sum(xp.abs(difference), axis=-1), xp.sign(difference)


def huber(delta: float = 1.0) -> Loss:
    """Return Huber's loss: squared for errors up to `delta`, absolute beyond, so that outliers pull less.

    With d = z − y and g = d, limited to −δ and δ: L = Σₖ gₖ (dₖ − gₖ / 2) and ∂L/∂z = g.
    """
    if not 0.0 < delta < float("inf"):
        raise ValueError(f"huber's delta is {delta}, but must be a number above 0")

    def value_and_gradient(
        xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
    ) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
        difference = logits - targets
        limited = xp.minimum(xp.maximum(difference, -delta), delta)
        return xp.vecdot(limited, difference - 0.5 * limited), limited

    return Loss(identity, value_and_gradient, None)


def quantile(*levels: float) -> Loss:
    """Return the pinball loss of several quantiles; the network has as many outputs for each target, side by side.

    For the level q: L = max(q (y − z), (q − 1) (y − z)) and ∂L/∂z = [z > y] − q (Koenker and Bassett 1978). The
    predictions are sorted, so that a higher quantile is never below a lower one.
    """
    for level in levels:
        if not 0.0 < level < 1.0:
            raise ValueError(f"the quantile {level} is not between 0 and 1")
    if not levels or list(levels) != sorted(set(levels)):
        raise ValueError(f"the quantiles {levels} are not in ascending order")

    def predict(xp: Any, logits: Float[Any, "*models batch outputs"]) -> Float[Any, "*models batch outputs"]:
        groups = xp.reshape(logits, (*logits.shape[:-1], -1, len(levels)))
        return xp.reshape(xp.sort(groups, axis=-1), logits.shape)

    def value_and_gradient(
        xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch targets"]
    ) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
        values: Any = 0.0
        gradients = []
        for index, level in enumerate(levels):
            difference = logits[..., index :: len(levels)] - targets
            gradient = xp.astype(difference > 0.0, logits.dtype) - level
            values = values + xp.vecdot(gradient, difference)
            gradients.append(gradient)
        return values, xp.reshape(xp.stack(tuple(gradients), axis=-1), logits.shape)

    return Loss(predict, value_and_gradient, None)


def smooth_targets(targets: Float[Any, "*axes outputs"], smoothing: float, classes: int) -> Float[Any, "*axes outputs"]:
    """y ← (1 − s) y + s / K for K classes, of which a yes or no has two (Szegedy et al. 2016; equation 2a)."""
    return (1.0 - smoothing) * targets + smoothing / classes


DEFAULT_QUANTILES = (0.05, 0.5, 0.95)
LOSSES: dict[str, Loss] = {
    "softmax_cross_entropy": Loss(softmax, softmax_cross_entropy, largest_output_is_correct),
    "logistic_cross_entropy": Loss(logistic, logistic_cross_entropy, every_output_is_correct),
    "squared_error": Loss(identity, squared_error, None),
    "poisson": Loss(exponential, poisson, None),
    "gamma": Loss(exponential, gamma, None),
    "absolute_error": Loss(identity, absolute_error, None),
    "huber": huber(),
    "quantile": quantile(*DEFAULT_QUANTILES),
}
REGRESSION_LOSSES = tuple(name for name, loss in LOSSES.items() if loss.is_correct is None)
