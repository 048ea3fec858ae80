"""What our network has in common with the notebook that the package grew out of.

The notebook's backward pass takes the hyperbolic tangent of a hidden output that went through one already: a slip. Put
into our activation, it makes our network the notebook's, step for step; without it ours follows the true gradient.
"""

import itertools
import runpy
from pathlib import Path
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from xpmlp.nn.activations import ACTIVATIONS, Activation, tanh
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import forward
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.step import TrainingState, make_step

NOTEBOOK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "peers" / "notebook.py"))  # its own lines
LOSS = LOSSES["softmax_cross_entropy"]
EPOCHS, ROWS, BATCH_SIZE, ETA = 3, 1400, 128, 0.1


def slipped(xp: Any, a: Any, gradient: Any) -> Any:
    return gradient * (1 - xp.tanh(a) ** 2)


def our_training(
    activation: Activation, layers: Layers, orders: list[Any], x: np.ndarray, y: np.ndarray
) -> tuple[Layers, list[float]]:
    """The weights at the end, and the loss on the test rows after each epoch, as the notebook defines a loss."""
    step = make_step(activation=activation, loss=LOSS, optimizer=sgd())
    state = TrainingState(layers, ())
    history = []
    for order in orders:
        for start in range(0, ROWS, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            state, _ = step(xp, state, x[batch], y[batch], None, ETA)
        _, logits = forward(xp, state.layers, x[ROWS:], activation)
        losses, _ = LOSS.value_and_gradient(xp, logits, y[ROWS:])
        # It adds 1e-10 to each probability: −log(p + 1e-10) = −log p − log(1 + 1e-10 / p), with −log p being our loss.
        history.append(float(np.mean(losses - np.log1p(1e-10 * np.exp(losses)))))
    return state.layers, history


def test_with_its_slip_ours_is_the_notebook_step_for_step_and_without_it_leaves_its_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = load_digits(return_X_y=True)
    x, y = images / 16, np.eye(10)[labels]
    rng = np.random.default_rng(1)
    w1, w2 = rng.normal(0, 0.3, (64, 32)), rng.normal(0, 0.3, (32, 10))
    params = {"w1": w1, "b1": np.zeros((1, 32)), "w2": w2, "b2": np.zeros((1, 10))}
    layers = (Layer(w1, params["b1"]), Layer(w2, params["b2"]))
    orders, expected = [rng.permutation(ROWS) for _ in range(EPOCHS)], []
    assert ROWS % BATCH_SIZE != 0
    for order in orders:
        monkeypatch.setattr(np.random, "permutation", lambda count, order=order: order)
        NOTEBOOK["train_epoch"](params, x[:ROWS], y[:ROWS], BATCH_SIZE, ETA)
        expected.append(NOTEBOOK["loss_accuracy"](NOTEBOOK["forward"](params, x[ROWS:])[0], y[ROWS:])[0])
    ours, losses = our_training(Activation(tanh, slipped), layers, orders, x, y)
    np.testing.assert_allclose(losses, expected, rtol=0.0, atol=1e-10)
    for mine, theirs in zip(itertools.chain(*ours), params.values(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.0, atol=1e-10)
    assert losses[-1] < losses[0]
    _, as_shipped = our_training(ACTIVATIONS["tanh"], layers, orders, x, y)
    assert np.all(np.abs(np.subtract(as_shipped, expected)) > 1e-4)
    assert as_shipped[-1] < as_shipped[0]
