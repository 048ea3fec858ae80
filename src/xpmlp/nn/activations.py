"""Activation functions, each with its derivative beside it.

``forward`` computes a = σ(z); ``backward`` turns the loss's gradient at a into its gradient at z,
∂L/∂z = ∂L/∂a · σ′(z). All four derivatives are functions of the output a alone, so z need not be kept
(``docs/derivation.md``, equations 6 to 9).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float


class Activation(NamedTuple):
    """An elementwise function and its derivative.

    Attributes
    ----------
    forward
        ``forward(xp, z)`` is the output a, of z's shape.
    backward
        ``backward(xp, a, gradient)`` is the gradient at z, given the output a and the gradient at a.
    """

    forward: Callable[[Any, Any], Any]
    backward: Callable[[Any, Any, Any], Any]


def identity(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = z."""
    return z


def identity_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = 1."""
    return gradient


def logistic(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = 1 / (1 + exp(−z)), written as (1 + tanh(z/2)) / 2, which cannot overflow."""
    return 0.5 * xp.tanh(0.5 * z) + 0.5


def logistic_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = a (1 − a)."""
    return gradient * (a * (1.0 - a))


def tanh(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = tanh(z)."""
    return xp.tanh(z)


def tanh_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = 1 − a², without a second tanh: a is tanh(z) already."""
    return gradient * (1.0 - a * a)


def relu(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = max(z, 0)."""
    return xp.maximum(z, 0.0)


def relu_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = 1 if z > 0, else 0, also at z = 0, as in scikit-learn, PyTorch and JAX."""
    # Not `where`, which takes NumPy three times as long.
    return gradient * xp.astype(a > 0.0, gradient.dtype)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, identity_backward),
    "logistic": Activation(logistic, logistic_backward),
    "tanh": Activation(tanh, tanh_backward),
    "relu": Activation(relu, relu_backward),
}
"""Named as in scikit-learn's ``MLPClassifier(activation=...)``."""
