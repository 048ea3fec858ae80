"""Activation functions, each with its derivative beside it.

``forward`` computes a = σ(z); ``backward`` turns the loss's gradient at a into its gradient at z,
∂L/∂z = ∂L/∂a · σ′(z). Most derivatives are functions of the output a alone, so that z need not be kept; those of gelu,
silu and mish take z (``docs/derivation.md``, equations 6 to 9g).
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
    from_input
        Whether `backward` takes z in place of a.
    """

    forward: Callable[[Any, Any], Any]
    backward: Callable[[Any, Any, Any], Any]
    from_input: bool = False


Activations = Activation | tuple[Activation, ...]
"""One activation for all hidden layers, or one for each."""


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


def leaky_relu(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = z if z > 0, else z / 100."""
    return xp.maximum(z, 0.01 * z)


def leaky_relu_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = 1 if z > 0, else 1/100."""
    return gradient * (0.99 * xp.astype(a > 0.0, gradient.dtype) + 0.01)


def elu(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = z if z > 0, else exp(z) − 1 (Clevert et al. 2016)."""
    return xp.maximum(z, 0.0) + xp.expm1(xp.minimum(z, 0.0))


def elu_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = 1 if z > 0, else exp(z) = a + 1."""
    return gradient * (xp.minimum(a, 0.0) + 1.0)


def selu(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = λ z if z > 0, else λ α (exp(z) − 1), which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * xp.maximum(z, 0.0) + (scale * alpha) * xp.expm1(xp.minimum(z, 0.0))


def selu_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = λ if z > 0, else λ α exp(z) = a + λ α."""
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    jump = (scale - scale * alpha) * xp.astype(a > 0.0, gradient.dtype)
    return gradient * (xp.minimum(a, 0.0) + scale * alpha + jump)


def softplus(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = log(1 + exp(z)), written so that it cannot overflow."""
    return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))


def softplus_backward(xp: Any, a: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = 1 / (1 + exp(−z)) = 1 − exp(−a)."""
    return -gradient * xp.expm1(-a)


def silu(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = z / (1 + exp(−z)): z times the logistic function, also called swish."""
    return z * (0.5 * xp.tanh(0.5 * z) + 0.5)


def silu_backward(xp: Any, z: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = s + z s (1 − s), where s is the logistic function of z."""
    s = 0.5 * xp.tanh(0.5 * z) + 0.5
    return gradient * (s + z * s * (1.0 - s))


def gelu(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = z (1 + tanh(u)) / 2 with u = √(2/π) (z + 0.044715 z³), the usual approximation (Hendrycks, Gimpel 2016)."""
    u = 0.7978845608028654 * z * (1.0 + 0.044715 * z * z)
    return 0.5 * z * (1.0 + xp.tanh(u))


def gelu_backward(xp: Any, z: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = (1 + t) / 2 + z (1 − t²) u′(z) / 2 with t = tanh(u)."""
    square = z * z
    t = xp.tanh(0.7978845608028654 * z * (1.0 + 0.044715 * square))
    slope = 0.7978845608028654 * (1.0 + 0.134145 * square)
    return gradient * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope)


def mish(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """a = z tanh(softplus(z)) (Misra 2020), with a single exponential e = exp(z).

    tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2). From z = 20 on it is 1 to the last digit.
    """
    e = xp.exp(xp.minimum(z, 20.0))
    n = e * (e + 2.0)
    return z * (n / (n + 2.0))


def mish_backward(xp: Any, z: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
    """σ′(z) = n / (n + 2) + 4 z e (e + 1) / (n + 2)²."""
    z = xp.minimum(z, 20.0)
    e = xp.exp(z)
    n = e * (e + 2.0)
    d = n + 2.0
    return gradient * ((n + 4.0 * z * e * (e + 1.0) / d) / d)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, identity_backward),
    "logistic": Activation(logistic, logistic_backward),
    "tanh": Activation(tanh, tanh_backward),
    "relu": Activation(relu, relu_backward),
    "leaky_relu": Activation(leaky_relu, leaky_relu_backward),
    "elu": Activation(elu, elu_backward),
    "selu": Activation(selu, selu_backward),
    "softplus": Activation(softplus, softplus_backward),
    "silu": Activation(silu, silu_backward, from_input=True),
    "gelu": Activation(gelu, gelu_backward, from_input=True),
    "mish": Activation(mish, mish_backward, from_input=True),
}
"""The first four are named as in scikit-learn's ``MLPClassifier(activation=...)``, the others as in PyTorch."""


def find_activation(names: str) -> Activations:
    """Return the activation with this name; for names separated by commas, one for each hidden layer.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    found = names.split(",")
    for name in found:
        if name not in ACTIVATIONS:
            raise ValueError(f"the activation {name!r} is not one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[names] if len(found) == 1 else tuple(ACTIVATIONS[name] for name in found)


def of_each_layer(activation: Activations, hidden: int) -> tuple[Activation, ...]:
    """Return the activation of each of some hidden layers.

    Raises
    ------
    ValueError
        If there is another number of activations than of layers.
    """
    if isinstance(activation, Activation):
        return (activation,) * hidden
    if len(activation) != hidden:
        raise ValueError(f"there are {len(activation)} activations for {hidden} hidden layers; give one, or {hidden}")
    return activation
