"""Optimizers: each is a pair of pure functions over an explicit state.

``init(xp, layers)`` returns the state before the first step; ``update(xp, gradients, state, layers, learning_rate)``
returns the new layers and the new state. ``learning_rate`` is a number, an array with no axes, or one of shape
``(*models, 1, 1)`` that gives each model its own.

Momentum and Adam have the form of scikit-learn's ``SGDOptimizer`` and ``AdamOptimizer``, so that equal gradients give
equal weights.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .layers import Layer, Layers, sum_of_squares
from .tree import tree_map


class Optimizer(NamedTuple):
    """A rule for updating weights; the module's docstring describes the two functions.

    Attributes
    ----------
    elementwise
        Whether each element of the results depends on the elements at its own position alone.
    """

    init: Callable[[Any, Layers], Any]
    update: Callable[[Any, Layers, Any, Layers, Any], tuple[Layers, Any]]
    elementwise: bool = True


class MomentumState(NamedTuple):
    """State of SGD with momentum."""

    velocity: Layers


class AdamState(NamedTuple):
    """State of Adam: the number of steps, as an array without axes, and two running means."""

    step: Any
    mean: Layers
    square: Layers


def sgd(*, momentum: Any = 0.0, nesterov: bool = False) -> Optimizer:
    """Stochastic gradient descent: W ← W − ηg, or with momentum μ: v ← μv − ηg, W ← W + v.

    With `nesterov`, W ← W + μv − ηg with the new v (Sutskever et al. 2013, as reformulated by Bengio et al. 2013).
    ``momentum=0`` has no state. An array of shape ``(*models, 1, 1)`` gives each model its own.
    """
    if isinstance(momentum, float | int) and momentum == 0.0:
        return Optimizer(init=lambda xp, layers: (), update=plain_sgd_update)

    def init(xp: Any, layers: Layers) -> MomentumState:
        return MomentumState(velocity=tree_map(xp.zeros_like, layers))

    def update(
        xp: Any, gradients: Layers, state: MomentumState, layers: Layers, learning_rate: Any
    ) -> tuple[Layers, MomentumState]:
        steps = tree_map(lambda g: learning_rate * g, gradients)
        velocity = tree_map(lambda v, s: momentum * v - s, state.velocity, steps)
        if nesterov:
            layers = tree_map(lambda w, v, s: w + (momentum * v - s), layers, velocity, steps)
        else:
            layers = tree_map(lambda w, v: w + v, layers, velocity)
        return layers, MomentumState(velocity)

    return Optimizer(init, update)


def plain_sgd_update(
    xp: Any, gradients: Layers, state: tuple[()], layers: Layers, learning_rate: Any
) -> tuple[Layers, tuple[()]]:
    """W ← W − ηg (``docs/derivation.md``, equation 17)."""
    step = -learning_rate
    # In this order NumPy adds w into the product's buffer, without a third array.
    return tree_map(lambda w, g: g * step + w, layers, gradients), state


def adam(*, beta_1: Any = 0.9, beta_2: Any = 0.999, epsilon: Any = 1e-8) -> Optimizer:
    """Adam (Kingma and Ba 2015, algorithm 1 in the efficient form at the end of its section 2).

    m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², W ← W − η √(1−β₂ᵗ) / (1−β₁ᵗ) · m / (√v + ε).
    Arrays of shape ``(*models, 1, 1)`` give each model its own settings.
    """

    def init(xp: Any, layers: Layers) -> AdamState:
        weight = layers[0].weight
        zeros = tree_map(xp.zeros_like, layers)
        # The count is a float: float32 counts exactly to 16 million, long after the bias correction has vanished.
        return AdamState(step=xp.asarray(0.0, dtype=weight.dtype, device=weight.device), mean=zeros, square=zeros)

    def update(
        xp: Any, gradients: Layers, state: AdamState, layers: Layers, learning_rate: Any
    ) -> tuple[Layers, AdamState]:
        step = state.step + 1.0
        mean = tree_map(lambda m, g: beta_1 * m + (1.0 - beta_1) * g, state.mean, gradients)
        square = tree_map(lambda v, g: beta_2 * v + (1.0 - beta_2) * (g * g), state.square, gradients)
        factor = -learning_rate * (xp.sqrt(1.0 - xp.pow(beta_2, step)) / (1.0 - xp.pow(beta_1, step)))
        layers = tree_map(lambda w, m, v: factor * m / (xp.sqrt(v) + epsilon) + w, layers, mean, square)
        return layers, AdamState(step, mean, square)

    return Optimizer(init, update)


def adamw(*, weight_decay: Any = 0.01, beta_1: Any = 0.9, beta_2: Any = 0.999, epsilon: Any = 1e-8) -> Optimizer:
    """Adam with decoupled weight decay: Adam's step, and W ← W − η w W (Loshchilov and Hutter 2019).

    Unlike an L2 penalty, which goes through Adam's running means, the decay w shrinks all weights alike. It spares the
    biases. Arrays of shape ``(*models, 1, 1)`` give each model its own settings.
    """
    plain = adam(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)

    def update(
        xp: Any, gradients: Layers, state: AdamState, layers: Layers, learning_rate: Any
    ) -> tuple[Layers, AdamState]:
        after, state = plain.update(xp, gradients, state, layers, learning_rate)
        decay = learning_rate * weight_decay
        pairs = zip(after, layers, strict=True)
        return tuple(Layer(new.weight - decay * old.weight, new.bias) for new, old in pairs), state

    return Optimizer(plain.init, update)


def clip_gradients(optimizer: Optimizer, largest_norm: Any) -> Optimizer:
    """Return an optimizer that first shortens gradients longer than `largest_norm` to that length.

    The length is that of all gradients of a model together (Pascanu et al. 2013), as in PyTorch's ``clip_grad_norm_``.
    """

    def update(xp: Any, gradients: Layers, state: Any, layers: Layers, learning_rate: Any) -> tuple[Layers, Any]:
        norm = xp.sqrt(sum(sum_of_squares(xp, array) for layer in gradients for array in layer))[..., None, None]
        factor = largest_norm / xp.maximum(norm, largest_norm)
        return optimizer.update(xp, tree_map(lambda g: factor * g, gradients), state, layers, learning_rate)

    return Optimizer(optimizer.init, update, elementwise=False)
