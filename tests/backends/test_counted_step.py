from typing import Any

import numpy as np
import pytest

from xpmlp.backends.counted_step import CountedStep
from xpmlp.backends.engine.captured_step import CapturedStep
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map


def static_step(models: tuple[int, ...]) -> CapturedStep:
    generator, optimizer = np.random.default_rng(0), adam()
    samples = Samples(generator.normal(size=(9, 5)), np.eye(3)[generator.integers(3, size=9)])
    layers = init_layers(np, generator, (5, 4, 3), glorot_uniform(), models=models, dtype=np.float64)
    step = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=optimizer)
    state = TrainingState(layers, optimizer.init(np, layers))
    return CapturedStep(np, step, state, samples, generator.permutation(9).reshape(3, 3), np.asarray([0.3, 0.1, 0.2]))


@pytest.mark.parametrize("models", [(), (2,)])
def test_counted_on_the_host_the_steps_are_the_same(models: tuple[int, ...]) -> None:
    static, other = static_step(models), static_step(models)
    counted = CountedStep(other)
    take_next = counted.bind(counted.run)
    for _ in range(2):
        for _ in range(3):
            static.run()
            take_next()
        tree_map(np.testing.assert_array_equal, other.result(3), static.result(3))
        static.rewind()
        other.rewind()


def test_what_is_mapped_is_every_array_and_the_original_stays() -> None:
    counted, seen = CountedStep(static_step(())), []

    def note(array: Any) -> Any:
        seen.append(array)
        return array.copy()

    mapped = counted.map(note)
    assert any(array is counted.rows for array in seen)
    assert mapped.rows is not counted.rows
    assert mapped.static.samples.x is not counted.static.samples.x
    before = tree_map(np.copy, counted.static.state)
    mapped.run()
    tree_map(np.testing.assert_array_equal, counted.static.state, before)
    assert not np.array_equal(mapped.static.state.layers[0].weight, before.layers[0].weight)
    assert mapped.objective != counted.objective
