import functools
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.dropout import Dropout, draw_dropout, mix
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import forward
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map


def hidden_layers(*units: int, dtype: Any = np.float64, models: tuple[int, ...] = ()) -> Any:
    """Layers with so many units, and one that is the last; of their weights only the shapes count."""
    return tuple(
        Layer(np.zeros((*models, 2, count), dtype), np.zeros((*models, 1, count), dtype)) for count in (*units, 3)
    )


def kept(key: int, rows: int = 256, units: tuple[int, ...] = (300,), rate: float = 0.3) -> list[Any]:
    """Whether each unit is kept, 0.0 or 1.0."""
    dropout = draw_dropout(xp, np.asarray(key), np.ones(rows), hidden_layers(*units), rate)
    return [np.asarray(mask) * (1.0 - rate) for mask in dropout.masks]


def test_mixing_loses_nothing_and_changes_half_the_bits() -> None:
    numbers = np.arange(100_000, dtype=np.int64)
    mixed = mix(numbers)
    assert len(np.unique(mixed)) == len(numbers)
    assert mixed.min() >= 0
    assert mixed.max() < 2**32
    for bit in range(20):
        changed = np.bitwise_count((mixed ^ mix(numbers ^ (1 << bit))).astype(np.uint32))
        assert changed.mean() == pytest.approx(16.0, abs=0.1)


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_the_right_fraction_of_the_units_is_left_out(rate: float) -> None:
    shares = np.asarray([kept(key, 128, (100,), rate)[0].mean() for key in range(200)])
    (mask,) = draw_dropout(xp, np.asarray(7), np.ones(50), hidden_layers(40, dtype=np.float32), rate).masks
    assert mask.dtype == np.float32
    np.testing.assert_allclose(np.unique(mask), [0.0, 1.0 / (1.0 - rate)])  # scaled up, so that the mean stays
    # Of 200 masks of 12,800: the mean of all within 5 standard errors, and each spread as independent draws are.
    spread = np.sqrt(rate * (1 - rate) / 12_800)
    assert shares.mean() == pytest.approx(1 - rate, abs=5 * spread / np.sqrt(200))
    assert 0.8 * spread < shares.std() < 1.25 * spread


def test_rows_units_layers_and_steps_are_left_out_independently() -> None:
    rate = 0.4
    first, second = kept(1, 256, (300, 300), rate)
    (later,) = kept(2, 256, (300,), rate)
    variance = rate * (1 - rate)

    def largest_correlation(a: Any, b: Any) -> float:
        """Of any row of the one with any row of the other."""
        return float(np.abs((a - 1 + rate) @ (b - 1 + rate).T / (a.shape[1] * variance)).max())

    # Of 65,536 sums of 300 independent products, the largest lies near 4.5 standard deviations: 0.26.
    assert largest_correlation(first, second) < 0.35
    assert largest_correlation(first, later) < 0.35
    assert largest_correlation(first.T, second.T[:, :256]) < 0.4
    among_rows = (first - 1 + rate) @ (first - 1 + rate).T / (300 * variance)
    assert np.abs(among_rows - np.diag(np.diag(among_rows))).max() < 0.35
    # Neither rows nor units have a share of their own beyond chance.
    assert np.abs(first.mean(axis=1) - 0.6).max() < 5 * np.sqrt(variance / 300)
    assert np.abs(first.mean(axis=0) - 0.6).max() < 5 * np.sqrt(variance / 256)
    # A mask made of a product of a number for the row and one for the unit would fail here.
    signs = np.sign(kept(3, 400, (400,), 0.5)[0] - 0.5)
    products = signs[0::2, 0::2] * signs[1::2, 0::2] * signs[0::2, 1::2] * signs[1::2, 1::2]
    assert abs(products.mean()) < 5 / np.sqrt(products.size)


def test_every_library_leaves_out_the_same_units_and_others_in_each_model_of_a_population(place: Any) -> None:
    layers = tree_map(place.asarray, hidden_layers(6, models=(2,)))
    draw = functools.partial(draw_dropout, rate=0.5)
    (together,) = place.bind(draw)(place.asarray([3, 4], "int64"), place.asarray(np.ones(9)), layers).masks
    for index, key in enumerate((3, 4)):
        (alone,) = draw_dropout(xp, np.asarray(key), np.ones(9), hidden_layers(6), 0.5).masks
        np.testing.assert_array_equal(place.to_numpy(together)[index], alone)


def test_units_that_are_left_out_neither_speak_nor_learn(make_problem: Any) -> None:
    problem = make_problem("tanh", layer_sizes=(5, 6, 3))
    silent = Dropout((np.concatenate([np.zeros((7, 3)), np.full((7, 3), 2.0)], axis=1),))
    (_, hidden), _ = forward(xp, problem.layers, problem.x, problem.activation, silent)
    (_, whole), _ = forward(xp, problem.layers, problem.x, problem.activation)
    np.testing.assert_array_equal(hidden[:, :3], 0.0)
    np.testing.assert_array_equal(hidden[:, 3:], 2.0 * whole[:, 3:])
    _, gradients = problem.objective_and_gradients(dropout=silent)
    np.testing.assert_array_equal(gradients[0].weight[:, :3], 0.0)
    np.testing.assert_array_equal(gradients[1].weight[:3, :], 0.0)
    assert np.all(gradients[0].weight[:, 3:] != 0.0)


def test_a_step_goes_on_to_the_next_key(make_problem: Any) -> None:
    problem = make_problem("relu", layer_sizes=(5, 6, 3))
    step = make_step(activation=ACTIVATIONS["relu"], loss=LOSSES["softmax_cross_entropy"], optimizer=sgd(), dropout=0.5)
    state = TrainingState(problem.layers, (), np.asarray(10))
    state, first = step(xp, state, problem.x, problem.targets, None, 0.0)
    state, second = step(xp, state, problem.x, problem.targets, None, 0.0)
    assert int(state.dropout) == 12
    assert first != second
