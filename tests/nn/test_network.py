from typing import Any

import array_api_compat.numpy as xp
import jaxtyping
import numpy as np
import pytest

from xpmlp.nn.activations import ACTIVATIONS, tanh
from xpmlp.nn.layers import Layer
from xpmlp.nn.network import forward
from xpmlp.nn.tree import tree_map


def test_forward_is_matrix_products_with_the_activation_between(make_problem: Any) -> None:
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


def test_the_annotations_are_checked_where_the_run_asks_for_it(pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("jaxtyping_packages"):
        pytest.skip("annotations are checked with --jaxtyping-packages=xpmlp,beartype.beartype")
    layers = (Layer(np.zeros((5, 2)), np.zeros((1, 2))),)
    with pytest.raises(jaxtyping.TypeCheckError):
        forward(xp, layers, np.zeros((3, 5), dtype=np.int64), ACTIVATIONS["tanh"])
    with pytest.raises(jaxtyping.TypeCheckError):
        tanh(xp, "not an array")


def test_a_function_is_applied_to_corresponding_arrays_of_networks_of_one_depth() -> None:
    first = (Layer(np.array([[1.0]]), np.array([[2.0]])), Layer(np.array([[3.0]]), np.array([[4.0]])))
    second = tree_map(lambda array: 10.0 * array, first)
    result = tree_map(lambda a, b, c: a - b + c, first, second, first)
    assert result == (Layer(np.array([[-8.0]]), np.array([[-16.0]])), Layer(np.array([[-24.0]]), np.array([[-32.0]])))
    assert all(isinstance(layer, Layer) for layer in result)
    with pytest.raises(ValueError, match="shorter"):
        tree_map(np.add, first, second[:1])
