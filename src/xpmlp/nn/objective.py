"""The objective of a batch, which training minimizes, and its gradient."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float

from .activations import Activation
from .dropout import Dropout
from .layers import Layer, Layers
from .losses import Loss
from .network import backward, forward
from .tree import tree_map


def objective_and_gradients(
    xp: Any,
    layers: Layers,
    x: Float[Any, "*#models batch features"],
    targets: Float[Any, "*#models batch outputs"],
    sample_weight: Float[Any, "*#models batch"] | None = None,
    *,
    activation: Activation,
    loss: Loss,
    penalty: Any = None,
    dropout: Dropout | None = None,
    combine: Callable[[Any], Any] | None = None,
) -> tuple[Float[Any, "*models"], Layers]:
    """J = (Σᵢ sᵢ Lᵢ + ½ λ Σₗ ‖Wₗ‖²) / Σᵢ sᵢ, and its gradient (``docs/derivation.md``, equation 12).

    Parameters
    ----------
    sample_weight
        sᵢ, at least 0; 1 by default. If all are 0, their sum is taken as 1, and only the penalty remains.
    penalty
        λ, the L2 penalty on the weights, not the biases; scikit-learn's ``alpha``. A number, or an array of shape
        ``(*models, 1, 1)`` that gives each model its own.
    dropout
        Masks of the hidden units; see `forward`.
    combine
        If several processes hold parts of the batch: adds up a tree of their arrays. Each part needs a `sample_weight`.
        Sums are combined, not means, so that parts may differ in weight.

    Returns
    -------
    objective
        J of each model.
    gradients
        Of the shapes of `layers`.
    """
    inputs, logits = forward(xp, layers, x, activation, dropout)
    losses, gradient = loss.value_and_gradient(xp, logits, targets)
    if sample_weight is None:
        total: Any = x.shape[-2]
        objective = xp.sum(losses, axis=-1) * (1.0 / total)
        gradient = gradient * (1.0 / total)
    else:
        weight_sum = xp.sum(sample_weight, axis=-1, keepdims=True)
        share = sample_weight if combine else sample_weight / at_least_one_row(xp, weight_sum)
        objective = xp.sum(losses * share, axis=-1)
        gradient = gradient * xp.expand_dims(share, axis=-1)
        total = xp.expand_dims(at_least_one_row(xp, weight_sum), axis=-1)
    gradients = backward(xp, layers, inputs, gradient, activation, dropout)
    if combine:
        objective, gradients, weight_sum = combine((objective, gradients, weight_sum))
        total = xp.expand_dims(at_least_one_row(xp, weight_sum), axis=-1)
        objective = objective / total[..., 0, 0]
        gradients = tree_map(lambda gradient: gradient / total, gradients)
    if penalty is not None:
        decay = penalty / total
        squares = sum(sum_of_squares(xp, layer.weight) for layer in layers)
        objective = objective + (0.5 * decay * squares[..., None, None])[..., 0, 0]
        gradients = tuple(
            Layer(g.weight + decay * layer.weight, g.bias) for g, layer in zip(gradients, layers, strict=True)
        )
    return objective, gradients


def at_least_one_row(xp: Any, weight_sum: Float[Any, "*models 1"]) -> Float[Any, "*models 1"]:
    """Return a batch's weight, or 1 if no row counts."""
    return xp.where(weight_sum > 0.0, weight_sum, 1.0)


def sum_of_squares(xp: Any, weight: Float[Any, "*models inputs outputs"]) -> Float[Any, "*models"]:
    """‖W‖², as one long dot product: quicker than one per row."""
    flat = xp.reshape(weight, (*weight.shape[:-2], -1))
    return xp.vecdot(flat, flat)
