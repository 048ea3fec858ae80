"""Activations and losses of one's own, whose results are checked when they are called."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float

from .activations import Activation
from .losses import Loss


def own_activation(function: Callable[[Any, Any], Any], derivative: Callable[[Any, Any], Any]) -> Activation:
    """Return an activation made of a function and its derivative, both ``f(xp, z)`` with z's library as `xp`.

    Either raises a ValueError with its name if its result has another shape than z.
    """

    def forward(xp: Any, z: Float[Any, "..."]) -> Float[Any, "..."]:
        return checked(function, xp, z)

    def backward(xp: Any, z: Float[Any, "..."], gradient: Float[Any, "..."]) -> Float[Any, "..."]:
        return gradient * checked(derivative, xp, z)

    return Activation(forward, backward, from_input=True)


def checked(function: Callable[[Any, Any], Any], xp: Any, z: Any) -> Any:
    """Return what one's own function makes of z, of z's shape."""
    result = function(xp, z)
    check_shape(f"the activation's function {name_of(function)} returned", result, z.shape)
    return result


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function of one's own."""
    return str(getattr(function, "__name__", repr(function)))


def check_shape(what: str, array: Any, expected: tuple[int, ...]) -> None:
    """Raise an error, which begins with `what`, for an array of another shape, or something that is no array."""
    shape = getattr(array, "shape", None)
    if shape is None or tuple(shape) != tuple(expected):
        found = type(array).__name__ if shape is None else f"an array of shape {tuple(shape)}"
        raise ValueError(f"{what} {found}, expected the shape {tuple(expected)}")


def own_loss(function: Callable[[Any, Any, Any], Any], like: Loss) -> Loss:
    """Return a loss of one's own, with the predictions of another.

    ``function(xp, logits, targets)`` returns the loss of each sample and its gradient at the logits. If one of them has
    another shape than `Loss` asks for, a ValueError with the function's name and both shapes is raised.
    """

    def value_and_gradient(
        xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch targets"]
    ) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
        result = function(xp, logits, targets)
        name = name_of(function)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError(f"the loss {name} did not return two arrays, the losses and their gradient at the logits")
        check_shape(f"the loss {name} returned as losses", result[0], logits.shape[:-1])
        check_shape(f"the loss {name} returned as gradient", result[1], logits.shape)
        return result

    return like._replace(value_and_gradient=value_and_gradient, of_predictions=None)
