import json
import sys
from dataclasses import asdict, replace
from typing import Any

import array_api_compat.numpy
import array_api_strict
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    classification_report,
    confusion_matrix,
    log_loss,
    roc_auc_score,
    root_mean_squared_error,
)
from threadpoolctl import ThreadpoolController

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.datasets import Dataset, Split, load_dataset
from xpmlp.errors import DataError
from xpmlp.model.model import Model
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.samples import Samples
from xpmlp.training import Recipe, RegressionReport, evaluate, evaluate_classifier, evaluate_regression, predict, train
from xpmlp.training.baseline import describe_baselines, linear_score
from xpmlp.training.evaluation import area_under_roc, loss_and_accuracy
from xpmlp.training.prediction import ROWS_AT_A_TIME, predict_outputs

RELU = ACTIVATIONS["relu"]
SOFTMAX = LOSSES["softmax_cross_entropy"]
# Fewer than one chunk, exactly one, one row more, and several.
NUMBERS_OF_ROWS = [1, ROWS_AT_A_TIME, ROWS_AT_A_TIME + 1, 2 * ROWS_AT_A_TIME + 5]
LAYERS = init_layers(
    array_api_compat.numpy, np.random.default_rng(0), (4, 5, 3), glorot_uniform(draw_bias=True), dtype=np.float64
)


def make_samples(rows: int) -> Samples:
    generator = np.random.default_rng(rows)
    return Samples(generator.normal(0.0, 1.0, (rows, 4)), np.eye(3)[generator.integers(0, 3, rows)])


@pytest.mark.parametrize("rows", NUMBERS_OF_ROWS)
def test_computing_in_chunks_is_computing_all_at_once(rows: int) -> None:
    samples, (hidden, output) = make_samples(rows), LAYERS
    # Weights that differ, for a chunk must count by its own; those of 0 do not count at all.
    weight = np.linspace(0.5, 3.0, rows) * (np.arange(rows) % 3 != 1)
    truth = samples.targets.argmax(axis=1)
    logits = np.maximum(samples.x @ hidden.weight + hidden.bias, 0.0) @ output.weight + output.bias
    expected = softmax(logits, axis=1)
    seen: list[int] = []

    def watched(xp: Any, z: Any) -> Any:
        seen.append(z.shape[0])
        return RELU.forward(xp, z)

    settings: dict[str, Any] = {"activation": RELU._replace(forward=watched), "loss": SOFTMAX}
    loss, accuracy = loss_and_accuracy(NumpyBackend(), LAYERS, samples._replace(weight=weight), **settings)
    assert loss == pytest.approx(log_loss(truth, expected, sample_weight=weight, labels=[0, 1, 2]), rel=1e-12)
    hits = accuracy_score(truth, expected.argmax(axis=1), sample_weight=weight)
    assert accuracy == pytest.approx(hits, rel=1e-12)
    assert_allclose(predict_outputs(NumpyBackend(), LAYERS, samples.x, **settings), expected, rtol=1e-12)
    assert max(seen) <= ROWS_AT_A_TIME
    assert sum(seen) == 2 * rows


def test_nothing_is_read_back_before_all_rows_are_through(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(array_api_strict)
    layers = tuple(type(layer)(*map(backend.asarray, layer)) for layer in LAYERS)
    host = make_samples(2 * ROWS_AT_A_TIME + 5)
    array_class = type(array_api_strict.asarray(0.0))
    chunks_at_reading: list[int] = []
    chunks: list[int] = []
    to_float = array_class.__float__

    def counting_float(array: Any) -> float:
        chunks_at_reading.append(len(chunks))
        return float(to_float(array))

    def counting_hits(*arguments: Any) -> Any:
        assert SOFTMAX.is_correct is not None
        chunks.append(1)
        return SOFTMAX.is_correct(*arguments)

    monkeypatch.setattr(array_class, "__float__", counting_float)
    samples = Samples(backend.asarray(host.x), backend.asarray(host.targets))
    loss = SOFTMAX._replace(is_correct=counting_hits)
    strict = loss_and_accuracy(backend, layers, samples, activation=RELU, loss=loss)
    assert len(chunks) == 3
    assert set(chunks_at_reading) == {3}
    expected = loss_and_accuracy(NumpyBackend(), LAYERS, host, activation=RELU, loss=SOFTMAX)
    assert strict == pytest.approx(expected, rel=1e-12)


def test_small_products_stay_in_one_thread_here_too() -> None:
    pools = ThreadpoolController().select(user_api="blas")
    used: list[int] = []

    def spy(xp: Any, z: Any) -> Any:
        used.extend(pool["num_threads"] for pool in pools.info())
        return RELU.forward(xp, z)

    settings: dict[str, Any] = {"activation": RELU._replace(forward=spy), "loss": LOSSES["squared_error"]}
    layers = tuple(Layer(np.zeros((100, 100)), np.zeros((1, 100))) for _ in range(2))
    x = np.zeros((100, 100))  # 2 million operations
    with pools.limit(limits=2):
        loss_and_accuracy(NumpyBackend(), layers, Samples(x, x), **settings)
        predict_outputs(NumpyBackend(), layers, x, **settings)
    assert set(used) == {1}


# Reports

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def model(digits: Dataset) -> Model:
    """Half trained, so that there are mistakes to count."""
    return train(digits, Recipe(hidden_layer_sizes=(16,), epochs=2))[0]


@pytest.mark.parametrize("classes", [NAMES, tuple(range(90, -10, -10))])
def test_a_report_is_what_scikit_learn_says(digits: Dataset, model: Model, classes: tuple[Any, ...]) -> None:
    model = replace(model, classes=classes)
    split = Split(digits.test.x, np.asarray(classes)[digits.test.labels])
    result = evaluate_classifier(model, split)
    prediction = predict(model, split)

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

    values = json.loads(json.dumps(result.to_json()))
    names = {"loss", "accuracy", "per_class", "confusion", "balanced_accuracy", "constant_accuracy", "roc_auc"}
    assert values.keys() == names
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(split.labels, prediction.labels))
    assert values["constant_accuracy"] == np.max(np.unique(split.labels, return_counts=True)[1]) / split.rows
    assert values["roc_auc"] is None
    assert values["confusion"] == result.confusion.tolist()
    assert values["per_class"] == list(map(asdict, result.per_class))
    elsewhere = evaluate_classifier(model, split, Backend(array_api_strict))
    assert elsewhere.loss == pytest.approx(result.loss, rel=1e-5)
    assert_array_equal(elsewhere.confusion, result.confusion)


