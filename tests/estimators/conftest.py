"""Small data sets, and the array libraries that an estimator may be handed."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from xpmlp.backends import BACKENDS, usable_backends


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
