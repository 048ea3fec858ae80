"""Whatever library computes, the network that comes out is NumPy's."""

from dataclasses import replace

import numpy as np
import pytest

from xpmlp.backends import BACKENDS, Backend, load_backend
from xpmlp.datasets import Dataset
from xpmlp.errors import BackendError, MissingDependencyError, SettingsError
from xpmlp.training import (
    DivergedError,
    FitResult,
    Recipe,
    evaluate_classifier,
    fit_dataset,
    predict,
    train,
)

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}  # of the largest weight of each array
RECIPE = Recipe(hidden_layer_sizes=(32,), epochs=5, penalty=0.1)
LEARNING_RATES = {"sgd": 0.1, "momentum": 0.05, "nesterov": 0.05, "adam": 1e-3, "adamw": 1e-3}
PAIRS = list(zip(("identity", "logistic", "tanh", "relu", "mish"), LEARNING_RATES, strict=True))


PLACES = [
    pytest.param((name, device), id=f"{name}-{device}", marks=[pytest.mark.gpu] if device == "cuda" else [])
    for name in BACKENDS
    for device in ("cpu", "cuda")
    if (name, device) != ("cupy", "cpu") and name != "numpy"
]


@pytest.fixture(params=PLACES)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn on the CPU and on a GPU; what this machine lacks is skipped by name."""
    name, device = request.param
    try:
        return load_backend(name, device)
    except MissingDependencyError:
        return pytest.skip(f"{name} is not installed")
    except (BackendError, SettingsError) as error:
        return pytest.skip(f"{name} finds no {device}: {error}")


def largest_difference(result: FitResult, expected: FitResult) -> float:
    """How far two networks are apart, as a part of the largest weight of each array."""
    pairs = [pair for layers in zip(result.layers, expected.layers, strict=True) for pair in zip(*layers, strict=True)]
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("activation", "optimizer"), PAIRS)
def test_the_same_seed_gives_numpys_network(
    backend: Backend, digits: Dataset, activation: str, optimizer: str, dtype: str
) -> None:
    recipe = replace(
        RECIPE, activation=activation, optimizer=optimizer, learning_rate=LEARNING_RATES[optimizer], dtype=dtype
    )
    expected = fit_dataset(digits, recipe)
    result = fit_dataset(digits, recipe, backend=backend)
    assert all(array.dtype == dtype for layer in result.layers for array in layer)
    assert largest_difference(result, expected) < TOLERANCE[dtype]
    losses, expected_losses = (np.array([row.objective for row in run.history], float) for run in (result, expected))
    np.testing.assert_allclose(losses, expected_losses, rtol=TOLERANCE[dtype])


def test_a_model_says_the_same_on_every_backend(backend: Backend, digits: Dataset) -> None:
    described = backend.describe()
    assert described["backend"] == backend.name
    assert described["library"].startswith(f"{backend.name} ")
    assert described["device"]
    model, _ = train(digits, RECIPE)
    there, here = predict(model, digits.test, backend), predict(model, digits.test)
    np.testing.assert_array_equal(there.labels, here.labels)
    np.testing.assert_allclose(there.probabilities, here.probabilities, atol=1e-5)
    assert evaluate_classifier(model, digits.test, backend).loss == pytest.approx(
        evaluate_classifier(model, digits.test).loss, rel=1e-5
    )


def test_no_smaller_batch_at_the_end_and_a_single_smaller_one_are_both_right(backend: Backend, digits: Dataset) -> None:
    rows = len(digits.train.x)
    assert rows % 479 == 0
    for batch_size in (479, rows, 10 * rows):
        recipe = replace(RECIPE, batch_size=batch_size, dtype="float64")
        result = fit_dataset(digits, recipe, backend=backend)
        assert largest_difference(result, fit_dataset(digits, recipe)) < TOLERANCE["float64"]


def test_overflow_is_found_at_the_same_epoch_without_a_warning(backend: Backend, digits: Dataset) -> None:
    recipe, epochs = replace(RECIPE, learning_rate=1e6, schedule="constant", optimizer="sgd"), []
    for where in (load_backend("numpy"), backend):
        with pytest.raises(DivergedError) as diverged:
            fit_dataset(digits, recipe, backend=where)
        epochs.append(diverged.value.epoch)
    assert epochs[0] == epochs[1]
