import json
from dataclasses import replace
from typing import Any

import array_api_strict
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import classification_report, confusion_matrix, log_loss

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.datasets import Dataset, Split, load_digits
from xpmlp.errors import DataError
from xpmlp.model import Model
from xpmlp.nn.layers import Layer
from xpmlp.training import Recipe, evaluate_classifier, predict, train
from xpmlp.training.prediction import ROWS_AT_A_TIME

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_digits()


@pytest.fixture(scope="module")
def model(digits: Dataset) -> Model:
    """Half trained, so that there are mistakes to count."""
    return train(digits, Recipe(hidden_layer_sizes=(16,), epochs=2))[0]


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


def test_no_samples_have_no_labels() -> None:
    prediction = predict(make_table_model(np.float32), np.empty((0, 4), dtype=np.float32))
    assert prediction.labels.shape == (0,)
    assert prediction.probabilities.shape == (0, 3)


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


def test_integer_classes_give_integer_labels() -> None:
    assert predict(make_table_model(np.float32), np.zeros((2, 4), dtype=np.float32)).labels.dtype.kind == "i"


def test_samples_of_a_wrong_size_are_refused_with_both_sizes(model: Model, digits: Dataset) -> None:
    message = r"The samples have 784 values each, but the model was trained on 64 \(shape 8×8\)"
    with pytest.raises(DataError, match=message):
        predict(model, np.zeros((3, 784), dtype=np.float32))
    with pytest.raises(DataError, match=message):
        evaluate_classifier(model, Split(np.zeros((3, 784), dtype=np.float32), np.zeros(3, dtype=np.int64)))


def test_any_backend_gives_the_same(digits: Dataset, model: Model) -> None:
    strict = predict(model, digits.test.x, Backend(array_api_strict))
    numpy = predict(model, digits.test.x, NumpyBackend())
    assert isinstance(strict.probabilities, np.ndarray)
    assert_allclose(strict.probabilities, numpy.probabilities, rtol=0, atol=1e-6)
    assert_array_equal(strict.labels, numpy.labels)
    expected = evaluate_classifier(model, digits.test)
    actual = evaluate_classifier(model, digits.test, Backend(array_api_strict))
    assert actual.loss == pytest.approx(expected.loss, rel=1e-5)
    assert_array_equal(actual.confusion, expected.confusion)


# report


@pytest.mark.parametrize("classes", [tuple(range(10)), NAMES, tuple(range(90, -10, -10))])
def test_a_report_is_what_scikit_learn_says(digits: Dataset, model: Model, classes: tuple[Any, ...]) -> None:
    model = replace(model, classes=classes)
    split = Split(digits.test.x, np.asarray(classes)[digits.test.labels])
    result = evaluate_classifier(model, split)
    prediction = predict(model, split.x)

    expected = classification_report(split.labels, prediction.labels, labels=list(classes), output_dict=True)
    assert 0.5 < expected["accuracy"] < 1.0  # there are hits and misses
    assert result.accuracy == pytest.approx(expected["accuracy"], abs=1e-12)
    assert [score.label for score in result.per_class] == list(classes)
    for score in result.per_class:
        of_class = expected[str(score.label)]
        assert (score.precision, score.recall, score.f1) == pytest.approx(
            (of_class["precision"], of_class["recall"], of_class["f1-score"]), abs=1e-12
        )
        assert score.support == of_class["support"]
    assert_array_equal(result.confusion, confusion_matrix(split.labels, prediction.labels, labels=list(classes)))
    truth = np.argmax(split.labels[:, None] == np.asarray(classes), axis=1)
    probabilities = prediction.probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # exactly 1: scikit-learn minds float32's rounding
    assert result.loss == pytest.approx(log_loss(truth, probabilities), rel=1e-5)


def test_rows_of_the_confusion_are_what_is_and_columns_what_it_is_called(model: Model, digits: Dataset) -> None:
    result = evaluate_classifier(model, digits.test)
    assert_array_equal(result.confusion.sum(axis=1), np.bincount(digits.test.labels, minlength=10))
    assert_array_equal(result.confusion.sum(axis=0), np.bincount(predict(model, digits.test.x).labels, minlength=10))


def test_a_class_that_is_neither_there_nor_predicted_scores_zero_without_a_warning(
    model: Model, digits: Dataset
) -> None:
    threes = digits.test.labels == 3
    result = evaluate_classifier(model, Split(digits.test.x[threes], digits.test.labels[threes]))
    assert len(result.per_class) == 10
    assert result.confusion.shape == (10, 10)
    never = [score for score, called in zip(result.per_class, result.confusion.sum(axis=0), strict=True) if not called]
    assert never
    assert {(score.precision, score.recall, score.f1, score.support) for score in never if score.label != 3} == {
        (0.0, 0.0, 0.0, 0)
    }
    assert result.per_class[3].support == np.count_nonzero(threes)


def test_a_report_travels_through_json(model: Model, digits: Dataset) -> None:
    result = evaluate_classifier(model, digits.test)
    values = json.loads(json.dumps(result.to_json()))
    assert list(values) == ["loss", "accuracy", "per_class", "confusion"]
    assert values["confusion"] == result.confusion.tolist()
    assert list(values["per_class"][0]) == ["label", "precision", "recall", "f1", "support"]
    assert values["per_class"][3]["recall"] == result.per_class[3].recall


def test_a_label_that_the_model_does_not_know_is_refused_by_name(model: Model, digits: Dataset) -> None:
    labels = digits.test.labels.copy()
    labels[:2] = 11
    with pytest.raises(DataError, match=r"2 of 360 rows have a label that is not among the known classes: 11"):
        evaluate_classifier(model, Split(digits.test.x, labels))


def test_a_report_on_no_rows_is_refused(model: Model) -> None:
    with pytest.raises(DataError, match="no rows"):
        evaluate_classifier(model, Split(np.empty((0, 64), dtype=np.float32), np.empty(0, dtype=np.int64)))


def test_a_sample_that_is_no_row_is_refused_with_the_way_to_make_it_one(model: Model, digits: Dataset) -> None:
    with pytest.raises(DataError, match=r"shape \(64,\).*reshape\(-1, 64\)"):
        predict(model, digits.test.x[0])
