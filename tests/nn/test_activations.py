from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

from xpmlp.nn.activations import ACTIVATIONS

# Each function and its derivative, by others' hand.
REFERENCE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "identity": (lambda z: z, np.ones_like),
    "logistic": (special.expit, lambda z: special.expit(z) * special.expit(-z)),
    "tanh": (np.tanh, lambda z: 1.0 / np.cosh(z) ** 2),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 0, 1.0, 0.0)),
}
Z = np.concatenate([np.linspace(-8.0, 8.0, 41), [-1e-9, 1e-9, -0.3, 0.7]]).reshape(3, 15)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-15), ("float32", 2e-7)])
def test_forward_and_backward_are_the_function_and_its_derivative(
    place: Any, name: str, dtype: str, tolerance: float
) -> None:
    forward, derivative = REFERENCE[name]
    gradient = np.random.default_rng(0).normal(0.0, 1.0, Z.shape)
    a = ACTIVATIONS[name].forward(place.xp, place.asarray(Z, dtype))
    back = ACTIVATIONS[name].backward(place.xp, a, place.asarray(gradient, dtype))
    assert a.dtype == back.dtype == getattr(place.xp, dtype)
    np.testing.assert_allclose(place.to_numpy(a), forward(Z), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(place.to_numpy(back), gradient * derivative(Z), rtol=tolerance, atol=4 * tolerance)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_is_the_slope_of_forward(name: str) -> None:
    xp, step = np, 1e-5
    forward, backward = ACTIVATIONS[name]
    slope = (forward(xp, Z + step) - forward(xp, Z - step)) / (2 * step)
    smooth = (np.abs(Z) > 2 * step) | (name != "relu")
    np.testing.assert_allclose(backward(xp, forward(xp, Z), np.ones_like(Z))[smooth], slope[smooth], atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_extreme_input_saturates_without_overflow(place: Any, name: str) -> None:
    dtype, (forward, derivative) = "float32", REFERENCE[name]
    z = np.array([-1e4, -100.0, 100.0, 1e4])
    a = ACTIVATIONS[name].forward(place.xp, place.asarray(z, dtype))
    back = ACTIVATIONS[name].backward(place.xp, a, place.asarray(np.ones(4), dtype))
    np.testing.assert_allclose(place.to_numpy(a), forward(z), rtol=1e-6, atol=1e-15)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(place.to_numpy(back), derivative(z), rtol=1e-6, atol=1e-15)


def test_the_slope_of_relu_at_its_kink_is_0(place: Any) -> None:
    forward, backward = ACTIVATIONS["relu"]
    a = forward(place.xp, place.asarray([0.0, -0.0, 1e-300]))
    np.testing.assert_array_equal(place.to_numpy(backward(place.xp, a, place.asarray([5.0, 5.0, 5.0]))), [0, 0, 5])
