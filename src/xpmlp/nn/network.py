"""The network: what it computes, and how the gradient of a loss flows back through it. This is THE page.

Layer l turns its input aₗ₋₁ into zₗ = aₗ₋₁ Wₗ + bₗ. Every layer but the last passes that through the activation,
aₗ = σ(zₗ); the last one's z are the logits, which belong to the loss. The derivation of each line is in
``docs/derivation.md``.
"""

from typing import Any

from jaxtyping import Float

from .activations import Activation
from .dropout import Dropout, apply_mask, undo_scale
from .layers import Layer, Layers


def forward(
    xp: Any,
    layers: Layers,
    x: Float[Any, "*#models batch features"],
    activation: Activation,
    dropout: Dropout | None = None,
) -> tuple[tuple[Any, ...], Float[Any, "*models batch outputs"]]:
    """Compute the logits, keeping what `backward` needs.

    Parameters
    ----------
    dropout
        Which hidden units are left out; None, as in all but training, for none.

    Returns
    -------
    inputs
        The input of each layer, first to last: x, a₁, a₂, …; shapes ``(*models, batch, inputs of the layer)``.
    logits
        The last layer's output.
    """
    inputs = [x]
    for index, layer in enumerate(layers[:-1]):
        z = xp.matmul(inputs[-1], layer.weight) + layer.bias  # equation 10
        inputs.append(apply_mask(dropout, index, activation.forward(xp, z)))  # equation 11
    logits = xp.matmul(inputs[-1], layers[-1].weight) + layers[-1].bias
    return tuple(inputs), logits


def backward(
    xp: Any,
    layers: Layers,
    inputs: tuple[Any, ...],
    gradient: Float[Any, "*models batch outputs"],
    activation: Activation,
    dropout: Dropout | None = None,
) -> Layers:
    """Take the loss's gradient at the logits back to every weight and bias.

    Parameters
    ----------
    inputs
        The input of each layer, as `forward` returned it.
    gradient
        ∂J/∂z of the last layer. Any weighting of the samples is already in it, so that sums over the batch are all
        that is left to do.
    dropout
        What `forward` was given.

    Returns
    -------
    Layers
        ∂J/∂W and ∂J/∂b, of the shapes of `layers`.
    """
    gradients: list[Layer] = []
    for index in reversed(range(len(layers))):
        weight = xp.matmul(xp.matrix_transpose(inputs[index]), gradient)  # equation 13
        bias = xp.sum(gradient, axis=-2, keepdims=True)  # equation 14
        gradients.append(Layer(weight, bias))
        if index > 0:
            gradient = xp.matmul(gradient, xp.matrix_transpose(layers[index].weight))  # equation 15
            gradient = apply_mask(dropout, index - 1, gradient)
            gradient = activation.backward(xp, undo_scale(dropout, inputs[index]), gradient)  # equation 16
    return tuple(reversed(gradients))
