"""Networks of several widths, padded with hidden units that stay exactly zero so that they train together.

A unit without weights has the output σ(0). If that is 0, so are the gradients of its weights, and its momenta: it
changes nothing, and nothing changes it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xpmlp.nn.activations import Activations, of_each_layer
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import step_bytes
from xpmlp.nn.tree import tree_map

from .member import Member
from .train import train_population

CALLS_BYTES = 2**19  # of networks that are computed in the time of calling a step's functions

Shapes = tuple[tuple[int, ...], ...]


def architecture(layers: Layers, activation: Activations) -> Any:
    """Return what networks have in common that `train_widths` can train: all shapes, unless some can be padded."""
    functions = of_each_layer(activation, len(layers) - 1)
    if any(float(function.forward(np, np.zeros(1))[0]) != 0.0 for function in functions):
        return shapes_of(layers)
    return len(layers), layers[0].weight.shape[0], layers[-1].weight.shape[1]


def train_widths(
    samples: Samples, members: Sequence[Member], *, activation: Activations, batch_size: int, **settings: Any
) -> None:
    """Train networks that differ in the units of their hidden layers, some of them padded; see `train_population`."""
    for widest, group in group_widths(members, batch_size):
        shapes = [shapes_of(member.layers) for member in group]
        try:
            for member in group:
                member.layers = pad(member.layers, widest)
            train_population(samples, group, activation=activation, batch_size=batch_size, **settings)
        finally:
            for member, own in zip(group, shapes, strict=True):
                member.layers, member.state = crop(member.layers, own), crop(member.state, own)


def group_widths(members: Sequence[Member], batch_size: int) -> Iterator[tuple[Shapes, list[Member]]]:
    """Yield the members that train more quickly together than apart, and the shapes of their weights and biases."""
    kinds: dict[Shapes, list[Member]] = {}
    for member in members:
        kinds.setdefault(shapes_of(member.layers), []).append(member)

    def cost(shapes: Shapes, count: int) -> int:
        network, row = step_bytes(zeros(shapes, members[0].dtype))
        return CALLS_BYTES + count * (network + batch_size * row)

    widest: Shapes = ()
    group: list[Member] = []
    for shapes, of_kind in sorted(kinds.items(), reverse=True):
        padded = tuple(tuple(map(max, *pair)) for pair in zip(widest or shapes, shapes, strict=True))
        apart = cost(widest or shapes, len(group)) + cost(shapes, len(of_kind))
        if group and cost(padded, len(group) + len(of_kind)) >= apart:
            yield widest, group
            padded, group = shapes, []
        widest, group = padded, [*group, *of_kind]
    yield widest, group


def shapes_of(layers: Layers) -> Shapes:
    """Return the shapes of all weights and biases."""
    return tuple(array.shape for layer in layers for array in layer)


def zeros(shapes: Shapes, dtype: str) -> Layers:
    """Return layers of these shapes."""
    pairs = zip(shapes[::2], shapes[1::2], strict=True)
    return tuple(Layer(*(np.zeros(shape, dtype) for shape in pair)) for pair in pairs)


def pad(layers: Layers, shapes: Shapes) -> Layers:
    """Return layers with zeros after their rows and columns, up to these shapes."""

    def fill(wide: Any, array: Any) -> Any:
        wide[tuple(map(slice, array.shape))] = array
        return wide

    return tree_map(fill, zeros(shapes, str(layers[0].weight.dtype)), layers)


def crop(tree: Any, shapes: Shapes) -> Any:
    """Return a tree without the padding of its layers, such as an optimizer's momenta."""
    if not isinstance(tree, tuple) or not tree:
        return tree
    if isinstance(tree[0], Layer):
        return tree_map(lambda array, like: array[tuple(map(slice, like.shape))].copy(), tree, zeros(shapes, "int8"))
    parts = [crop(part, shapes) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
