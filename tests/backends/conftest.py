"""A random network to train, which the tests of all backends share."""

import functools
import importlib
import math
from typing import Any

import numpy as np
import pytest

# The package is imported late, for it must not be before its types are checked.


class Problem:
    """A random network, data and a step on the host, and epochs of it on a backend.

    `optimizer` is a name or the optimizer; other settings are those of `make_step`.
    """

    def __init__(
        self,
        backend: Any,
        *,
        sizes: tuple[int, ...] = (20, 16, 4),
        rows: int = 150,
        batch_size: int = 32,
        models: tuple[int, ...] = (),
        dtype: str = "float32",
        activation: str = "tanh",
        loss: str = "softmax_cross_entropy",
        optimizer: Any = "adam",
        weighted: bool = False,
        divisor: float | None = None,
        rates_of_models: bool = False,
        targets_for: Any = lambda loss, targets: targets,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        from xpmlp.nn.activations import find_activation
        from xpmlp.nn.initializers import glorot_uniform, init_layers
        from xpmlp.nn.loss_names import find_loss
        from xpmlp.nn.samples import Samples
        from xpmlp.nn.step import TrainingState, make_step
        from xpmlp.training import OPTIMIZERS

        self.backend, self.dtype, self.batch_size = backend, dtype, batch_size
        generator = np.random.default_rng(seed)
        optimizer = OPTIMIZERS[optimizer]() if isinstance(optimizer, str) else optimizer
        functions: Any = {"activation": find_activation(activation), "loss": find_loss(loss), "optimizer": optimizer}
        self.step: Any = make_step(**functions, **settings)
        initializer = glorot_uniform(draw_bias=True)
        layers = init_layers(np, generator, sizes, initializer, models=models, dtype=np.dtype(dtype))
        key: Any = 7 + np.arange(math.prod(models)).reshape(models) if "dropout" in settings else ()
        self.state = TrainingState(layers, optimizer.init(np, layers), key)
        shape = rows, sizes[0]
        x = generator.normal(size=shape) if divisor is None else generator.integers(256, size=shape)
        targets = np.eye(sizes[-1], dtype=dtype)[generator.integers(sizes[-1], size=rows)]
        weight = generator.uniform(0.5, 2.0, rows).astype(dtype) if weighted else None
        self.samples = Samples(
            x.astype(dtype if divisor is None else "uint8"), targets_for(loss, targets), weight, divisor
        )
        self.orders = [generator.permutation(rows) for _ in range(3)]
        of_models = (*models, 1, 1) if rates_of_models else ()
        self.rates = generator.uniform(0.01, 0.1, (-(-rows // batch_size), *of_models)).astype(dtype)

    def start(self) -> Any:
        """Return the state before the first step, and the samples, on the device."""
        from xpmlp.nn.tree import tree_map

        return tree_map(self.backend.asarray, self.state), self.samples.map(self.backend.asarray)

    def to_host(self, tree: Any) -> Any:
        """Return a copy of a tree on the host."""
        from xpmlp.nn.tree import tree_map

        return tree_map(lambda array: np.array(self.backend.to_numpy(array)), tree)

    def epochs(self, run_epoch: Any = None, *, step: Any = None) -> Any:
        """Return a tuple of state and objectives after each epoch, on the host; each goes on from the one before."""
        run_epoch = run_epoch or self.backend.run_epoch
        results = []
        with self.backend.scope():
            state, samples = self.start()
            for order in self.orders:
                arrays = (samples, self.backend.asarray(order), self.backend.asarray(self.rates))
                result = run_epoch(step or self.step, state, *arrays, self.batch_size)
                state = result[0]
                results.append(self.to_host(result))
        return tuple(results)

    def eager_epochs(self, *, step: Any = None) -> Any:
        """Return what the plain loop makes of the epochs."""
        from xpmlp.backends import Backend

        return self.epochs(functools.partial(Backend.run_epoch, self.backend), step=step)


@pytest.fixture
def problem() -> type[Problem]:
    """The class `Problem`."""
    return Problem


@pytest.fixture
def plain_backend(place: Any) -> Any:
    """The class `Backend` as it is, for each array library; only the strict one needs its own way back to the host."""
    backend = importlib.import_module("xpmlp.backends").Backend(place.xp, place.device)
    backend.to_numpy = place.to_numpy
    return backend
