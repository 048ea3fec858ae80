"""The network: forward and backward. This is THE page.

Layer l computes zₗ = aₗ₋₁ Wₗ + bₗ from its input aₗ₋₁. Every layer but the last applies its activation,
aₗ = σ(zₗ); the last layer's z are the logits, from which the loss is computed. Each line is derived in
``docs/derivation.md``.
"""

from typing import Any, NamedTuple

from jaxtyping import Float

from .activations import Activations, of_each_layer
from .dropout import Dropout, apply_mask
from .layers import Layer, Layers


class ForwardPass(NamedTuple):
    """A forward pass, with all that `backward` needs.

    Attributes
    ----------
    inputs
        The input of each layer, first to last: x, a₁, a₂, …; shapes ``(*models, batch, inputs of the layer)``.
    kept
        For each hidden layer, what its activation's `backward` takes: the output before dropout, or z.
    logits
        The last layer's output, shape ``(*models, batch, outputs)``.
    """

    inputs: tuple[Any, ...]
    kept: tuple[Any, ...]
    logits: Any


def forward_pass(
    xp: Any,
    layers: Layers,
    x: Float[Any, "*#models batch features"],
    activation: Activations,
    dropout: Dropout | None = None,
) -> ForwardPass:
    """Compute the logits, and keep what `backward` needs.

    Parameters
    ----------
    activation
        Of all hidden layers, or a tuple with one for each.
    dropout
        Masks of the hidden units, in training with dropout.
    """
    inputs, kept = [x], []
    for index, function in enumerate(of_each_layer(activation, len(layers) - 1)):
        z = xp.matmul(inputs[-1], layers[index].weight) + layers[index].bias  # equation 10
        a = function.forward(xp, z)  # equation 11
        inputs.append(apply_mask(dropout, index, a))
        kept.append(z if function.from_input else a)
    logits = xp.matmul(inputs[-1], layers[-1].weight) + layers[-1].bias
    return ForwardPass(tuple(inputs), tuple(kept), logits)


def forward(
    xp: Any,
    layers: Layers,
    x: Float[Any, "*#models batch features"],
    activation: Activations,
    dropout: Dropout | None = None,
) -> tuple[tuple[Any, ...], Float[Any, "*models batch outputs"]]:
    """Return the inputs of each layer, and the logits; see `forward_pass`."""
    inputs, _, logits = forward_pass(xp, layers, x, activation, dropout)
    return inputs, logits


def backward(
    xp: Any,
    layers: Layers,
    inputs: tuple[Any, ...],
    gradient: Float[Any, "*models batch outputs"],
    activation: Activations,
    dropout: Dropout | None = None,
    kept: tuple[Any, ...] | None = None,
) -> Layers:
    """Return the gradients at all weights and biases, given the gradient at the logits.

    Parameters
    ----------
    inputs, kept
        Of the `ForwardPass`. Without dropout, `kept` is needed only for activations whose `backward` takes z.
    gradient
        ∂J/∂z of the last layer. It includes any weighting of the samples, so that only sums over the batch remain.
    activation, dropout
        As given to `forward_pass`.

    Returns
    -------
    Layers
        ∂J/∂W and ∂J/∂b, of the shapes of `layers`.
    """
    functions = of_each_layer(activation, len(layers) - 1)
    kept = inputs[1:] if kept is None else kept
    gradients: list[Layer] = []
    for index in reversed(range(len(layers))):
        weight = xp.matmul(xp.matrix_transpose(inputs[index]), gradient)  # equation 13
        bias = xp.sum(gradient, axis=-2, keepdims=True)  # equation 14
        gradients.append(Layer(weight, bias))
        if index > 0:
            gradient = xp.matmul(gradient, xp.matrix_transpose(layers[index].weight))  # equation 15
            gradient = apply_mask(dropout, index - 1, gradient)
            gradient = functions[index - 1].backward(xp, kept[index - 1], gradient)  # equation 16
    return tuple(reversed(gradients))
