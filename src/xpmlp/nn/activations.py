"""What a hidden unit does to its input, each function with its derivative beside it.

A network needs both: ``forward`` gives a = σ(z); ``backward`` takes the loss's gradient at a to its gradient at z,
∂L/∂z = ∂L/∂a · σ′(z). All four derivatives can be written in terms of the output a alone, so z need not be kept
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
        ``backward(xp, a, gradient)`` is the gradient at z, given the output a and the gradient there.
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
    """a = 1 / (1 + exp(−z)), written as (1 + tanh(z/2)) / 2, which no z can make overflow."""
    return 0.5 * xp.tanh(0.5 * z) + 0.5


def logistic_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = a (1 − a)."""
    return gradient * (a * (1.0 - a))


def tanh(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = tanh(z)."""
    return xp.tanh(z)


def tanh_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = 1 − a²: the square of the output itself, whose hyperbolic tangent is already taken."""
    return gradient * (1.0 - a * a)


def relu(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = max(z, 0)."""
    return xp.maximum(z, 0.0)


def relu_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = 1 where z > 0, else 0: at the kink too, as scikit-learn, PyTorch and JAX have it."""
    # Not `where`: NumPy takes three times as long for it.
    return gradient * xp.astype(a > 0.0, gradient.dtype)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, identity_backward),
    "logistic": Activation(logistic, logistic_backward),
    "tanh": Activation(tanh, tanh_backward),
    "relu": Activation(relu, relu_backward),
}
"""By the names of scikit-learn's ``MLPClassifier(activation=...)``."""
