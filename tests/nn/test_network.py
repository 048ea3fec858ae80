from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import jaxtyping
import numpy as np
import pytest

from xpmlp.nn.activations import ACTIVATIONS, tanh
from xpmlp.nn.layers import Layer
from xpmlp.nn.network import backward, forward


def test_forward_is_matrix_products_with_the_activation_between(make_problem: Callable[..., Any]) -> None:
    problem = make_problem("tanh", layer_sizes=(5, 6, 4, 3))
    (w1, b1), (w2, b2), (w3, b3) = problem.layers
    a1 = np.tanh(problem.x @ w1 + b1)
    a2 = np.tanh(a1 @ w2 + b2)
    inputs, logits = forward(xp, problem.layers, problem.x, ACTIVATIONS["tanh"])
    for ours, expected in zip(inputs, (problem.x, a1, a2), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-14)
    np.testing.assert_allclose(logits, a2 @ w3 + b3, rtol=1e-14)
    inputs, logits = forward(xp, problem.layers[:1], problem.x, ACTIVATIONS["tanh"])  # the last has no activation
    assert len(inputs) == 1
    np.testing.assert_allclose(logits, problem.x @ w1 + b1, rtol=1e-14)


def test_backward_is_the_chain_rule_written_out(make_problem: Callable[..., Any]) -> None:
    problem = make_problem("logistic", layer_sizes=(5, 4, 3), rows=2)
    (_, a1), _ = forward(xp, problem.layers, problem.x, ACTIVATIONS["logistic"])
    gradient = np.random.default_rng(1).normal(0.0, 1.0, (2, 3))
    hidden, last = backward(xp, problem.layers, (problem.x, a1), gradient, ACTIVATIONS["logistic"])
    w2 = problem.layers[1].weight
    expected_hidden = np.zeros((2, 4))
    for i in range(2):
        for j in range(4):
            expected_hidden[i, j] = sum(gradient[i, k] * w2[j, k] for k in range(3)) * a1[i, j] * (1.0 - a1[i, j])
    np.testing.assert_allclose(last.weight, np.einsum("ij,ik->jk", a1, gradient), rtol=1e-13)
    np.testing.assert_allclose(last.bias, np.einsum("ik->k", gradient)[None], rtol=1e-13)
    np.testing.assert_allclose(hidden.weight, np.einsum("if,ij->fj", problem.x, expected_hidden), rtol=1e-13)
    np.testing.assert_allclose(hidden.bias, np.einsum("ij->j", expected_hidden)[None], rtol=1e-13)


def test_the_annotations_are_checked_where_the_run_asks_for_it(pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("jaxtyping_packages"):
        pytest.skip("annotations are checked with --jaxtyping-packages=xpmlp,beartype.beartype")
    layers = (Layer(np.zeros((5, 2)), np.zeros((1, 2))),)
    with pytest.raises(jaxtyping.TypeCheckError):
        forward(xp, layers, np.zeros((3, 5), dtype=np.int64), ACTIVATIONS["tanh"])
    with pytest.raises(jaxtyping.TypeCheckError):
        tanh(xp, "not an array")
