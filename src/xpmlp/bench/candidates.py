"""Candidates: our backends, or anything else that trains one epoch when asked to."""

import importlib
from dataclasses import dataclass, field
from typing import Any

import array_api_compat.numpy
import numpy as np
from jaxtyping import Float, Int64

from xpmlp.backends import load_backend
from xpmlp.data import place_samples
from xpmlp.data.placement import train_epoch
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import forward
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map
from xpmlp.training import OPTIMIZERS

from .settings import BenchSettings
from .workload import Workload


@dataclass(frozen=True)
class Candidate:
    """What to time, described so that another process can create it.

    Its factory, ``"module:function"``, takes a `Workload`, `BenchSettings` and the arguments, and returns a trainer: an
    object whose ``train_epoch()`` returns when the device has finished, and whose ``predict(x)`` returns the predicted
    class indices. It may have ``describe()``, which returns library and device. Ours have ``weights()``, which must end
    equal to NumPy's.
    """

    name: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    ours: bool = False

    def make_trainer(self, workload: Workload, settings: BenchSettings) -> Any:
        """Import the module and create a trainer."""
        module, _, function = self.factory.partition(":")
        return getattr(importlib.import_module(module), function)(workload, settings, **self.arguments)


def backend_candidate(name: str) -> Candidate:
    """Return one of our backends, such as ``"torch"`` or, with a device, ``"torch:cuda"``."""
    backend, _, device = name.partition(":")
    arguments = {"backend": backend, "device": device or None}
    return Candidate(name, f"{__name__}:BackendTrainer", arguments, ours=True)


class BackendTrainer:
    """A backend that trains as `xpmlp.training.fit` does.

    The seed determines the initial weights and the order of rows, so that all backends end with the same weights.
    """

    def __init__(self, workload: Workload, settings: BenchSettings, *, backend: str, device: str | None) -> None:
        self.backend = load_backend(backend, device)
        self.settings = settings
        self.generator = np.random.default_rng(settings.seed)
        sizes = (workload.x.shape[1], *settings.hidden_layer_sizes, workload.classes)
        dtype = getattr(np, settings.dtype)
        layers = init_layers(array_api_compat.numpy, self.generator, sizes, glorot_uniform(), dtype=dtype)
        optimizer = OPTIMIZERS[settings.optimizer]()
        self.activation = ACTIVATIONS[settings.activation]
        loss = LOSSES["softmax_cross_entropy"]
        self.step = make_step(activation=self.activation, loss=loss, optimizer=optimizer)
        targets = np.eye(workload.classes, dtype=np.float32)[workload.labels]
        self.rates = np.full(settings.steps(len(targets)), settings.learning_rate)
        with self.backend.scope():
            device_layers = tree_map(self.backend.asarray, layers)
            self.state = TrainingState(device_layers, optimizer.init(self.backend.xp, device_layers))
            self.samples = place_samples(self.backend, Samples(workload.x, targets), settings.dtype)

    def train_epoch(self) -> None:
        """Train for one epoch."""
        order = self.generator.permutation(self.samples.rows)
        with self.backend.scope():
            self.state, objectives = train_epoch(
                self.backend, self.step, self.state, self.samples, order, self.rates, self.settings.batch_size
            )
            self.backend.synchronize(self.state)
            self.backend.to_numpy(objectives)

    def predict(self, x: Float[np.ndarray, "rows features"]) -> Int64[np.ndarray, " rows"]:
        """Return the predicted classes."""
        backend = self.backend
        with backend.scope():
            rows = backend.asarray(x, self.settings.dtype)
            _, logits = forward(backend.xp, self.state.layers, rows, self.activation)
            return np.asarray(np.argmax(backend.to_numpy(logits), axis=1))

    def weights(self) -> list[Float[np.ndarray, "..."]]:
        """Return all weights and biases."""
        with self.backend.scope():
            return [self.backend.to_numpy(array) for layer in self.state.layers for array in layer]

    def describe(self) -> dict[str, str]:
        """Return library, device, and what computes the matrix products in how many threads."""
        return self.backend.describe() | {"linear algebra": self.backend.linear_algebra() or "unknown"}
