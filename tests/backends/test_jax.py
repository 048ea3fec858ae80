"""An epoch on JAX is compiled once, and leaves the host alone."""

import sys
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import load_backend
from xpmlp.datasets import load_digits
from xpmlp.errors import SettingsError
from xpmlp.nn.step import make_step
from xpmlp.training import Recipe, fit_dataset

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


def test_nothing_moves_between_host_and_device_within_an_epoch(problem: Any) -> None:
    case = problem(load_backend("jax", "cpu"))
    with case.backend.scope():
        state, samples = case.start()
        arguments = samples, *map(case.backend.asarray, (case.orders[0], case.rates)), case.batch_size
        case.backend.run_epoch(case.step, state, *arguments)  # compiles
        with jax.transfer_guard("disallow"):
            state, objectives = case.backend.run_epoch(case.step, state, *arguments)
            case.backend.synchronize(state)
    assert np.all(np.isfinite(case.backend.to_numpy(objectives)))


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
