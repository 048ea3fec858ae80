"""The notebook that this project grew out of: its own lines for one epoch, slip and all, in float64."""

from collections.abc import Callable

import numpy as np


def init_params(nx, nh, ny):
    return {
        "w1": np.random.normal(0, 0.3, (nx, nh)),
        "b1": np.zeros((1, nh)),
        "w2": np.random.normal(0, 0.3, (nh, ny)),
        "b2": np.zeros((1, ny)),
    }


def softmax(x):
    x_expo = np.exp(x - np.max(x, axis=1, keepdims=True))
    return x_expo / np.sum(x_expo, axis=1, keepdims=True)


def forward(params, x):
    a1 = x
    z1 = a1 @ params["w1"] + params["b1"]
    a2 = np.tanh(z1)
    z2 = a2 @ params["w2"] + params["b2"]
    a3 = softmax(z2)
    return a3, {"z1": z1, "a2": a2, "z2": z2, "a3": a3}


def loss_accuracy(yhat, y):
    m = y.shape[0]
    loss = -np.sum(y * np.log(yhat + 1e-10)) / m
    accuracy = np.mean(np.argmax(yhat, axis=1) == np.argmax(y, axis=1))
    return loss, accuracy


def backward(x, params, outputs, y):
    m = y.shape[0]
    d_z2 = outputs["a3"] - y
    d_w2 = outputs["a2"].T @ d_z2 / m
    d_b2 = np.sum(d_z2, axis=0, keepdims=True) / m
    d_a2 = d_z2 @ params["w2"].T
    d_z1 = d_a2 * (1 - np.tanh(outputs["a2"]) ** 2)
    d_w1 = x.T @ d_z1 / m
    d_b1 = np.sum(d_z1, axis=0, keepdims=True) / m
    return {"d_w1": d_w1, "d_b1": d_b1, "d_w2": d_w2, "d_b2": d_b2}


def sgd(params, grads, eta):
    params["w1"] = params["w1"] - eta * grads["d_w1"]
    params["b1"] = params["b1"] - eta * grads["d_b1"]
    params["w2"] = params["w2"] - eta * grads["d_w2"]
    params["b2"] = params["b2"] - eta * grads["d_b2"]
    return params


def train_epoch(params, x_train, y_train, batch_size, eta):
    permutation = np.random.permutation(x_train.shape[0])
    x_train = x_train[permutation]
    y_train = y_train[permutation]

    for i in range(0, x_train.shape[0], batch_size):
        x_batch = x_train[i : i + batch_size]
        y_batch = y_train[i : i + batch_size]
        yhat, outputs = forward(params, x_batch)
        loss_accuracy(yhat, y_batch)
        grads = backward(x_batch, params, outputs, y_batch)
        sgd(params, grads, eta)


def make_epoch(x: np.ndarray, targets: np.ndarray) -> Callable[[], None]:
    """Return a function that trains the 784-128-10 network for one more epoch."""
    params = init_params(x.shape[1], 128, targets.shape[1])
    x, targets = x.astype(np.float64), targets.astype(np.float64)
    return lambda: train_epoch(params, x, targets, batch_size=128, eta=0.1)
