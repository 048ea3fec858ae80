"""Large weights updated in place: the plain loop's bits, and the epoch's first state as it was."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.backends.numpy import in_place
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam, adamw, clip_gradients, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map


@pytest.mark.parametrize(
    "optimizer",
    [sgd(), sgd(momentum=0.9, nesterov=True), adam(), adamw(weight_decay=0.1), clip_gradients(adam(), 0.01)],
)
@pytest.mark.parametrize("settings", [{}, {"penalty": 0.1}, {"penalty": 0.1, "dropout": 0.3}])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_in_place_is_the_plain_loops(
    monkeypatch: pytest.MonkeyPatch, optimizer: Any, settings: dict[str, Any], weighted: bool
) -> None:
    monkeypatch.setattr(in_place, "LARGE", 1)
    monkeypatch.setattr(in_place, "TILE", 30)  # elements: a weight is several tiles, the last of them smaller
    generator = np.random.default_rng(0)
    layers = init_layers(np, generator, [11, 7, 3], glorot_uniform(draw_bias=True), dtype=np.float64)
    state = TrainingState(layers, optimizer.init(np, layers), np.asarray(5) if "dropout" in settings else ())
    before = tree_map(np.copy, state)
    samples = Samples(generator.normal(size=(50, 11)), np.eye(3)[generator.integers(0, 3, 50)])
    samples = samples._replace(weight=generator.uniform(size=50) if weighted else None)
    step = make_step(
        activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=optimizer, **settings
    )
    epoch = step, state, samples, generator.permutation(50), np.linspace(0.1, 0.2, 4), 16
    backend = NumpyBackend()
    results = backend.run_epoch(*epoch), Backend.run_epoch(backend, *epoch)
    tree_map(assert_array_equal, *results)
    tree_map(assert_array_equal, state, before)


def test_an_update_that_looks_at_numbers_is_made_call_by_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_place, "LARGE", 1)
    plain = sgd()

    def update(xp: Any, gradients: Any, state: Any, layers: Any, learning_rate: Any) -> Any:
        return plain.update(xp, gradients, state, layers, float(learning_rate))

    layers = init_layers(np, np.random.default_rng(0), [5, 2], glorot_uniform(), dtype=np.float32)
    state, samples = (
        TrainingState(layers, ()),
        Samples(np.ones((4, 5), np.float32), np.eye(2, dtype=np.float32)[[0, 1] * 2]),
    )
    step = make_step(
        activation=ACTIVATIONS["tanh"], loss=LOSSES["squared_error"], optimizer=plain._replace(update=update)
    )
    epoch = step, state, samples, np.arange(4), np.asarray([0.5, 0.25], np.float32), 2
    backend = NumpyBackend()
    tree_map(assert_array_equal, backend.run_epoch(*epoch), Backend.run_epoch(backend, *epoch))
