"""Large weights, updated tile by tile where they are.

An optimizer's update of a weight is a dozen array operations. On a weight that exceeds the processor's cache, memory
for their results takes longer to get than the results to compute; on a tile, it is in the cache and used again. The
engine plans the update of a tile once, and its calls are made on every tile.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from xpmlp.backends.engine import NotTraceableError, Trace, Tracer, make_plan
from xpmlp.backends.engine.buffers import Places, aligned_copy, place_array
from xpmlp.backends.engine.captured_step import overwrite
from xpmlp.backends.engine.ops import Array, map_arrays
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.objective import add_decay
from xpmlp.nn.optimizers import Optimizer
from xpmlp.nn.step import ComposedStep, TrainingState
from xpmlp.nn.tree import tree_map

LARGE = 2**18  # elements of a weight that is worth updating in place
TILE = 2**15  # elements


def has_large_weights(layers: Layers) -> bool:
    """Return whether a weight of a single network is worth updating in place."""
    weights = [layer.weight for layer in layers]
    return any(w.size >= LARGE for w in weights) and all(w.ndim == 2 and w.flags.c_contiguous for w in weights)


class InPlaceStep:
    """Takes an epoch's steps, each of which overwrites the state of the one before; the first state is kept.

    The optimizer must be elementwise; the results are the step's to the bit.
    """

    def __init__(self, step: ComposedStep) -> None:
        self.step = step
        self.tiled: dict[int, TiledWeight] | None = None  # by layer

    def __call__(
        self, xp: Any, state: TrainingState, x: Any, targets: Any, sample_weight: Any, learning_rate: Any
    ) -> tuple[TrainingState, Any]:
        """Take the next step; see `xpmlp.nn.step.Step`."""
        objective, gradients, decay, key = self.step.gradients(xp, state, x, targets, sample_weight)
        numbers = (() if decay is None else decay, learning_rate)
        if self.tiled is None:
            state = tree_map(np.array, state)
            self.tiled = tile_weights(self.step.optimizer, state, decays=decay is not None)
        for index, weight in self.tiled.items():
            weight.update(gradients[index].weight, (numbers_in(state.optimizer), numbers))
        rest = map_layers(self.cut_rest, state)
        updated = update(self.step.optimizer, rest, self.cut_rest(gradients), numbers)
        tree_map(overwrite, (rest.layers, rest.optimizer), updated)
        return state._replace(dropout=key), objective

    def cut_rest(self, layers: Layers) -> Layers:
        """Return the untiled parts: leftover rows, small weights, and the biases."""
        tiled = self.tiled or {}
        rows = [tiled[index].rows if index in tiled else 0 for index in range(len(layers))]
        return tuple(Layer(layer.weight[start:], layer.bias) for start, layer in zip(rows, layers, strict=True))


class TiledWeight:
    """A layer's weight in tiles of equally many rows, so that few are left over, and the calls that update each."""

    def __init__(self, optimizer: Optimizer, state: TrainingState, layer: int, *, decays: bool) -> None:
        weight = state.layers[layer].weight
        size = max(len(weight) // max(round(weight.size / TILE), 1), 1)
        self.rows = len(weight) // size * size
        self.plan = plan_tile(optimizer, (size, weight.shape[1]), weight.dtype.name, decays, threading.get_ident())
        self.tiles = []
        for start in range(0, self.rows, size):
            rows = slice(start, start + size)
            tile = map_layers(lambda layers: (Layer(layers[layer].weight[rows], layers[layer].bias[:, :0]),), state)  # noqa: B023
            self.tiles.append((rows, self.plan.calls_on(tile)))

    def update(self, gradient: Array, numbers: Any) -> None:
        """Update the tiles."""
        tree_map(overwrite, self.plan.numbers, numbers)
        for rows, calls in self.tiles:
            overwrite(self.plan.gradients[0].weight, gradient[rows])
            for function, arguments in calls:
                function(*arguments)


def tile_weights(optimizer: Optimizer, state: TrainingState, *, decays: bool) -> dict[int, TiledWeight]:
    """Return the large weights in tiles, by layer; none if an update cannot be traced."""
    large = [index for index, layer in enumerate(state.layers) if layer.weight.size >= LARGE]
    try:
        return {index: TiledWeight(optimizer, state, index, decays=decays) for index in large}
    except NotTraceableError:
        return {}


class TilePlan:
    """The update of a tile, planned between arrays of its own: the tile's state, gradients, and numbers."""

    def __init__(self, optimizer: Optimizer, shape: tuple[int, int], dtype: str, *, decays: bool) -> None:
        layers, number = (Layer(np.zeros(shape, dtype), np.zeros((1, 0), dtype)),), np.zeros((), dtype)
        self.state = tree_map(aligned_copy, TrainingState(layers, optimizer.init(np, layers)))
        self.gradients = tree_map(aligned_copy, layers)
        numbers = tree_map(np.copy, (number if decays else (), number))
        self.numbers = numbers_in(self.state.optimizer), numbers
        tracer = Tracer()
        try:
            state, gradients, numbers = tree_map(tracer.trace, (self.state, self.gradients, numbers))
            tree_map(overwrite_array, state[:2], update(optimizer, state, gradients, numbers))
            trace = tracer.finish()
            self.calls = make_plan(Trace(tuple(op for op in trace.ops if op.result.size), trace.inputs)).calls
        finally:
            tracer.release()

    def calls_on(self, state: TrainingState) -> list[tuple[Callable[..., Any], Any]]:
        """Return the calls that update a tile, given its state."""
        places: Places = {}
        tree_map(lambda own, array: places.update({id(own): array} if own.ndim else {}), self.state[:2], state[:2])
        place = functools.partial(map_arrays, functools.partial(place_array, places=places))
        return [(function, place(arguments)) for function, arguments in self.calls]


@functools.lru_cache(maxsize=4)
def plan_tile(optimizer: Optimizer, shape: tuple[int, int], dtype: str, decays: bool, thread: int) -> TilePlan:
    """Return a plan; as it computes in arrays of its own, each thread has another."""
    return TilePlan(optimizer, shape, dtype, decays=decays)


def update(optimizer: Optimizer, state: TrainingState, gradients: Layers, numbers: tuple[Any, Any]) -> Any:
    """Return the new layers and the new state of the optimizer, given the penalty's share and the learning rate."""
    decay, learning_rate = numbers
    gradients = add_decay(gradients, state.layers, None if isinstance(decay, tuple) else decay)
    return optimizer.update(np, gradients, state.optimizer, state.layers, learning_rate)


def overwrite_array(array: Any, new: Any) -> None:
    """Overwrite an array, not a number, such as Adam's count of steps, which every tile reads."""
    if array.ndim > 0:
        array[...] = new


def numbers_in(tree: Any) -> Any:
    """Return an optimizer's state without its layers."""
    return map_layers(lambda _: (), tree)


def map_layers(function: Callable[[Layers], Any], tree: Any) -> Any:
    """Apply a function wherever a tree holds a network's layers."""
    if not isinstance(tree, tuple) or not tree:
        return tree
    if isinstance(tree[0], Layer):
        return function(tree)
    return type(tree)(*(map_layers(function, part) for part in tree))
