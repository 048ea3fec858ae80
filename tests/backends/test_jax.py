"""An epoch on JAX is compiled once, and leaves the host alone."""

import sys
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import load_backend
from xpmlp.datasets import load_digits
from xpmlp.errors import SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.training import Recipe, fit_dataset
from xpmlp.training.train import make_samples

jax = pytest.importorskip("jax", reason="jax is not installed")


def test_fifty_epochs_with_a_changing_learning_rate_are_compiled_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_digits()
    traced = []

    def counted(**parts: Any) -> Any:
        step = make_step(**parts)

        def count(*arguments: Any) -> Any:
            traced.append(arguments[2].shape)  # Python runs only while JAX traces, which is when it compiles
            return step(*arguments)

        return count

    monkeypatch.setattr(sys.modules["xpmlp.training.fit"], "cached_step", counted)
    recipe = Recipe(hidden_layer_sizes=(16,), optimizer="momentum", schedule="warmup_cosine", epochs=50, batch_size=100)
    fit_dataset(digits, recipe, backend=load_backend("jax", "cpu"))
    assert set(traced) == {(100, 64), (37, 64)}  # the full batches, and the trailing one
    assert len(traced) == 2


def test_nothing_moves_between_host_and_device_within_an_epoch() -> None:
    digits = load_digits()
    backend = load_backend("jax", "cpu")
    step = make_step(activation=ACTIVATIONS["relu"], loss=LOSSES["softmax_cross_entropy"], optimizer=sgd())
    with backend.scope():
        samples = make_samples(digits, digits.train).map(backend.asarray)
        layers = init_layers(np, np.random.default_rng(0), (64, 16, 10), glorot_uniform(), dtype=np.float32)
        layers = jax.tree.map(backend.asarray, layers)
        order = backend.asarray(np.arange(samples.rows))
        rates = backend.asarray(np.full(15, 0.1, dtype=np.float32))
        state = TrainingState(layers, ())
        backend.run_epoch(step, state, samples, order, rates, 100)  # compiles
        with jax.transfer_guard("disallow"):
            state, objectives = backend.run_epoch(step, state, samples, order, rates, 100)
            backend.synchronize(state)
    assert np.all(np.isfinite(backend.to_numpy(objectives)))


def test_jaxs_own_settings_are_left_as_they_were() -> None:
    backend = load_backend("jax", "cpu")
    before = jax.config.jax_enable_x64
    with backend.scope():
        assert backend.asarray(np.zeros(3)).dtype == np.float64
    assert jax.config.jax_enable_x64 == before


@pytest.mark.parametrize("device", ["tpu9", "cpu:7", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(SettingsError, match=f"device '{device}'"):
        load_backend("jax", device)
