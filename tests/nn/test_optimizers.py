"""Optimizers take the steps of scikit-learn's and PyTorch's."""

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.optimizers import Optimizer, adam, adamw, clip_gradients, sgd
from xpmlp.nn.tree import tree_map

STEPS = 12
# Ours, scikit-learn's, and the settings of both.
OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], Callable[..., Any], dict[str, Any]]] = {
    "sgd": (sgd, SGDOptimizer, {"momentum": 0.0, "nesterov": False}),
    "momentum": (sgd, SGDOptimizer, {"momentum": 0.9, "nesterov": False}),
    "nesterov": (sgd, SGDOptimizer, {"momentum": 0.8, "nesterov": True}),
    "nesterov without momentum": (sgd, SGDOptimizer, {"momentum": 0.0, "nesterov": True}),
    "adam": (adam, AdamOptimizer, {}),
    "adam, other settings": (adam, AdamOptimizer, {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}),
}


def draw_run() -> tuple[Layers, list[Layers]]:
    """Starting weights, and gradients that span orders of magnitude."""
    rng = np.random.default_rng(11)

    def draw(scale: float = 1.0) -> Layers:
        shapes = [((4, 3), (1, 3)), ((3, 2), (1, 2))]
        return tuple(Layer(*(rng.normal(0.0, scale, shape) for shape in layer)) for layer in shapes)

    return draw(), [draw(10.0 ** rng.uniform(-4, 1)) for _ in range(STEPS)]


def run(optimizer: Optimizer, layers: Layers, all_gradients: list[Layers], rates: list[Any]) -> Layers:
    state = optimizer.init(xp, layers)
    for gradients, rate in zip(all_gradients, rates, strict=True):
        layers, state = optimizer.update(xp, gradients, state, layers, rate)
    return layers


def parameters(layers: Layers) -> list[Any]:
    return [array for layer in layers for array in layer]


def check_close(ours: Layers, theirs: list[Any], rtol: float = 1e-12) -> None:
    for mine, other in zip(parameters(ours), theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_scikit_learns(name: str) -> None:
    ours, make_theirs, settings = OPTIMIZERS[name]
    layers, gradients = draw_run()
    theirs = [array.copy() for array in parameters(layers)]
    optimizer, rates = make_theirs(theirs, 0.05, **settings), [0.1 / (1 + i) for i in range(STEPS)]
    for each, rate in zip(gradients, rates, strict=True):
        optimizer.learning_rate = optimizer.learning_rate_init = rate  # scales the gradient of this step alone
        optimizer.update_params(theirs, parameters(each))
    check_close(run(ours(**settings), layers, gradients, rates), theirs, rtol=1e-13)


@pytest.mark.parametrize("clipped", [False, True])
def test_adamw_and_clipping_are_pytorchs(clipped: bool) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    layers, gradients = draw_run()
    weights, biases = ([torch.tensor(layer[part], requires_grad=True) for layer in layers] for part in (0, 1))
    groups = [{"params": weights, "weight_decay": 0.3}, {"params": biases, "weight_decay": 0.0}]
    theirs, norms = torch.optim.AdamW(groups, lr=0.05, eps=1e-14), []
    for each in gradients:
        for part, tensors in enumerate((weights, biases)):
            for tensor, layer in zip(tensors, each, strict=True):
                tensor.grad = torch.tensor(layer[part])
        if clipped:
            norms.append(float(torch.nn.utils.clip_grad_norm_([*weights, *biases], 1.0)))
        theirs.step()
    ours = adamw(weight_decay=0.3, epsilon=1e-14)
    after = run(clip_gradients(ours, 1.0) if clipped else ours, layers, gradients, [0.05] * STEPS)
    expected = [tensor.detach().numpy() for pair in zip(weights, biases, strict=True) for tensor in pair]
    check_close(after, expected, rtol=2e-5 if clipped else 1e-9)  # PyTorch adds 1e-6 to the norm that it divides by
    assert not clipped or min(norms) < 1.0 < max(norms)


def test_gradients_within_the_norm_are_left_as_they_are() -> None:
    layers, gradients = draw_run()
    exact, clipped = (run(each, layers, gradients, [0.1] * STEPS) for each in (sgd(), clip_gradients(sgd(), 1e9)))
    check_close(clipped, parameters(exact), rtol=0.0)


def test_adam_in_float32_still_counts_after_a_million_steps() -> None:
    layers = tree_map(lambda array: array.astype(np.float32), draw_run()[0])
    state = adam().init(xp, layers)._replace(step=np.asarray(1_000_000.0, np.float32))
    after, state = adam().update(xp, layers, state, layers, 0.1)
    assert (state.step.dtype, state.step) == (np.float32, 1_000_001)
    assert all(np.all(np.isfinite(array)) for array in parameters(after))
