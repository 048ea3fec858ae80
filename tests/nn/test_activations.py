from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

from xpmlp.nn.activations import ACTIVATIONS

# Each function and its derivative, from SciPy and NumPy.
REFERENCE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "identity": (lambda z: z, np.ones_like),
    "logistic": (special.expit, lambda z: special.expit(z) * special.expit(-z)),
    "tanh": (np.tanh, lambda z: 1.0 / np.cosh(z) ** 2),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 0, 1.0, 0.0)),
}
EXTREME = [-1e4, -100.0, 0.0, -0.0, 100.0, 1e4]  # saturates without overflow; the slope of relu at its kink is 0
Z = np.concatenate([np.linspace(-8.0, 8.0, 41), [-1e-9, 1e-9, -0.3, 0.7], EXTREME])


def check(place: Any, name: str, dtype: str, tolerance: float) -> None:
    forward, derivative = REFERENCE[name]
    gradient = np.random.default_rng(0).normal(0.0, 1.0, Z.shape)
    a = place.bind(ACTIVATIONS[name].forward)(place.asarray(Z, dtype))
    back = place.bind(ACTIVATIONS[name].backward)(a, place.asarray(gradient, dtype))
    assert a.dtype == back.dtype == getattr(place.xp, dtype)
    with np.errstate(over="ignore"):
        expected = gradient * derivative(Z)
    np.testing.assert_allclose(place.to_numpy(a), forward(Z), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(place.to_numpy(back), expected, rtol=tolerance, atol=4 * tolerance)


def test_forward_and_backward_are_the_function_and_its_derivative(place: Any) -> None:
    for name in ACTIVATIONS:
        check(place, name, "float32", 2e-7)
        if place.name == "numpy":
            check(place, name, "float64", 1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_is_the_slope_of_forward(name: str) -> None:
    z, step = Z[: -len(EXTREME)], 1e-5
    forward, backward = ACTIVATIONS[name]
    slope = (forward(np, z + step) - forward(np, z - step)) / (2 * step)
    smooth = (np.abs(z) > 2 * step) | (name != "relu")
    np.testing.assert_allclose(backward(np, forward(np, z), np.ones_like(z))[smooth], slope[smooth], atol=1e-9)
