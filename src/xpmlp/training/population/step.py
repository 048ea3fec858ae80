"""The training step of a population, whose members differ in their settings."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xpmlp.nn.activations import Activations
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.optimizers import Optimizer, clip_gradients
from xpmlp.nn.step import Step, TrainingState, make_step

from .member import Member


class PopulationState(NamedTuple):
    """`TrainingState` of all members, with the settings in which they differ: arrays of shape ``(*models, 1, 1)``."""

    layers: Layers
    optimizer: Any
    dropout: Any
    settings: tuple[Any, ...]


def settings_of(member: Member) -> dict[str, float]:
    """Return the settings that a step reads."""
    return {**member.optimizer, "l2": member.l2, "dropout": member.dropout}


def split_settings(members: Sequence[Member]) -> tuple[tuple[tuple[str, float], ...], tuple[str, ...]]:
    """Return the settings that all members share, with their values, and the names of the others."""
    settings = [settings_of(member) for member in members]
    varying = tuple(name for name in settings[0] if len({float(values[name]) for values in settings}) > 1)
    return tuple((name, float(value)) for name, value in settings[0].items() if name not in varying), varying


@functools.cache
def with_largest_norm(optimizer: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    """Return a function like that of an optimizer, with the setting `max_grad_norm` of `clip_gradients`."""

    def clipped(*, max_grad_norm: Any, **settings: Any) -> Optimizer:
        return clip_gradients(optimizer(**settings), max_grad_norm)

    return clipped


@functools.lru_cache(maxsize=32)  # so that what a backend has compiled for a step serves the next population too
def population_step(
    activation: Activations,
    loss: Loss,
    optimizer: Callable[..., Optimizer],
    fixed: tuple[tuple[str, float], ...],
    varying: tuple[str, ...],
) -> Step:
    """Compose the step of a population, which reads the settings in which its members differ from its state."""

    def step(xp: Any, state: Any, x: Any, targets: Any, sample_weight: Any, learning_rate: Any) -> tuple[Any, Any]:
        settings: dict[str, Any] = dict(fixed) | dict(zip(varying, state.settings, strict=True))
        l2, dropout = settings.pop("l2"), settings.pop("dropout")
        of_members = make_step(
            activation=activation,
            loss=loss,
            optimizer=optimizer(**settings),
            penalty=None if isinstance(l2, float) and l2 == 0.0 else l2,
            dropout=dropout,
        )
        inner = TrainingState(state.layers, state.optimizer, state.dropout)
        inner, objective = of_members(xp, inner, x, targets, sample_weight, learning_rate)
        return PopulationState(*inner, state.settings), objective

    return step
