from dataclasses import replace
from typing import Any

import array_api_strict
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from xpmlp.backends import Backend
from xpmlp.errors import DataError
from xpmlp.model import Model
from xpmlp.nn.layers import Layer
from xpmlp.training import predict
from xpmlp.training.prediction import ROWS_AT_A_TIME


def make_table_model(dtype: Any, classes: tuple[Any, ...] = (0, 1, 2)) -> Model:
    generator = np.random.default_rng(0)
    layers = (
        Layer(generator.normal(0, 1, (4, 5)).astype(dtype), generator.normal(0, 1, (1, 5)).astype(dtype)),
        Layer(generator.normal(0, 1, (5, 3)).astype(dtype), generator.normal(0, 1, (1, 3)).astype(dtype)),
    )
    return Model(layers, "tanh", "softmax_cross_entropy", classes, (4,), 1.0)


def by_hand(model: Model, x: Any) -> Any:
    hidden, output = model.layers
    logits = np.tanh(x @ hidden.weight + hidden.bias) @ output.weight + output.bias
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


# predict


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("rows", [1, 17, 2 * ROWS_AT_A_TIME + 5])
def test_probabilities_are_the_networks_and_the_label_is_the_likeliest(rows: int, dtype: Any, tolerance: float) -> None:
    model = make_table_model(dtype, classes=("a", "b", "c"))
    x = np.random.default_rng(1).normal(0, 1, (rows, 4)).astype(dtype)
    prediction = predict(model, x)
    expected = by_hand(model, x.astype(np.float64))
    assert prediction.probabilities.dtype == dtype
    assert_allclose(prediction.probabilities, expected, rtol=0, atol=tolerance)
    assert_allclose(prediction.probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert_array_equal(prediction.labels, np.asarray(["a", "b", "c"])[expected.argmax(axis=1)])


@pytest.mark.parametrize(
    "classes",
    [
        (0, 1, 2),
        (7, -3, 10**18),
        (2**63, -1, 0),  # together in no integer type of NumPy's
        ("x", "yy", "zzz"),
        (1, "1", 2),
        ("a", "a\0", "b"),
    ],
)
def test_labels_are_the_classes_as_they_are(classes: tuple[Any, ...]) -> None:
    model = Model((Layer(np.eye(3), np.zeros((1, 3))),), "relu", "softmax_cross_entropy", classes, (3,), 1.0)
    labels = predict(model, np.eye(3)).labels.tolist()
    assert labels == list(classes)
    assert [type(label) for label in labels] == [type(label) for label in classes]


def test_integer_classes_give_integer_labels_and_no_samples_no_labels() -> None:
    model = make_table_model(np.float32)
    assert predict(model, np.zeros((2, 4), dtype=np.float32)).labels.dtype.kind == "i"
    prediction = predict(model, np.empty((0, 4), dtype=np.float32))
    assert (prediction.labels.shape, prediction.probabilities.shape) == ((0,), (0, 3))


def test_samples_of_a_wrong_size_are_refused_with_both_sizes() -> None:
    model = replace(make_table_model(np.float32), input_shape=(2, 2))
    with pytest.raises(DataError, match=r"The samples have 784 values each, but .* trained on 4 \(shape 2×2\)"):
        predict(model, np.zeros((3, 784), dtype=np.float32))
    with pytest.raises(DataError, match=r"shape \(4,\).*reshape\(-1, 4\)"):
        predict(model, np.zeros(4, dtype=np.float32))


def test_any_backend_gives_the_same() -> None:
    model = make_table_model(np.float64)
    x = np.random.default_rng(1).normal(0, 1, (17, 4))
    strict, numpy = predict(model, x, Backend(array_api_strict)), predict(model, x)
    assert isinstance(strict.probabilities, np.ndarray)
    assert_allclose(strict.probabilities, numpy.probabilities, rtol=0, atol=1e-12)
    assert_array_equal(strict.labels, numpy.labels)


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
    several = predict(model_of("logistic_cross_entropy", 3, classes=("a", "b", "c")), x)
    np.testing.assert_array_equal(several.labels, several.probabilities > 0.5)
    numbers = predict(model_of("squared_error", 2, output_names=("u", "v")), x)
    np.testing.assert_allclose(numbers.labels, x @ (np.arange(4.0).reshape(2, 2) - 1.5))
