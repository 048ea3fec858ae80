"""Leaving out hidden units at random while training (Srivastava et al. 2014), with masks that need no random generator.

What it does to a network is in ``docs/derivation.md``, equations 11a and 16a.

A mask is a hash of a key, the layer, the row of the batch and the unit. So it is a pure function like all else here:
the same on every array library, made where the arrays are, with nothing to fetch from the host inside an epoch. The key
is an array of whole numbers, one for each model, and goes up by one at every step.
"""

from typing import Any, NamedTuple

from jaxtyping import Float, Int64

from .layers import Layers

WORD = 0xFFFFFFFF  # numbers are of 32 bits, in arrays of 64: products of two do not overflow, whatever the library


class Dropout(NamedTuple):
    """The masks of one step.

    Attributes
    ----------
    masks
        For each hidden layer, what its outputs are multiplied by: 0, or 1 / keep, so that their mean stays as it is.
        Shapes ``(*models, batch, units)``.
    keep
        The probability that a unit is kept.
    """

    masks: tuple[Any, ...]
    keep: float


def mix(x: Int64[Any, "..."]) -> Int64[Any, "..."]:
    """Return numbers of 32 bits that look random and differ wherever those given do.

    The constants are those of Wellons' search for such functions ("Prospecting for hash functions", 2018, updated).
    """
    x = x ^ (x >> 16)
    x = (x * 0x21F0AAAD) & WORD
    x = x ^ (x >> 15)
    x = (x * 0x735A2D97) & WORD
    return x ^ (x >> 15)


def draw_dropout(
    xp: Any, key: Int64[Any, "*models"], of_rows: Float[Any, "*#models batch"], layers: Layers, rate: float
) -> Dropout:
    """Draw the masks of one step.

    Parameters
    ----------
    key
        At least 0.
    of_rows
        Anything that the batch has one of for each row; only its shape counts.
    layers
        The network.
    rate
        The probability that a unit is left out, from 0 to below 1.
    """
    keep = 1.0 - rate
    masks = []
    for index, layer in enumerate(layers[:-1]):
        base = mix(mix(key & WORD) ^ (2 * index + 1))[..., None]
        rows = mix(base ^ numbers_along(xp, of_rows))[..., :, None]
        units = mix(mix(base) ^ numbers_along(xp, layer.bias[..., 0, :]))[..., None, :]
        # Both are mixed already: what is left is to make every pair of them a number of its own.
        words = ((rows ^ units) * 0x21F0AAAD) & WORD
        words = ((words ^ (words >> 15)) * 0x735A2D97) & WORD
        masks.append(xp.astype(words >= int(rate * 2**32), layer.bias.dtype) * (1.0 / keep))
    return Dropout(tuple(masks), keep)


def numbers_along(xp: Any, array: Float[Any, "*axes"]) -> Int64[Any, "*axes"]:
    """Return 1, 2, 3, … along the last axis, where the array is: also where a compiler does not tell where that is."""
    return xp.cumulative_sum(xp.ones_like(array, dtype=xp.int64), axis=-1)


def apply_mask(dropout: Dropout | None, layer: int, a: Float[Any, "..."]) -> Float[Any, "..."]:
    """Multiply a hidden layer's outputs, or the gradient there, by its mask."""
    return a if dropout is None else a * dropout.masks[layer]


def undo_scale(dropout: Dropout | None, a: Float[Any, "..."]) -> Float[Any, "..."]:
    """Return the outputs as they were before they were multiplied, where they were kept."""
    return a if dropout is None else a * dropout.keep
