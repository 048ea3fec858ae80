import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.neural_network import MLPClassifier

from xpmlp.nn.initializers import (
    Initializer,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    init_layers,
    normal,
)

INPUTS, OUTPUTS = 300, 200


def uniform(bound: float) -> Any:
    return stats.uniform(-bound, 2 * bound)


# What each draws from.
DISTRIBUTIONS: dict[str, tuple[Initializer, Any]] = {
    "glorot_uniform": (glorot_uniform(), uniform(math.sqrt(6 / 500))),
    "glorot_uniform, gain": (glorot_uniform(gain=5 / 3), uniform(5 / 3 * math.sqrt(6 / 500))),
    "he_uniform": (he_uniform(), uniform(math.sqrt(6 / 300))),
    "he_uniform, as torch.nn.Linear": (he_uniform(gain=1 / math.sqrt(3)), uniform(1 / math.sqrt(300))),
    "glorot_normal": (glorot_normal(), stats.norm(0.0, math.sqrt(2 / 500))),
    "glorot_normal, gain": (glorot_normal(gain=2.0), stats.norm(0.0, 2 * math.sqrt(2 / 500))),
    "he_normal": (he_normal(), stats.norm(0.0, math.sqrt(2 / 300))),
    "he_normal, gain": (he_normal(gain=1.0), stats.norm(0.0, 1 / math.sqrt(300))),
    "normal": (normal(), stats.norm(0.0, 0.3)),
    "normal, scale": (normal(scale=0.01), stats.norm(0.0, 0.01)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_weights_are_of_their_distribution(name: str) -> None:
    initializer, distribution = DISTRIBUTIONS[name]
    weight, bias = initializer(np.random.default_rng(8), (), INPUTS, OUTPUTS)
    assert bias is None
    assert weight.shape == (INPUTS, OUTPUTS)
    low, high = distribution.support()
    assert low <= np.min(weight) < np.max(weight) <= high
    assert stats.kstest(weight.ravel(), distribution.cdf).pvalue > 0.01


@pytest.mark.parametrize(("activation", "gain"), [("relu", 1.0), ("logistic", 1 / math.sqrt(3))])
def test_the_same_random_state_draws_scikit_learns_own_weights(activation: str, gain: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.0, 1.0, (20, 6)), np.arange(20) % 4
    # A rate too small to move a weight leaves what was drawn.
    theirs = MLPClassifier((5, 3), activation=activation, solver="sgd", learning_rate_init=1e-300, random_state=42)
    theirs.partial_fit(x, y, classes=[0, 1, 2, 3])
    initializer = glorot_uniform(gain=gain, draw_bias=True)
    ours = init_layers(np, np.random.RandomState(42), (6, 5, 3, 4), initializer, dtype=np.float64)
    for layer, weight, bias in zip(ours, theirs.coefs_, theirs.intercepts_, strict=True):
        np.testing.assert_allclose(layer.weight, weight, rtol=1e-15)
        np.testing.assert_allclose(layer.bias[0], bias, rtol=1e-15)


def test_the_same_seed_gives_the_same_network_on_every_library(place: Any) -> None:
    models, sizes = (2, 3), (6, 5, 3)

    def init(xp: Any, dtype: Any, device: Any, seed: int = 9) -> Any:
        rng = np.random.default_rng(seed)
        return init_layers(xp, rng, sizes, he_normal(), models=models, dtype=dtype, device=device)

    expected, other = init(np, np.float64, "cpu"), init(np, np.float64, "cpu", seed=10)
    for dtype in ("float64", "float32"):
        ours = init(place.xp, getattr(place.xp, dtype), place.device)
        assert [layer.weight.shape for layer in ours] == [(*models, 6, 5), (*models, 5, 3)]
        assert [layer.bias.shape for layer in ours] == [(*models, 1, 5), (*models, 1, 3)]
        for layer, theirs, different in zip(ours, expected, other, strict=True):
            assert layer.weight.dtype == layer.bias.dtype == getattr(place.xp, dtype)
            # Drawn in float64 and then rounded.
            np.testing.assert_array_equal(place.to_numpy(layer.weight), theirs.weight.astype(dtype))
            assert np.all(place.to_numpy(layer.bias) == 0.0)
            assert not np.any(theirs.weight == different.weight)


def test_the_models_of_a_population_and_of_one_generator_start_apart() -> None:
    rng = np.random.default_rng(0)
    first, second = (init_layers(np, rng, (6, 5), he_normal(), models=(3,), dtype=np.float64) for _ in range(2))
    assert len(np.unique([first[0].weight, second[0].weight])) == 2 * first[0].weight.size
