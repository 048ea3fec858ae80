"""Large weights, updated tile by tile where they are.

An optimizer's update of a weight is a dozen array operations. On a weight that exceeds the processor's cache, memory
for their results takes longer to get than the results to compute; on a tile, it is in the cache and used again.
"""

import functools
from typing import Any

import numpy as np

from xpmlp.backends.engine.captured_step import overwrite
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.objective import add_decay
from xpmlp.nn.step import ComposedStep, TrainingState
from xpmlp.nn.tree import tree_map

LARGE = 2**18  # elements of a weight that is worth updating in place
TILE = 2**15  # elements


def has_large_weights(layers: Layers) -> bool:
    """Return whether a weight of a single network is worth updating in place."""
    return layers[0].weight.ndim == 2 and any(layer.weight.size >= LARGE for layer in layers)


class InPlaceStep:
    """Takes an epoch's steps, each of which overwrites the state of the one before; the first state is kept.

    The optimizer must be elementwise; the results are the step's to the bit.
    """

    def __init__(self, step: ComposedStep) -> None:
        self.step = step
        self.result: TrainingState | None = None

    def __call__(
        self, xp: Any, state: TrainingState, x: Any, targets: Any, sample_weight: Any, learning_rate: Any
    ) -> tuple[TrainingState, Any]:
        """Take the next step; see `xpmlp.nn.step.Step`."""
        objective, gradients, decay, key = self.step.gradients(xp, state, x, targets, sample_weight)
        if self.result is None:
            self.result = tree_map(np.empty_like, state)
        # Numbers, such as Adam's count of steps, are read by every tile.
        optimizer = tree_map(lambda array: array if np.ndim(array) else np.copy(array), state.optimizer)
        for index, layer in enumerate(state.layers):
            rows = max(TILE // layer.weight.shape[1], 1)
            for start in range(0, len(layer.weight), rows):
                tile = functools.partial(take_tile, index=index, start=start, stop=start + rows)
                weights = tile(state.layers)
                gradient = add_decay(tile(gradients), weights, decay)
                updated = self.step.optimizer.update(xp, gradient, tile(optimizer), weights, learning_rate)
                tree_map(overwrite, (tile(self.result.layers), tile(self.result.optimizer)), updated)
        self.result = self.result._replace(dropout=key)
        return self.result, objective


def take_tile(tree: Any, index: int, start: int, stop: int) -> Any:
    """Return rows of one layer's weight, with its bias if they are the first, wherever a tree holds layers."""
    if not isinstance(tree, tuple) or not tree:
        return tree
    if isinstance(tree[0], Layer):
        weight, bias = tree[index]
        return (Layer(weight[start:stop], bias if start == 0 else bias[:0]),)
    return type(tree)(*(take_tile(part, index, start, stop) for part in tree))
