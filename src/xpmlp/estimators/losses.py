"""The losses as scikit-learn reports them; their gradients are those of `xpmlp.nn.losses`.

scikit-learn keeps probabilities from 0 and 1 by the precision of their dtype before it takes their logarithm, so that
no output of a sample loses more than 36.04 in float64 or 15.94 in float32; and it reports the squared error as a mean
over the outputs, though it descends along the gradient of the sum. Its loss curve, and so the epoch in which it stops,
depend on both.
"""

import math
from typing import Any

from jaxtyping import Float

from xpmlp.nn.losses import LOSSES, Loss, logistic, softmax_cross_entropy, squared_error


def bounded_softmax_cross_entropy(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute the cross-entropy of classes; `targets` are one-hot."""
    losses, gradient = softmax_cross_entropy(xp, logits, targets)
    eps = float(xp.finfo(logits.dtype).eps)
    return xp.minimum(xp.maximum(losses, -math.log1p(-eps)), -math.log(eps)), gradient


def bounded_logistic_cross_entropy(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute the cross-entropy of yes and no; `targets` are 0 or 1.

    It is that of the probability, whose distance from 1 has few digits left where a wrong answer is nearly sure: so
    has scikit-learn's.
    """
    predictions = logistic(xp, logits)
    eps = float(xp.finfo(logits.dtype).eps)
    bounded = xp.minimum(xp.maximum(predictions, eps), 1.0 - eps)
    losses = -xp.log(xp.where(targets > 0.5, bounded, 1.0 - bounded))
    return xp.sum(losses, axis=-1), predictions - targets


def mean_squared_error(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute half the mean over the outputs of the squared error, and the gradient of half their sum."""
    losses, gradient = squared_error(xp, logits, targets)
    return losses * (1.0 / logits.shape[-1]), gradient


REPORTED_LOSSES: dict[str, Loss] = {
    "softmax_cross_entropy": LOSSES["softmax_cross_entropy"]._replace(value_and_gradient=bounded_softmax_cross_entropy),
    "logistic_cross_entropy": LOSSES["logistic_cross_entropy"]._replace(
        value_and_gradient=bounded_logistic_cross_entropy
    ),
    "squared_error": LOSSES["squared_error"]._replace(value_and_gradient=mean_squared_error),
    "poisson": LOSSES["poisson"],
}
"""By the names of `xpmlp.nn.losses.LOSSES`."""
