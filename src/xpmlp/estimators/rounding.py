"""Predictions rounded as scikit-learn's are.

It takes the logistic function from SciPy, whose exponential is another than NumPy's. In float32 a probability may be
5e-7 off after that: neither is nearer to the truth, but they differ.
"""

from typing import Any

from jaxtyping import Float
from scipy.special import expit

from xpmlp.backends import Backend
from xpmlp.nn.activations import ACTIVATIONS, Activation
from xpmlp.nn.losses import Loss


def logistic(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
    """Return 1 / (1 + exp(−z)) as SciPy does; for NumPy's arrays."""
    return expit(z)


def round_as_scikit_learn(
    backend: Backend, activation: str, loss: Loss, out_activation: str
) -> tuple[Activation, Loss]:
    """Return the functions that a network predicts with, rounded as scikit-learn's where its arrays are: on NumPy.

    Parameters
    ----------
    activation
        The name of that of the hidden layers.
    loss
        Whose ``predict`` is the output function.
    out_activation
        Its name.
    """
    hidden = ACTIVATIONS[activation]
    if backend.name == "numpy":
        if activation == "logistic":
            hidden = hidden._replace(forward=logistic)
        if out_activation == "logistic":
            loss = loss._replace(predict=logistic)
    return hidden, loss
