"""The notebook that the package grew out of, retold in NumPy, and what ours has in common with it.

Its backward pass takes the hyperbolic tangent of a hidden output that went through one already: a slip. Put into our
activation, it makes our network the notebook's, step for step; without it ours follows the true gradient.
"""

import itertools
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

LOSS = LOSSES["softmax_cross_entropy"]
EPOCHS, BATCH_SIZE, ETA = 3, 128, 0.1


def slipped(xp: Any, a: Any, gradient: Any) -> Any:
    return gradient * (1 - xp.tanh(a) ** 2)


SLIPPED = Activation(tanh, slipped)

# The notebook, line for line; only its random numbers are handed in.


def notebook_softmax(x: Any) -> Any:
    x_expo = np.exp(x - np.max(x, axis=1, keepdims=True))
    return x_expo / np.sum(x_expo, axis=1, keepdims=True)


def notebook_forward(params: dict[str, Any], x: Any) -> dict[str, Any]:
    z1 = x @ params["w1"] + params["b1"]
    a2 = np.tanh(z1)
    z2 = a2 @ params["w2"] + params["b2"]
    return {"a2": a2, "a3": notebook_softmax(z2)}


def notebook_loss(yhat: Any, y: Any) -> Any:
    m = y.shape[0]
    return -np.sum(y * np.log(yhat + 1e-10)) / m


def notebook_backward(x: Any, params: dict[str, Any], outputs: dict[str, Any], y: Any) -> dict[str, Any]:
    m = y.shape[0]
    d_z2 = outputs["a3"] - y
    d_a2 = d_z2 @ params["w2"].T
    d_z1 = d_a2 * (1 - np.tanh(outputs["a2"]) ** 2)
    return {
        "w1": x.T @ d_z1 / m,
        "b1": np.sum(d_z1, axis=0, keepdims=True) / m,
        "w2": outputs["a2"].T @ d_z2 / m,
        "b2": np.sum(d_z2, axis=0, keepdims=True) / m,
    }


def notebook_training(params: dict[str, Any], permutations: list[Any], data: Any) -> tuple[dict[str, Any], list[float]]:
    x_train, y_train, x_test, y_test = data
    loss_history = []
    for permutation in permutations:
        x_train = x_train[permutation]
        y_train = y_train[permutation]
        for i in range(0, x_train.shape[0], BATCH_SIZE):
            x_batch = x_train[i : i + BATCH_SIZE]
            y_batch = y_train[i : i + BATCH_SIZE]
            grads = notebook_backward(x_batch, params, notebook_forward(params, x_batch), y_batch)
            params = {name: params[name] - ETA * grads[name] for name in params}
        loss_history.append(notebook_loss(notebook_forward(params, x_test)["a3"], y_test))
    return params, loss_history


# Ours, on the same numbers.


def our_training(
    activation: Activation, layers: Layers, permutations: list[Any], data: Any
) -> tuple[Layers, list[float]]:
    """The weights at the end, and the loss on the test rows after each epoch, as the notebook defines a loss."""
    x_train, y_train, x_test, y_test = data
    step = make_step(activation=activation, loss=LOSS, optimizer=sgd())
    state = TrainingState(layers, ())
    history = []
    for permutation in permutations:
        # The notebook shuffles what the last epoch had shuffled.
        x_train, y_train = x_train[permutation], y_train[permutation]
        for start in range(0, x_train.shape[0], BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            state, _ = step(xp, state, x_train[batch], y_train[batch], None, ETA)
        _, logits = forward(xp, state.layers, x_test, activation)
        losses, _ = LOSS.value_and_gradient(xp, logits, y_test)
        # It adds 1e-10 to each probability: −log(p + 1e-10) = −log p − log(1 + 1e-10 / p), with −log p being our loss.
        history.append(float(np.mean(losses - np.log1p(1e-10 * np.exp(losses)))))
    return state.layers, history


@pytest.fixture(scope="module")
def run() -> Any:
    """Starting weights in both forms, an order for each epoch, and the digits of scikit-learn, split in two."""
    x, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(1)
    w1, w2 = rng.normal(0, 0.3, (64, 32)), rng.normal(0, 0.3, (32, 10))
    params = {"w1": w1, "b1": np.zeros((1, 32)), "w2": w2, "b2": np.zeros((1, 10))}
    layers = (Layer(w1, params["b1"]), Layer(w2, params["b2"]))
    permutations = [rng.permutation(1400) for _ in range(EPOCHS)]
    y = np.eye(10)[labels]
    data = (x[:1400] / 16, y[:1400], x[1400:] / 16, y[1400:])
    assert 1400 % BATCH_SIZE != 0
    return params, layers, permutations, data


def test_with_its_slip_ours_is_the_notebook_step_for_step_and_without_it_leaves_its_path(run: Any) -> None:
    params, layers, permutations, data = run
    expected, expected_losses = notebook_training(params, permutations, data)
    ours, losses = our_training(SLIPPED, layers, permutations, data)
    np.testing.assert_allclose(losses, expected_losses, rtol=0.0, atol=1e-10)
    for mine, theirs in zip(itertools.chain(*ours), expected.values(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.0, atol=1e-10)
    assert losses[-1] < losses[0]
    _, as_shipped = our_training(ACTIVATIONS["tanh"], layers, permutations, data)
    assert np.all(np.abs(np.subtract(as_shipped, expected_losses)) > 1e-4)
    assert as_shipped[-1] < as_shipped[0]
