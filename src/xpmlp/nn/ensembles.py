"""Ensembles: networks along a leading axis, whose predictions are averaged (``docs/ensembles.md``).

The logits of an ensemble's members have shape ``(members, batch, outputs)``. Its prediction is the mean of the members'
predictions: for classes, of their probabilities.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Bool, Float

from .layers import Layers
from .losses import Loss, exponential, logistic, softmax
from .tree import tree_map


def stack_networks(xp: Any, networks: Sequence[Layers]) -> Layers:
    """Return networks of the same layer sizes as the members of an ensemble."""
    return tree_map(lambda *arrays: xp.stack(arrays), *networks)


def log_mean_exp(xp: Any, z: Float[Any, "members batch outputs"]) -> Float[Any, "batch outputs"]:
    """Return log(mean(exp(z))) over the members, without overflow."""
    largest = xp.max(z, axis=-3, keepdims=True)
    return largest[0, ...] + xp.log(xp.mean(xp.exp(z - largest), axis=-3))


def mean_of_softmax(xp: Any, logits: Float[Any, "members batch outputs"]) -> Float[Any, "batch outputs"]:
    """Return logits whose softmax is the mean of the members'."""
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    return log_mean_exp(xp, shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True)))


def mean_of_logistic(xp: Any, logits: Float[Any, "members batch outputs"]) -> Float[Any, "batch outputs"]:
    """Return logits whose logistic function is the mean of the members': log p − log(1 − p)."""
    log_p = xp.minimum(logits, 0.0) - xp.log1p(xp.exp(-xp.abs(logits)))
    return log_mean_exp(xp, log_p) - log_mean_exp(xp, log_p - logits)


MEANS: dict[Any, Callable[[Any, Any], Any]] = {
    softmax: mean_of_softmax,
    logistic: mean_of_logistic,
    exponential: log_mean_exp,
}


def average_logits(xp: Any, loss: Loss, logits: Float[Any, "members batch outputs"]) -> Float[Any, "batch outputs"]:
    """Return the logits whose prediction is the mean of the members' predictions.

    If an output function precedes the predictions of numbers, it is the mean of the predictions themselves.
    """
    mean = MEANS.get(loss.predict)
    return xp.mean(loss.predict(xp, logits), axis=-3) if mean is None else mean(xp, logits)


@functools.lru_cache(maxsize=32)
def average(loss: Loss) -> Loss:
    """Return the loss of an ensemble's prediction, which takes all members' logits, and has no gradient."""
    of_predictions = loss.of_predictions or loss

    def predict(xp: Any, logits: Float[Any, "members batch outputs"]) -> Float[Any, "batch outputs"]:
        return xp.mean(loss.predict(xp, logits), axis=-3)

    def value(
        xp: Any, logits: Float[Any, "members batch outputs"], targets: Float[Any, "batch targets"]
    ) -> tuple[Float[Any, " batch"], None]:
        return of_predictions.value_and_gradient(xp, average_logits(xp, loss, logits), targets)[0], None

    def is_correct(
        xp: Any, logits: Float[Any, "members batch outputs"], targets: Float[Any, "batch outputs"]
    ) -> Bool[Any, " batch"]:
        assert loss.is_correct is not None
        return loss.is_correct(xp, average_logits(xp, loss, logits), targets)

    return Loss(predict, value, loss.is_correct and is_correct)


def loss_of(layers: Layers, loss: Loss) -> Loss:
    """Return the loss to evaluate a network with: that of the average if it is an ensemble."""
    return average(loss) if layers[0].weight.ndim > 2 else loss
