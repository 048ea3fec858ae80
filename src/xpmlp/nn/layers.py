"""The parameters of a network's layers."""

from typing import Any, NamedTuple

from jaxtyping import Float


class Layer(NamedTuple):
    """The parameters of a fully connected layer, or arrays of the same shapes, such as their gradients.

    A network is a tuple of layers, first to last.
    """

    weight: Float[Any, "*models inputs outputs"]
    bias: Float[Any, "*models 1 outputs"]


Layers = tuple[Layer, ...]


def sum_of_squares(xp: Any, array: Float[Any, "*models rows columns"]) -> Float[Any, "*models"]:
    """‖W‖² of each model's weight or bias, as one long dot product: quicker than one per row."""
    flat = xp.reshape(array, (*array.shape[:-2], -1))
    return xp.vecdot(flat, flat)
