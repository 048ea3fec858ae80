"""A layer's parameters, and how to do the same to the parameters of every layer."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float


class Layer(NamedTuple):
    """The parameters of one fully connected layer, or anything of the same shapes: their gradients, their moments.

    A network is a tuple of layers, first to last.
    """

    weight: Float[Any, "*models inputs outputs"]
    bias: Float[Any, "*models 1 outputs"]


Layers = tuple[Layer, ...]


def map_layers(function: Callable[..., Any], *trees: Layers) -> Layers:
    """Apply `function` to the corresponding arrays of several networks.

    ``map_layers(f, p, g)`` is a network whose every array is ``f(array of p, array of g)``.
    """
    return tuple(
        Layer(*(function(*arrays) for arrays in zip(*layers, strict=True))) for layers in zip(*trees, strict=True)
    )
