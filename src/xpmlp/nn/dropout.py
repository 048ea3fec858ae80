"""Dropout of hidden units (Srivastava et al. 2014), with masks that need no random generator.

Its equations are 11a and 16a in ``docs/derivation.md``.

A mask is a hash of a key, the layer, the row of the batch and the unit, so drawing it is a pure function: the masks are
the same with every array library, and are computed on the device without a transfer from the host. The key is an array
of integers, one per model, and increases by one at every step.
"""

from typing import Any, NamedTuple

from jaxtyping import Float, Int64

from .layers import Layers

WORD = 0xFFFFFFFF  # 32-bit numbers in 64-bit arrays, so that a product of two does not overflow in any library


class Dropout(NamedTuple):
    """The masks of one step.

    Attributes
    ----------
    masks
        Factors for the outputs of each hidden layer: 0, or 1 / keep, which preserves their mean. Shapes
        ``(*models, batch, units)``.
    """

    masks: tuple[Any, ...]


def has_dropout(rate: Any) -> bool:
    """Return whether units may be left out: unless the rate is the number 0, or a tuple of such."""
    if isinstance(rate, tuple):
        return any(map(has_dropout, rate))
    return not isinstance(rate, float | int) or rate > 0.0


def mix(x: Int64[Any, "..."]) -> Int64[Any, "..."]:
    """Return a hash of 32-bit integers; different inputs have different hashes.

    The constants are from Wellons, "Prospecting for hash functions" (2018, updated).
    """
    x = x ^ (x >> 16)
    x = (x * 0x21F0AAAD) & WORD
    x = x ^ (x >> 15)
    x = (x * 0x735A2D97) & WORD
    return x ^ (x >> 15)


def draw_dropout(
    xp: Any,
    key: Int64[Any, "*models"],
    of_rows: Float[Any, "*#models batch"],
    layers: Layers,
    rate: Any,
    first_row: int = 0,
) -> Dropout:
    """Draw the masks of one step.

    Parameters
    ----------
    key
        At least 0.
    of_rows
        Any array with one element per row of the batch; only its shape matters.
    layers
        The network.
    rate
        Probability of leaving out a unit, from 0 to below 1: a number, an array of shape ``(*models, 1, 1)``, or a
        tuple with one of either for each hidden layer.
    first_row
        Position of the first row in the batch, if these rows are only a part of it.
    """
    rates = rate if isinstance(rate, tuple) else (rate,) * (len(layers) - 1)
    masks = []
    for index, (layer, part) in enumerate(zip(layers[:-1], rates, strict=True)):
        base = mix(mix(key & WORD) ^ (2 * index + 1))[..., None]
        rows = mix(base ^ (numbers_along(xp, of_rows) + first_row))[..., :, None]
        units = mix(mix(base) ^ numbers_along(xp, layer.bias[..., 0, :]))[..., None, :]
        # Rows and units are hashed already; this hashes each pair of them.
        words = ((rows ^ units) * 0x21F0AAAD) & WORD
        words = ((words ^ (words >> 15)) * 0x735A2D97) & WORD
        threshold = int(part * 2**32) if isinstance(part, float | int) else xp.astype(part * 2**32, xp.int64)
        masks.append(xp.astype(words >= threshold, layer.bias.dtype) * (1.0 / (1.0 - part)))
    return Dropout(tuple(masks))


def numbers_along(xp: Any, array: Float[Any, "*axes"]) -> Int64[Any, "*axes"]:
    """Return 1, 2, 3, … along the last axis, on the array's device, which a tracing compiler may not reveal."""
    return xp.cumulative_sum(xp.ones_like(array, dtype=xp.int64), axis=-1)


def apply_mask(dropout: Dropout | None, layer: int, a: Float[Any, "..."]) -> Float[Any, "..."]:
    """Multiply a hidden layer's outputs, or their gradient, by its mask."""
    return a if dropout is None else a * dropout.masks[layer]
