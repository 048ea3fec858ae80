"""The objective of a batch, which training minimizes, and its gradient."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float

from .activations import Activations
from .dropout import Dropout
from .layers import Layer, Layers, sum_of_squares
from .losses import Loss
from .network import backward, forward_pass


def keep(tree: Any) -> Any:
    """Return the arrays of a process that holds the whole batch unchanged."""
    return tree


def objective_and_gradients(
    xp: Any,
    layers: Layers,
    x: Float[Any, "*#models batch features"],
    targets: Float[Any, "*#models batch outputs"],
    sample_weight: Float[Any, "*#models batch"] | None = None,
    *,
    activation: Activations,
    loss: Loss,
    penalty: Any = None,
    dropout: Dropout | None = None,
    combine: Callable[[Any], Any] = keep,
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
        If several processes hold parts of the batch: adds up a tree of their arrays. It may reuse their memory. Each
        part needs a `sample_weight`, as parts may differ in weight.

    Returns
    -------
    objective
        J of each model.
    gradients
        Of the shapes of `layers`.
    """
    objective, gradients, decay = loss_gradients(
        xp,
        layers,
        x,
        targets,
        sample_weight,
        activation=activation,
        loss=loss,
        penalty=penalty,
        dropout=dropout,
        combine=combine,
    )
    return objective, add_decay(gradients, layers, decay)


def loss_gradients(
    xp: Any,
    layers: Layers,
    x: Float[Any, "*#models batch features"],
    targets: Float[Any, "*#models batch outputs"],
    sample_weight: Float[Any, "*#models batch"] | None,
    *,
    activation: Activations,
    loss: Loss,
    penalty: Any,
    dropout: Dropout | None,
    combine: Callable[[Any], Any],
) -> tuple[Float[Any, "*models"], Layers, Any]:
    """Return J, its gradient without that of the penalty, and λ / Σᵢ sᵢ for `add_decay`; None without a penalty."""
    inputs, kept, logits = forward_pass(xp, layers, x, activation, dropout)
    losses, gradient = loss.value_and_gradient(xp, logits, targets)
    if sample_weight is None:
        total: Any = x.shape[-2]
        objective = xp.sum(losses, axis=-1) * (1.0 / total)
        gradient = gradient * (1.0 / total)
    else:
        weight_sum = combine(xp.sum(sample_weight, axis=-1, keepdims=True))
        weight_sum = xp.where(weight_sum > 0.0, weight_sum, 1.0)
        share = sample_weight / weight_sum
        objective = xp.sum(losses * share, axis=-1)
        gradient = gradient * xp.expand_dims(share, axis=-1)
        total = xp.expand_dims(weight_sum, axis=-1)
    gradients = backward(xp, layers, inputs, gradient, activation, dropout, kept)
    objective, gradients = combine((objective, gradients))
    if penalty is None:
        return objective, gradients, None
    decay = penalty / total
    squares = sum(sum_of_squares(xp, layer.weight) for layer in layers)
    return objective + (0.5 * decay * squares[..., None, None])[..., 0, 0], gradients, decay


def add_decay(gradients: Layers, layers: Layers, decay: Any) -> Layers:
    """Add the gradient of the penalty: λ W / Σᵢ sᵢ at the weights, none at the biases."""
    if decay is None:
        return gradients
    return tuple(Layer(g.weight + decay * layer.weight, g.bias) for g, layer in zip(gradients, layers, strict=True))
