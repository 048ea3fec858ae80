"""One training step: forward, the loss's gradient, backward, update."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .activations import Activations
from .dropout import draw_dropout, has_dropout
from .layers import Layers
from .losses import Loss
from .objective import add_decay, keep, loss_gradients
from .optimizers import Optimizer

# Copies of the network in a step: weights, gradients, new weights, optimizer state and temporaries.
COPIES_OF_NETWORK = 6
# Copies of each layer's outputs for a batch: its input, its output, their gradients and temporaries.
COPIES_OF_OUTPUTS = 4


class TrainingState(NamedTuple):
    """The state that a step updates.

    Attributes
    ----------
    dropout
        Key of the next step's masks, one integer per model; ``()`` without dropout.
    """

    layers: Layers
    optimizer: Any
    dropout: Any = ()


State = Any
"""A `TrainingState`, or a named tuple that has more, such as settings in which the models of a population differ."""

Step = Callable[[Any, TrainingState, Any, Any, Any, Any], tuple[TrainingState, Any]]
"""``step(xp, state, x, targets, sample_weight, learning_rate)``: a pure function from a state and a batch to the next
state and the batch's objective, shape ``(*models,)``. `sample_weight` may be None."""


@dataclass(frozen=True, eq=False)
class ComposedStep:
    """A step made of its two parts, which a backend may also call one by one.

    Attributes
    ----------
    gradients
        ``gradients(xp, state, x, targets, sample_weight) → objective, gradients, decay, key``: forward and backward;
        see `loss_gradients`. The dropout key is that of the next step.
    optimizer
        Makes new layers of them.
    """

    gradients: Callable[[Any, TrainingState, Any, Any, Any], tuple[Any, Layers, Any, Any]]
    optimizer: Optimizer

    def __call__(
        self, xp: Any, state: TrainingState, x: Any, targets: Any, sample_weight: Any, learning_rate: Any
    ) -> tuple[TrainingState, Any]:
        """Take the step; see `Step`."""
        objective, gradients, decay, key = self.gradients(xp, state, x, targets, sample_weight)
        gradients = add_decay(gradients, state.layers, decay)
        layers, optimizer_state = self.optimizer.update(xp, gradients, state.optimizer, state.layers, learning_rate)
        return TrainingState(layers, optimizer_state, key), objective


def make_step(
    *,
    activation: Activations,
    loss: Loss,
    optimizer: Optimizer,
    penalty: Any = None,
    dropout: Any = 0.0,
    combine: Callable[[Any], Any] = keep,
    first_row: int = 0,
) -> ComposedStep:
    """Compose a step from its parts.

    Parameters
    ----------
    penalty
        See `objective_and_gradients`.
    dropout
        Probability of leaving out a hidden unit of a row; see `draw_dropout`. Unless it is 0, the state needs a key.
    combine
        Called between backward and update: the one place in which processes that each hold a part of the batch add up
        their gradients; see `objective_and_gradients`.
    first_row
        Position in the batch of the first row of this process's part, on which dropout depends.
    """

    def gradients(
        xp: Any, state: TrainingState, x: Any, targets: Any, sample_weight: Any
    ) -> tuple[Any, Layers, Any, Any]:
        masks, key = None, state.dropout
        if has_dropout(dropout):
            masks = draw_dropout(xp, key, targets[..., 0], state.layers, dropout, first_row)
            key = key + 1
        objective, gradients, decay = loss_gradients(
            xp,
            state.layers,
            x,
            targets,
            sample_weight,
            activation=activation,
            loss=loss,
            penalty=penalty,
            dropout=masks,
            combine=combine,
        )
        return objective, gradients, decay, key

    return ComposedStep(gradients, optimizer)


def step_bytes(layers: Layers) -> tuple[int, int]:
    """Estimate the bytes of a step: those of weights, gradients and optimizer state, and those per row of its batch."""
    itemsize = 8 if "64" in str(layers[0].weight.dtype) else 4
    values = sum(math.prod(array.shape) for layer in layers for array in layer)
    outputs = sum(math.prod(layer.bias.shape) for layer in layers)  # of all networks of an ensemble
    row_values = layers[0].weight.shape[-2] + COPIES_OF_OUTPUTS * outputs
    return COPIES_OF_NETWORK * values * itemsize, row_values * itemsize
