"""How much memory a step takes, and what to do where that is too much."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from xpmlp.backends import Backend
from xpmlp.data.placement import in_bytes
from xpmlp.errors import DeviceMemoryError
from xpmlp.nn.layers import Layers

# Of the network: weights, gradients, new weights, and what an optimizer remembers and computes on the way.
COPIES_OF_NETWORK = 6
# Of each layer's output in a batch: what goes in, what comes out, their gradients, and what is computed on the way.
COPIES_OF_OUTPUTS = 4


def network_bytes(layers: Layers) -> int:
    """Return about how many bytes a step needs for weights, gradients and the optimizer's state."""
    values = sum(math.prod(array.shape) for layer in layers for array in layer)
    return int(COPIES_OF_NETWORK * values * itemsize(layers))


def row_bytes(layers: Layers) -> int:
    """Return about how many bytes a step needs for each row of its batch."""
    values = layers[0].weight.shape[-2] + COPIES_OF_OUTPUTS * sum(layer.weight.shape[-1] for layer in layers)
    return int(values * itemsize(layers))


def itemsize(layers: Layers) -> int:
    """Return the bytes of a number."""
    return 8 if "64" in str(layers[0].weight.dtype) else 4


def explain_shortage(backend: Backend, layers: Layers, batch_size: int) -> str:
    """Return in words what training needs, what is free, and what would fit.

    Parameters
    ----------
    layers
        Arrays of any library.
    """
    network, batch = network_bytes(layers), batch_size * row_bytes(layers)
    free = backend.free_memory()
    there = "" if free is None else f" ({in_bytes(free)} free)"
    text = (
        f"There is too little memory on {backend.device_name}{there}. A step needs about {in_bytes(network)} for the "
        f"network and {in_bytes(batch)} for a batch of {batch_size:,} rows, beside the data."
    )
    fitting = batch_size // 2 if free is None else min((free - network) // row_bytes(layers), batch_size // 2)
    if batch > network and fitting >= 1:
        return f"{text} Use a smaller batch_size: {2 ** (fitting.bit_length() - 1):,} may fit."
    return f"{text} Use fewer or smaller hidden layers, or another device."


@contextmanager
def shortage_explained(backend: Backend, layers: Layers, batch_size: int) -> Iterator[None]:
    """Turn a library's own error for too little memory into one that says what to do.

    Raises
    ------
    DeviceMemoryError
        In its place.
    """
    try:
        yield
    except Exception as error:
        if not backend.is_out_of_memory(error):
            raise
        raise DeviceMemoryError(explain_shortage(backend, layers, batch_size)) from error
