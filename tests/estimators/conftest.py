"""Small data sets, and the array libraries that an estimator may be handed."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris

from xpmlp.backends import BACKENDS, usable_backends
from xpmlp.estimators.arrays import to_host


@pytest.fixture(scope="session")
def iris() -> tuple[Any, Any]:
    """150 flowers of three kinds, in float64."""
    x, y = load_iris(return_X_y=True)
    return x, y


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.gpu] * (name == "cupy")) for name in BACKENDS if name != "numpy"]
)
def library(request: pytest.FixtureRequest) -> str:
    """Each library but NumPy in turn; those that do not work here are skipped."""
    name: str = request.param
    if name not in usable_backends():
        pytest.skip(f"{name} cannot be used here")
    return name


@pytest.fixture
def convert(library: str) -> Callable[[Any], Any]:
    """A function from NumPy's arrays to the library's, as its users make them: on its default device."""
    module = importlib.import_module({"torch": "torch", "jax": "jax.numpy", "cupy": "cupy"}[library])
    return lambda array: module.asarray(np.array(array))


@pytest.fixture(scope="session")
def assert_same_network() -> Callable[..., None]:
    """A function that compares the weights of two estimators, on any device."""

    def check(estimator: Any, reference: Any, tolerance: float = 0.0) -> None:
        pairs = zip(estimator.coefs_ + estimator.intercepts_, reference.coefs_ + reference.intercepts_, strict=True)
        for mine, other in pairs:
            assert_allclose(to_host(mine), to_host(other), rtol=0, atol=tolerance)

    return check
