"""Check every backend on this machine: its library, its devices, and a small training on each."""

import importlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xpmlp.errors import BackendError, MissingDependencyError, XpmlpError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map

from .base import Backend
from .devices import Device
from .select import BACKENDS, backend_class, load_backend, unusable_explained

TOLERANCE = 1e-4  # of the largest weight: what float32 leaves of two orders of summation after a few steps

# Wheels of PyTorch and JAX for the usual case; their sites know the others.
INSTALL = {name: f'pip install "xpmlp[{entry.extra}]"' for name, entry in BACKENDS.items() if entry.extra} | {
    "cupy": 'pip install "xpmlp[cuda13]" (older drivers: "xpmlp[cuda12]")'
}


@dataclass(frozen=True)
class Trial:
    """A small training on one device.

    Attributes
    ----------
    difference
        From NumPy's weights, as a fraction of the largest; None if the training failed.
    problem
        Why it failed, or that the weights differ; None if all is well.
    """

    device: Device
    difference: float | None
    problem: str | None


@dataclass(frozen=True)
class BackendStatus:
    """The state of a backend on this machine.

    Attributes
    ----------
    install
        Command that installs its library; None if it is installed.
    problem
        Why its library, though installed, cannot be used at all; None if it can.
    linear_algebra
        Library of its matrix products, and its number of threads.
    """

    name: str
    version: str | None = None
    install: str | None = None
    problem: str | None = None
    linear_algebra: str | None = None
    trials: tuple[Trial, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the status as an object for JSON."""
        trials = [asdict(trial) | {"device": trial.device._asdict()} for trial in self.trials]
        usable = any(trial.problem is None for trial in self.trials)
        return asdict(self) | {"trials": trials, "installed": self.install is None, "usable": usable}


def check_backends() -> tuple[BackendStatus, ...]:
    """Import every backend, list its devices, and train a small network on each."""
    return tuple(check_backend(name) for name in BACKENDS)


def check_backend(name: str) -> BackendStatus:
    """Check one backend."""
    version = None
    try:
        chosen = backend_class(name)
        version = str(importlib.import_module(BACKENDS[name].library).__version__)
        linear_algebra = load_backend(name).linear_algebra()
        with unusable_explained(name, "its devices cannot be listed"):
            devices = chosen.list_devices()
    except MissingDependencyError:
        return BackendStatus(name, install=INSTALL[name])
    except BackendError as error:
        return BackendStatus(name, version, problem=str(error))
    trials = tuple(try_device(name, device) for device in devices)
    return BackendStatus(name, version, linear_algebra=linear_algebra, trials=trials)


def try_device(name: str, device: Device) -> Trial:
    """Train on one device and on NumPy, and compare the weights."""
    try:
        weights, expected = train_briefly(load_backend(name, device.name)), train_briefly(load_backend("numpy"))
    except XpmlpError as error:
        return Trial(device, None, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a driver does, the other devices are still of interest
        return Trial(device, None, f"{type(error).__name__}: {error}")
    difference = max(
        float(np.max(np.abs(array - other)) / np.max(np.abs(other)))
        for layer, expected_layer in zip(weights, expected, strict=True)
        for array, other in zip(layer, expected_layer, strict=True)
    )
    agrees = difference <= TOLERANCE  # which NaN does not
    return Trial(device, difference, None if agrees else f"its weights differ from NumPy's by {difference:.1g}")


def train_briefly(backend: Backend) -> Layers:
    """Take five steps with a small network, the last with a smaller batch, and return its weights on the host."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((72, 20), dtype=np.float32)
    targets = np.eye(4, dtype=np.float32)[generator.integers(4, size=72)]
    layers = init_layers(np, generator, (20, 16, 4), glorot_uniform(), dtype=np.float32)
    optimizer = sgd(momentum=0.9)
    step = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=optimizer)
    with backend.scope():
        device_layers = tree_map(backend.asarray, layers)
        state, _ = backend.run_epoch(
            step,
            TrainingState(device_layers, optimizer.init(backend.xp, device_layers)),
            Samples(backend.asarray(x), backend.asarray(targets)),
            backend.asarray(generator.permutation(72)),
            backend.asarray(np.full(5, 0.1, np.float32)),
            16,
        )
        return tree_map(backend.to_numpy, state.layers)