def test_two_classes_have_scikit_learns_area_under_the_roc_curve() -> None:
    generator = np.random.default_rng(0)
    for scores in (generator.normal(size=200), generator.integers(0, 5, 200).astype(np.float64)):
        positive = generator.random(200) < 0.1 + 0.2 * (scores > 1)
        assert area_under_roc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    cancer = load_dataset("breast_cancer")
    model, _ = train(cancer, epochs=2, verbose=False)
    report = evaluate_classifier(model, cancer.test)
    malignant = predict(model, cancer.test).probabilities[:, 1]
    assert report.roc_auc == pytest.approx(roc_auc_score(cancer.test.labels == "malignant", malignant), abs=1e-12)
    only = cancer.test.take(np.flatnonzero(cancer.test.labels == "benign"))
    assert evaluate_classifier(model, only).roc_auc is None


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "diabetes"])
def test_a_linear_model_and_a_constant_are_scikit_learns(name: str) -> None:
    data = load_dataset(name)
    fitted = (LogisticRegression() if data.classes else Ridge()).fit(data.train.x, data.train.labels)
    linear = linear_score(data.train, data.test, data.classes)
    assert linear == pytest.approx(fitted.score(data.test.x, data.test.labels), abs=0.01)
    dummy = (DummyClassifier() if data.classes else DummyRegressor()).fit(data.test.x, data.test.labels)
    model, _ = train(data, epochs=1, verbose=False)
    report = evaluate(model, data.test)
    if isinstance(report, RegressionReport):
        rmse = root_mean_squared_error(data.test.labels, dummy.predict(data.test.x))
        assert report.constant_rmse == pytest.approx(rmse)
        assert describe_baselines(report, linear) == (
            f"for comparison: R² 0 and RMSE {rmse:.4g} by always predicting the mean, R² {linear:.4f} by a linear model"
        )
    else:
        assert report.constant_accuracy == dummy.score(data.test.x, data.test.labels)
        assert f"by always predicting {report.commonest.label!r}" in describe_baselines(report, None)


def test_scikit_learns_doubts_about_many_classes_stay_its_own(digits: Dataset) -> None:
    few = replace(digits.train.take(np.arange(30)), labels=np.arange(30) % 20)
    assert linear_score(few, few, tuple(range(20)), with_forest=True) == 1.0


def test_a_linear_model_that_would_take_long_is_left_out(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["xpmlp.training.baseline"], "MOST_VALUES", 1437 * 64 * 10 - 1)
    assert linear_score(digits.train, digits.test, digits.classes) is None


def test_a_class_neither_there_nor_predicted_scores_zero_without_warning(model: Model, digits: Dataset) -> None:
    threes = digits.test.labels == 3
    result = evaluate_classifier(model, digits.test.take(np.flatnonzero(threes)))
    never = [score for score, column in zip(result.per_class, result.confusion.T, strict=True) if not column.any()]
    assert {(score.precision, score.recall, score.f1, score.support) for score in never} == {(0.0, 0.0, 0.0, 0)}
    assert result.per_class[3].support == np.count_nonzero(threes)


def test_rows_that_do_not_suit_the_model_are_refused(model: Model, digits: Dataset) -> None:
    labels = digits.test.labels.copy()
    labels[:2] = 11
    for x, y, message in (
        (digits.test.x, labels, r"2 of 360 rows have a label that is not among the known classes: 11"),
        (digits.test.x[:0], labels[:0], "no rows"),
        (np.zeros((3, 784), np.float32), labels[2:5], r"have 784 values each, .* trained on 64 \(shape 8×8\)"),
    ):
        with pytest.raises(DataError, match=message):
            evaluate(model, Split(x, y))
    with pytest.raises(DataError, match="does not predict a single number"):
        evaluate_regression(model, digits.test)
