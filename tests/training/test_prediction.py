from dataclasses import replace
from typing import Any

import array_api_strict
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.datasets import Split
from xpmlp.errors import DataError
from xpmlp.model import Model
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer
from xpmlp.training import evaluate_classifier, predict


def draw_model(dtype: str) -> Model:
    generator = np.random.default_rng(0)
    layers = init_layers(np, generator, (4, 5, 3), glorot_uniform(draw_bias=True), dtype=getattr(np, dtype))
    return Model(layers, "tanh", "softmax_cross_entropy", ("a", "b", "c"), (4,), 1.0)


@pytest.mark.parametrize(
    ("backend", "dtype", "tolerance"),
    [
        (NumpyBackend(), "float32", 1e-5),
        (NumpyBackend(), "float64", 1e-12),
        (Backend(array_api_strict), "float64", 1e-12),
    ],
)
def test_probabilities_are_the_networks_and_labels_the_likeliest(
    backend: Backend, dtype: str, tolerance: float
) -> None:
    model = draw_model(dtype)
    x = np.random.default_rng(1).normal(0, 1, (17, 4))
    hidden, output = model.layers
    expected = softmax(np.tanh(x @ hidden.weight + hidden.bias) @ output.weight + output.bias, axis=1)
    prediction = predict(model, x.astype(dtype), backend)
    assert isinstance(prediction.probabilities, np.ndarray)
    assert prediction.probabilities.dtype == dtype
    assert_allclose(prediction.probabilities, expected, rtol=0, atol=tolerance)
    assert_array_equal(prediction.labels, np.asarray(["a", "b", "c"])[expected.argmax(axis=1)])
    prediction = predict(model, np.empty((0, 4), dtype), backend)
    assert (prediction.labels.shape, prediction.probabilities.shape) == ((0,), (0, 3))


def test_samples_of_a_wrong_size_and_those_that_are_no_numbers_are_refused() -> None:
    model = replace(draw_model("float32"), input_shape=(2, 2))
    with pytest.raises(DataError, match=r"The samples have 784 values each, but .* trained on 4 \(shape 2×2\)"):
        predict(model, np.zeros((3, 784), dtype=np.float32))
    with pytest.raises(DataError, match=r"shape \(4,\).*reshape\(-1, 4\)"):
        predict(model, np.zeros(4, dtype=np.float32))
    for value in (np.nan, -np.inf):
        x = np.zeros((3, 4), np.float32)
        x[2, 1] = value
        with pytest.raises(DataError, match=rf"not finite .* {value} in row 2, column 1"):
            predict(draw_model("float32"), x)


def model_of(loss: str, outputs: int, **changes: Any) -> Model:
    weight = np.arange(2.0 * outputs).reshape(2, outputs) - 1.5
    layers = (Layer(weight, np.zeros((1, outputs))),)
    arguments: dict[str, Any] = {"classes": (), "input_shape": (2,), "input_scale": 1.0}
    return Model(layers=layers, activation="relu", loss=loss, **(arguments | changes))


def test_what_the_outputs_of_each_task_mean() -> None:
    x = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
    binary = predict(model_of("logistic_cross_entropy", 1, classes=("no", "yes")), x)
    yes = 1.0 / (1.0 + np.exp(-(x @ [-1.5, -0.5])))
    np.testing.assert_allclose(binary.probabilities, np.stack([1.0 - yes, yes], axis=1))
    assert binary.labels.tolist() == ["yes" if value > 0.5 else "no" for value in yes]
    report = evaluate_classifier(
        model_of("logistic_cross_entropy", 1, classes=(0, 1)), Split(x.astype("f4"), np.array([0, 0, 1]))
    )
    assert report.loss == pytest.approx(-np.log([1.0 - yes[0], 1.0 - yes[1], yes[2]]).mean(), rel=1e-6)
    several = predict(model_of("logistic_cross_entropy", 3, classes=("a", "b", "c")), x)
    np.testing.assert_array_equal(several.labels, several.probabilities > 0.5)
    numbers = predict(model_of("squared_error", 2, output_names=("u", "v")), x)
    np.testing.assert_allclose(numbers.labels, x @ (np.arange(4.0).reshape(2, 2) - 1.5))
