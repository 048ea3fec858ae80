import json
from dataclasses import replace
from typing import Any

import array_api_compat.numpy
import array_api_strict
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, log_loss, mean_squared_error
from threadpoolctl import ThreadpoolController

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.datasets import Dataset, Split, load_digits
from xpmlp.errors import DataError
from xpmlp.model.model import Model
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.samples import Samples
from xpmlp.training import Recipe, Report, evaluate, evaluate_classifier, predict, train
from xpmlp.training.evaluation import loss_and_accuracy
from xpmlp.training.prediction import ROWS_AT_A_TIME, predict_outputs

RELU = ACTIVATIONS["relu"]
SOFTMAX = LOSSES["softmax_cross_entropy"]
# Fewer than one chunk, exactly one, one row more, and several.
NUMBERS_OF_ROWS = [1, ROWS_AT_A_TIME - 1, ROWS_AT_A_TIME, ROWS_AT_A_TIME + 1, 2 * ROWS_AT_A_TIME + 5]
LAYERS = init_layers(
    array_api_compat.numpy, np.random.default_rng(0), (4, 5, 3), glorot_uniform(draw_bias=True), dtype=np.float64
)


def make_samples(rows: int) -> Samples:
    generator = np.random.default_rng(rows)
    return Samples(generator.normal(0.0, 1.0, (rows, 4)), np.eye(3)[generator.integers(0, 3, rows)])


def all_at_once(x: Any) -> Any:
    hidden, output = LAYERS
    logits = np.maximum(x @ hidden.weight + hidden.bias, 0.0) @ output.weight + output.bias
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("rows", "weighted"), [*((rows, False) for rows in NUMBERS_OF_ROWS), (NUMBERS_OF_ROWS[-1], True)]
)
def test_evaluating_in_chunks_is_evaluating_all_at_once(rows: int, weighted: bool) -> None:
    samples = make_samples(rows)
    # Not one weight for all: a chunk must count by its own.
    weight = np.linspace(0.5, 3.0, rows) if weighted else None
    truth, probabilities = samples.targets.argmax(axis=1), all_at_once(samples.x)
    loss, accuracy = loss_and_accuracy(
        NumpyBackend(), LAYERS, samples._replace(weight=weight), activation=RELU, loss=SOFTMAX
    )
    expected = log_loss(truth, probabilities, sample_weight=weight, labels=[0, 1, 2])
    assert loss == pytest.approx(expected, rel=1e-12)
    hits = accuracy_score(truth, probabilities.argmax(axis=1), sample_weight=weight)
    assert accuracy == pytest.approx(hits, rel=1e-12)


@pytest.mark.parametrize("rows", [0, *NUMBERS_OF_ROWS])
def test_predicting_in_chunks_is_predicting_all_at_once(rows: int) -> None:
    x = make_samples(rows).x
    outputs = predict_outputs(NumpyBackend(), LAYERS, x, activation=RELU, loss=SOFTMAX)
    assert outputs.shape == (rows, 3)
    assert_allclose(outputs, all_at_once(x), rtol=1e-12)


def test_never_more_than_a_chunk_goes_through_the_hidden_layers_at_once() -> None:
    seen: list[int] = []

    def watched(xp: Any, z: Any) -> Any:
        seen.append(z.shape[0])
        return RELU.forward(xp, z)

    samples = make_samples(2 * ROWS_AT_A_TIME + 5)
    watching = RELU._replace(forward=watched)
    loss_and_accuracy(NumpyBackend(), LAYERS, samples, activation=watching, loss=SOFTMAX)
    predict_outputs(NumpyBackend(), LAYERS, samples.x, activation=watching, loss=SOFTMAX)
    assert seen == [ROWS_AT_A_TIME, ROWS_AT_A_TIME, 5] * 2


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
    assert strict == pytest.approx(
        loss_and_accuracy(NumpyBackend(), LAYERS, host, activation=RELU, loss=SOFTMAX), rel=1e-12
    )


def test_a_loss_without_right_and_wrong_has_no_accuracy() -> None:
    samples = make_samples(20)
    squared = LOSSES["squared_error"]
    loss, accuracy = loss_and_accuracy(NumpyBackend(), LAYERS, samples, activation=RELU, loss=squared)
    hidden, output = LAYERS
    prediction = np.maximum(samples.x @ hidden.weight + hidden.bias, 0.0) @ output.weight + output.bias
    # Half the sum over the outputs, where scikit-learn takes their mean.
    assert loss == pytest.approx(1.5 * mean_squared_error(samples.targets, prediction), rel=1e-12)
    assert accuracy is None
    outputs = predict_outputs(NumpyBackend(), LAYERS, samples.x, activation=RELU, loss=squared)
    assert_allclose(outputs, prediction, rtol=1e-12)


def test_rows_of_weight_zero_do_not_count() -> None:
    samples = make_samples(40)
    weight = (np.arange(40) < 25).astype(float)
    first = Samples(samples.x[:25], samples.targets[:25])
    found, expected = (
        loss_and_accuracy(NumpyBackend(), LAYERS, rows, activation=RELU, loss=SOFTMAX)
        for rows in (samples._replace(weight=weight), first)
    )
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("samples", [make_samples(0), make_samples(3)._replace(weight=np.zeros(3))])
def test_nothing_to_evaluate_on_is_refused(samples: Samples) -> None:
    with pytest.raises(DataError, match="no rows, or rows that all weigh 0"):
        loss_and_accuracy(NumpyBackend(), LAYERS, samples, activation=RELU, loss=SOFTMAX)


def test_small_products_stay_in_one_thread_here_too() -> None:
    pools = ThreadpoolController().select(user_api="blas")
    backend = NumpyBackend()
    used: list[int] = []

    def spy(xp: Any, z: Any) -> Any:
        used.extend(pool["num_threads"] for pool in pools.info())
        return z

    activation = ACTIVATIONS["identity"]._replace(forward=spy)
    layers = tuple(Layer(np.zeros((100, 100)), np.zeros((1, 100))) for _ in range(2))
    x = np.zeros((100, 100))  # 2 million operations
    loss = LOSSES["squared_error"]
    with pools.limit(limits=2):
        loss_and_accuracy(backend, layers, Samples(x, x), activation=activation, loss=loss)
        predict_outputs(backend, layers, x, activation=activation, loss=loss)
    assert set(used) == {1}


# Reports

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_digits()


@pytest.fixture(scope="module")
def model(digits: Dataset) -> Model:
    """Half trained, so that there are mistakes to count."""
    return train(digits, Recipe(hidden_layer_sizes=(16,), epochs=2))[0]


@pytest.mark.parametrize("classes", [NAMES, tuple(range(90, -10, -10))])
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


def test_any_backend_evaluates_alike(model: Model, digits: Dataset) -> None:
    found, expected = evaluate_classifier(model, digits.test, Backend(array_api_strict)), evaluate(model, digits.test)
    assert isinstance(expected, Report)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert_array_equal(found.confusion, expected.confusion)


def test_a_binary_classifier_with_one_output_is_evaluated() -> None:
    x = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
    layers = (Layer(np.array([[-1.5], [-0.5]]), np.zeros((1, 1))),)
    model = Model(layers, "relu", "logistic_cross_entropy", (0, 1), (2,), 1.0)
    yes = 1.0 / (1.0 + np.exp(-(x @ [-1.5, -0.5])))
    report = evaluate_classifier(model, Split(x.astype("f4"), np.array([0, 0, 1])))
    assert report.loss == pytest.approx(-np.log([1.0 - yes[0], 1.0 - yes[1], yes[2]]).mean(), rel=1e-6)
