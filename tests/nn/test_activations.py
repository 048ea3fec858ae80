from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

from xpmlp.nn.activations import ACTIVATIONS, find_activation, of_each_layer
from xpmlp.nn.own import own_activation

# The fixed point of mean 0 and variance 1, from the two equations of Klambauer et al., solved with 50 digits.
ALPHA, LAMBDA = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def gelu_argument(z: Any) -> Any:
    return np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)


# Each function and its derivative, from SciPy and NumPy.
REFERENCE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "identity": (lambda z: z, np.ones_like),
    "logistic": (special.expit, lambda z: special.expit(z) * special.expit(-z)),
    "tanh": (np.tanh, lambda z: 1.0 / np.cosh(z) ** 2),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (lambda z: np.where(z > 0, z, z / 100), lambda z: np.where(z > 0, 1.0, 0.01)),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(z)), lambda z: np.where(z > 0, 1.0, np.exp(z))),
    "selu": (
        lambda z: LAMBDA * np.where(z > 0, z, ALPHA * np.expm1(z)),
        lambda z: LAMBDA * np.where(z > 0, 1.0, ALPHA * np.exp(z)),
    ),
    "softplus": (lambda z: np.logaddexp(0.0, z), special.expit),
    "silu": (
        lambda z: z * special.expit(z),
        lambda z: special.expit(z) * (1.0 + z * special.expit(-z)),
    ),
    "gelu": (
        lambda z: z / 2 * (1.0 + np.tanh(gelu_argument(z))),
        lambda z: (
            (1.0 + np.tanh(gelu_argument(z))) / 2
            + z / 2 / np.cosh(gelu_argument(z)) ** 2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z**2)
        ),
    ),
    "mish": (
        lambda z: z * np.tanh(np.logaddexp(0.0, z)),
        lambda z: np.tanh(np.logaddexp(0.0, z)) + z * special.expit(z) / np.cosh(np.logaddexp(0.0, z)) ** 2,
    ),
}
# Saturates without overflow; the slope at a kink is that on its left.
EXTREME = [-1e4, -100.0, 0.0, -0.0, 100.0, 1e4]
Z = np.concatenate([np.linspace(-8.0, 8.0, 41), [-1e-9, 1e-9, -0.3, 0.7], EXTREME])


def check(place: Any, name: str, dtype: str, tolerance: float) -> None:
    forward, derivative = REFERENCE[name]
    gradient = np.random.default_rng(0).normal(0.0, 1.0, Z.shape)
    z = place.asarray(Z, dtype)
    a = place.bind(ACTIVATIONS[name].forward)(z)
    kept = z if ACTIVATIONS[name].from_input else a
    back = place.bind(ACTIVATIONS[name].backward)(kept, place.asarray(gradient, dtype))
    assert a.dtype == back.dtype == getattr(place.xp, dtype)
    with np.errstate(over="ignore", under="ignore"):
        expected, slope = forward(Z), gradient * derivative(Z)
    np.testing.assert_allclose(place.to_numpy(a), expected, rtol=tolerance, atol=4 * tolerance)
    np.testing.assert_allclose(place.to_numpy(back), slope, rtol=tolerance, atol=12 * tolerance)


def test_forward_and_backward_are_the_function_and_its_derivative(place: Any) -> None:
    for name in ACTIVATIONS:
        check(place, name, "float32", 2e-7)
        if place.name == "numpy":
            check(place, name, "float64", 1e-15)


def test_a_name_may_hold_an_activation_for_each_layer() -> None:
    tanh, relu = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]
    assert find_activation("tanh") is tanh
    assert of_each_layer(find_activation("tanh"), 2) == (tanh, tanh)
    assert of_each_layer(find_activation("tanh,relu"), 2) == (tanh, relu)
    with pytest.raises(ValueError, match="2 activations for 3 hidden layers"):
        of_each_layer((tanh, relu), 3)
    with pytest.raises(ValueError, match="'sin' is not one of identity, logistic"):
        find_activation("tanh,sin")


def test_ones_own_pair_of_functions_is_an_activation_and_a_wrong_shape_is_named(place: Any) -> None:
    own = own_activation(lambda xp, z: xp.sin(z), lambda xp, z: xp.cos(z))
    z = place.asarray([[0.5, -2.0]])
    np.testing.assert_allclose(place.to_numpy(own.forward(place.xp, z)), np.sin([[0.5, -2.0]]), rtol=1e-12)
    slopes = own.backward(place.xp, z, place.asarray([[1.0, 3.0]]))
    np.testing.assert_allclose(place.to_numpy(slopes), np.cos([[0.5, -2.0]]) * [[1.0, 3.0]], rtol=1e-12)

    def total(xp: Any, z: Any) -> Any:
        return xp.sum(z, axis=-1)

    with pytest.raises(ValueError, match=r"function total returned an array of shape \(1,\), expected .*\(1, 2\)"):
        own_activation(total, total).forward(place.xp, z)
