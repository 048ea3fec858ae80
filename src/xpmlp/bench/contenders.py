"""Who is timed: each of our backends, or whatever else can train an epoch when told to."""

import importlib
import sys
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import array_api_compat.numpy
import numpy as np
from jaxtyping import Float, Int64

from xpmlp.backends import Backend, load_backend
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

from .limits import Ceilings, measure_ceilings
from .settings import BenchSettings
from .workload import Workload


@runtime_checkable
class Trainer(Protocol):
    """A network being trained, whatever by."""

    def epoch(self) -> None:
        """Train for one epoch, and return when all of it is done."""

    def predict(self, x: Float[np.ndarray, "rows features"]) -> Int64[np.ndarray, " rows"]:
        """Return the likeliest class of each row."""


@dataclass(frozen=True)
class Contender:
    """Someone to be timed, in terms that another process understands.

    Attributes
    ----------
    factory
        ``"module:function"``; called with a `Workload`, the `BenchSettings`, and `arguments`, it returns a `Trainer`.
    path
        A folder to find the module in, where it is not installed.
    ours
        Whether its weights must be those of our other backends.
    """

    name: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    path: str | None = None
    ours: bool = False

    def make(self, workload: Workload, settings: BenchSettings) -> Trainer:
        """Import what it takes, and return a trainer."""
        if self.path is not None and self.path not in sys.path:
            sys.path.insert(0, self.path)
        module, _, function = self.factory.partition(":")
        trainer: Trainer = getattr(importlib.import_module(module), function)(workload, settings, **self.arguments)
        return trainer


def backend_contender(name: str) -> Contender:
    """Return one of our backends, as ``"torch"`` or with a device, ``"torch:cuda"``."""
    backend, _, device = name.partition(":")
    return Contender(
        name, "xpmlp.bench.contenders:BackendTrainer", {"backend": backend, "device": device or None}, ours=True
    )


class BackendTrainer:
    """One of our backends, doing what `xpmlp.training.fit` does in an epoch.

    Weights and orders are drawn from the seed, the same for all backends: so all of them end with the same weights.
    """

    def __init__(self, workload: Workload, settings: BenchSettings, *, backend: str, device: str | None) -> None:
        self.backend: Backend = load_backend(backend, device)
        self.settings = settings
        self.generator = np.random.default_rng(settings.seed)
        sizes = (workload.x.shape[1], *settings.hidden_layer_sizes, workload.classes)
        layers = init_layers(
            array_api_compat.numpy, self.generator, sizes, glorot_uniform(), dtype=getattr(np, settings.dtype)
        )
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

    def epoch(self) -> None:
        """Train for one epoch."""
        backend = self.backend
        order = self.generator.permutation(self.samples.rows)
        with backend.scope():
            self.state, objectives = train_epoch(
                backend, self.step, self.state, self.samples, order, self.rates, self.settings.batch_size
            )
            backend.synchronize(self.state)
            backend.to_numpy(objectives)

    def predict(self, x: Float[np.ndarray, "rows features"]) -> Int64[np.ndarray, " rows"]:
        """Return the likeliest class of each row."""
        backend = self.backend
        with backend.scope():
            rows = backend.asarray(x, self.settings.dtype)
            _, logits = forward(backend.xp, self.state.layers, rows, self.activation)
            return np.asarray(np.argmax(backend.to_numpy(logits), axis=1))

    def weights(self) -> list[Float[np.ndarray, "..."]]:
        """Return every weight and bias."""
        with self.backend.scope():
            return [self.backend.to_numpy(array) for layer in self.state.layers for array in layer]

    def ceilings(self) -> Ceilings:
        """Measure what the library that computes, and the device, can do at most."""
        return measure_ceilings(self.backend, self.settings.dtype)

    def describe(self) -> dict[str, str]:
        """Return what a record should say of library and device."""
        return self.backend.describe() | {"products by": self.backend.linear_algebra() or "unknown"}
