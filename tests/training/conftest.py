"""A small classification problem, and a fit of it in which a test changes what it is about."""

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.samples import Samples
from xpmlp.training import Callback, FitResult, Run, constant, fit

ROWS, FEATURES, CLASSES = 50, 4, 3


class At(Callback):
    """Does something when an epoch is over, or every epoch for None; 0 is the start, −1 the end."""

    def __init__(self, epoch: int | None, action: Callable[[Run], Any]) -> None:
        self.epoch = epoch
        self.action = action

    def on_fit_start(self, run: Run) -> None:
        if self.epoch == 0:
            self.action(run)

    def on_epoch_end(self, run: Run) -> None:
        if self.epoch in (None, len(run.history)):
            self.action(run)

    def on_fit_end(self, run: Run) -> None:
        if self.epoch == -1:
            self.action(run)


@pytest.fixture
def samples() -> Samples:
    """50 rows around three centers that overlap."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, ROWS)
    x = generator.normal(0.0, 1.0, (CLASSES, FEATURES))[labels] + generator.normal(0.0, 0.7, (ROWS, FEATURES))
    return Samples(x, np.eye(CLASSES)[labels])


@pytest.fixture
def validation() -> Samples:
    """30 rows, unlike the training rows."""
    generator = np.random.default_rng(1)
    return Samples(generator.normal(0.0, 1.0, (30, FEATURES)), np.eye(CLASSES)[generator.integers(0, CLASSES, 30)])


@pytest.fixture
def small_fit(samples: Samples) -> Callable[..., FitResult]:
    """``fit`` of a small network in float64: 3 epochs of 4 batches, the last of 2 rows; arguments replace the usual.

    A callback may be a pair: an epoch, and a function of the run.
    """

    def run(
        train: Samples = samples, *, seed: int = 0, dtype: Any = np.float64, callbacks: Any = (), **changes: Any
    ) -> FitResult:
        generator = np.random.default_rng(seed)
        sizes = (FEATURES, 5, CLASSES)
        layers = init_layers(array_api_compat.numpy, generator, sizes, glorot_uniform(), dtype=dtype)
        arguments: dict[str, Any] = {
            "layers": layers,
            "activation": ACTIVATIONS["tanh"],
            "loss": LOSSES["softmax_cross_entropy"],
            "optimizer": sgd(momentum=0.9, nesterov=True),
            "schedule": constant(0.1),
            "epochs": 3,
            "batch_size": 16,
            "generator": generator,
            "callbacks": [At(*each) if isinstance(each, tuple) else each for each in callbacks],
        }
        return fit(train, **(arguments | changes))

    return run
