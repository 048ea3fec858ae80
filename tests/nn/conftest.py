"""A small learning problem for every loss, and its journey to any array library."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest

from xpmlp.nn.activations import Activations, find_activation
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.loss_names import find_loss
from xpmlp.nn.losses import Loss
from xpmlp.nn.objective import objective_and_gradients
from xpmlp.nn.tree import tree_map


@dataclass(frozen=True)
class Problem:
    """Weights and a batch, in float64 on the host or wherever they were moved to."""

    xp: Any
    activation: Activations
    loss: Loss
    layers: Layers
    x: Any
    targets: Any
    sample_weight: Any
    penalty: Any

    def objective_and_gradients(self, layers: Layers | None = None, **dropout: Any) -> tuple[Any, Layers]:
        """Evaluate the problem at its own weights or at others."""
        layers = self.layers if layers is None else layers
        settings: dict[str, Any] = {"activation": self.activation, "loss": self.loss, "penalty": self.penalty} | dropout
        return objective_and_gradients(self.xp, layers, self.x, self.targets, self.sample_weight, **settings)

    def to(self, place: Any, dtype: str = "float64") -> "Problem":
        """Move everything to a library and a device."""

        def move(array: Any) -> Any:
            return array if array is None or isinstance(array, float) else place.asarray(array, dtype)

        names = ("layers", "x", "targets", "sample_weight", "penalty")
        return replace(self, xp=place.xp, **{name: tree_map(move, getattr(self, name)) for name in names})


def draw_targets(rng: np.random.Generator, loss: str, shape: tuple[int, ...]) -> Any:
    """What each loss is there for: classes, yes and no, counts, amounts, or numbers."""
    if loss == "softmax_cross_entropy":
        return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    if loss == "logistic_cross_entropy":
        return rng.integers(0, 2, shape).astype(float)
    if loss == "poisson":
        return rng.poisson(1.5, shape).astype(float)
    if loss == "gamma":
        return rng.gamma(2.0, 1.0, shape)
    # For quantiles, one target that all outputs have in common.
    return rng.normal(0.0, 1.0, (*shape[:-1], 1) if loss == "quantile" else shape)


@pytest.fixture(scope="session")
def make_problem() -> Callable[..., Problem]:
    """A function that draws a problem.

    `weighted` gives the samples weights and the network a penalty. `models` are the leading axes of the network,
    `data_models` those of the data.
    """

    def make(
        activation: str = "tanh",
        loss: str = "softmax_cross_entropy",
        *,
        layer_sizes: tuple[int, ...] = (5, 6, 4, 3),
        rows: int = 7,
        weighted: bool = False,
        models: tuple[int, ...] = (),
        data_models: tuple[int, ...] = (),
        seed: int = 0,
    ) -> Problem:
        rng = np.random.default_rng([seed, rows, *layer_sizes])
        layers = tuple(
            Layer(rng.normal(0.0, i**-0.5, (*models, i, o)), rng.normal(0.0, 0.3, (*models, 1, o)))
            for i, o in itertools.pairwise(layer_sizes)
        )
        return Problem(
            xp=array_api_compat.numpy,
            activation=find_activation(activation),
            loss=find_loss(loss),
            layers=layers,
            x=rng.normal(0.0, 1.0, (*data_models, rows, layer_sizes[0])),
            targets=draw_targets(rng, loss, (*data_models, rows, layer_sizes[-1])),
            sample_weight=rng.uniform(0.2, 2.0, (*data_models, rows)) if weighted else None,
            penalty=0.7 if weighted else None,
        )

    return make
