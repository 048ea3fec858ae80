"""One training step: forward, the loss's gradient, backward, update."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .activations import Activations
from .dropout import draw_dropout, has_dropout
from .layers import Layers
from .losses import Loss
from .objective import keep, objective_and_gradients
from .optimizers import Optimizer


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


def make_step(
    *,
    activation: Activations,
    loss: Loss,
    optimizer: Optimizer,
    penalty: Any = None,
    dropout: Any = 0.0,
    combine: Callable[[Any], Any] = keep,
    first_row: int = 0,
) -> Step:
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

    def step(
        xp: Any, state: TrainingState, x: Any, targets: Any, sample_weight: Any, learning_rate: Any
    ) -> tuple[TrainingState, Any]:
        masks, key = None, state.dropout
        if has_dropout(dropout):
            masks = draw_dropout(xp, key, targets[..., 0], state.layers, dropout, first_row)
            key = key + 1
        objective, gradients = objective_and_gradients(
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
        layers, optimizer_state = optimizer.update(xp, gradients, state.optimizer, state.layers, learning_rate)
        return TrainingState(layers, optimizer_state, key), objective

    return step
