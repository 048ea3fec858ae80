"""What this machine has: every backend, its devices, and whether it computes what NumPy computes."""

import importlib
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np

from xpmlp.backends.numpy.backend import NumpyBackend
from xpmlp.errors import BackendError, MissingDependencyError, XpmlpError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map

from .base import Backend
from .devices import Device
from .select import BACKENDS, backend_class, load_backend, unusable_explained

AGREES = 1e-4  # of the largest weight: what float32 leaves of two orders of summation after a few steps

# Wheels of PyTorch and JAX for the usual case; their sites know the others.
INSTALL = {name: f'pip install "xpmlp[{entry.extra}]"' for name, entry in BACKENDS.items() if entry.extra} | {
    "cupy": 'pip install "xpmlp[cuda13]" (older drivers: "xpmlp[cuda12]")'
}


@dataclass(frozen=True)
class Trial:
    """How a small training went on one device.

    Attributes
    ----------
    difference
        From NumPy's weights, as a part of the largest; None where it did not get that far.
    problem
        Why it did not, or that it differs; None where all is well.
    """

    device: Device
    difference: float | None
    problem: str | None


@dataclass(frozen=True)
class BackendStatus:
    """What there is of a backend.

    Attributes
    ----------
    install
        The command that brings its library; None where that is here.
    problem
        Why its library, though installed, cannot be used at all; None where it can.
    linear_algebra
        What computes its products, with how many threads.
    """

    name: str
    version: str | None = None
    install: str | None = None
    problem: str | None = None
    linear_algebra: str | None = None
    trials: tuple[Trial, ...] = field(default=())

    @property
    def usable(self) -> bool:
        """Whether training came out right on some device."""
        return any(trial.problem is None for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON holds it: every value by its name."""
        trials = [asdict(trial) | {"device": trial.device._asdict()} for trial in self.trials]
        return asdict(self) | {"trials": trials, "installed": self.install is None, "usable": self.usable}


def check_backends() -> tuple[BackendStatus, ...]:
    """Look at every backend: import it, list its devices, and train a small network on each."""
    return tuple(check_backend(name) for name in BACKENDS)


def check_backend(name: str) -> BackendStatus:
    """Look at one backend."""
    try:
        chosen = cast(type[Backend], backend_class(name))
    except MissingDependencyError:
        return BackendStatus(name, install=INSTALL[name])
    except BackendError as error:
        return BackendStatus(name, problem=str(error))
    version = str(importlib.import_module(BACKENDS[name].library).__version__)
    try:
        linear_algebra = load_backend(name).linear_algebra()
        with unusable_explained(name, "its devices cannot be listed"):
            devices = chosen.list_devices()
    except BackendError as error:
        return BackendStatus(name, version, problem=str(error))
    return BackendStatus(
        name, version, linear_algebra=linear_algebra, trials=tuple(try_device(name, device) for device in devices)
    )


def try_device(name: str, device: Device) -> Trial:
    """Train on one device as on NumPy, and compare."""
    try:
        difference = largest_difference(train_a_little(load_backend(name, device.name)), train_a_little(NumpyBackend()))
    except XpmlpError as error:
        return Trial(device, None, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a driver does, the other devices are still of interest
        return Trial(device, None, f"{type(error).__name__}: {error}")
    agrees = difference <= AGREES  # which NaN does not
    return Trial(device, difference, None if agrees else f"its weights differ from NumPy's by {difference:.1g}")


def train_a_little(backend: Backend) -> Layers:
    """Take five steps with a small network, the last with a smaller batch; return its weights on the host."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((72, 20), dtype=np.float32)
    targets = np.eye(4, dtype=np.float32)[generator.integers(4, size=72)]
    sizes = ((20, 16), (16, 4))
    layers = tuple(
        Layer(
            generator.standard_normal(size, dtype=np.float32) / np.float32(size[0]),
            np.zeros((1, size[1]), np.float32),
        )
        for size in sizes
    )
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


def largest_difference(layers: Layers, expected: Layers) -> float:
    """Return how far two networks are apart, as a part of the largest weight of each array."""
    return max(
        float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
        for layer, other in zip(layers, expected, strict=True)
        for a, b in zip(layer, other, strict=True)
    )
