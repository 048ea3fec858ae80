"""The network: forward and backward. This is THE page.

Layer l computes zₗ = aₗ₋₁ Wₗ + bₗ from its input aₗ₋₁. Every layer but the last applies the activation,
aₗ = σ(zₗ); the last layer's z are the logits, from which the loss is computed. Each line is derived in
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
    """Return the logits, and the inputs of each layer for `backward`.

    Parameters
    ----------
    dropout
        Masks of the hidden units, in training with dropout.

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
    """Return the gradients at all weights and biases, given the gradient at the logits.

    Parameters
    ----------
    inputs
        The input of each layer, as `forward` returned it.
    gradient
        ∂J/∂z of the last layer. It includes any weighting of the samples, so that only sums over the batch remain.
    dropout
        As given to `forward`.

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
