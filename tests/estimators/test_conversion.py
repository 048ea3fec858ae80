"""Estimators from and to the command line's model files, and from scikit-learn's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

import xpmlp
from xpmlp.errors import ModelFileError
from xpmlp.estimators import MLPClassifier, MLPRegressor
from xpmlp.model import ModelError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (6, 5), "max_iter": 8, "random_state": 0, "activation": "tanh"}
LABELS: dict[str, Callable[[Any], Any]] = {
    "three classes": lambda y: y + 3,
    "names": lambda y: np.array(["a", "bb", "c"])[y],
    "objects": lambda y: np.array(["a", "bb", "c"], dtype=object)[y],
    "two classes": lambda y: np.where(y > 0, 7, -7),
    "booleans": lambda y: y > 0,
    "floats": lambda y: y.astype(float),
    "multilabel": lambda y: np.stack([y > 0, y > 1], axis=1).astype(int),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that a test writes its model to."""
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("kind", LABELS)
def test_a_classifier_comes_back_as_it_was(iris: Any, path: Path, kind: str) -> None:
    x, y = iris[0], LABELS[kind](iris[1])
    estimator = MLPClassifier(**SETTINGS, alpha=0.5, ensemble=3 if kind == "names" else None).fit(x, y)
    estimator.to_file(path)
    again = MLPClassifier.from_file(path)
    assert_array_equal(again.predict_proba(x), estimator.predict_proba(x))
    assert_array_equal(again.predict(x), estimator.predict(x), strict=True)
    assert again.classes_.dtype == estimator.classes_.dtype
    assert again.get_params() == estimator.get_params()
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_iter_", "t_", "loss_", "best_loss_", "loss_curve_"):
        assert getattr(again, name) == getattr(estimator, name), name
    loss = again.set_params(warm_start=True).fit(x, y).loss_
    assert loss < estimator.loss_
    assert len(again.loss_curve_) == 16


def test_a_model_of_the_command_line_takes_raw_values(path: Path) -> None:
    digits = xpmlp.load_dataset("digits")
    model, _ = xpmlp.train(digits, xpmlp.Recipe(hidden_layer_sizes=(16,), epochs=2))
    xpmlp.save_model(path, model)
    estimator = MLPClassifier.from_file(path)
    expected = xpmlp.predict(model, digits.test)
    raw = digits.test.x * np.float32(model.input_scale)
    assert_allclose(estimator.predict_proba(raw), expected.probabilities, atol=1e-6)
    assert_array_equal(estimator.predict(raw), expected.labels)
    assert estimator.score(raw, digits.test.labels) > 0.8


def test_load_model_reads_it_and_a_softmax_of_two_becomes_one_output(iris: Any, path: Path) -> None:
    three = MLPClassifier(**SETTINGS).fit(*iris)
    three.to_file(path)
    model = xpmlp.load_model(path)
    prediction = xpmlp.predict(model, iris[0])
    assert_array_equal(prediction.labels, three.predict(iris[0]))
    assert_allclose(prediction.probabilities, three.predict_proba(iris[0]), rtol=1e-12)
    *hidden, last = model.layers
    two = replace(model, layers=(*hidden, type(last)(last.weight[:, :2], last.bias[:, :2])), classes=("no", "yes"))
    xpmlp.save_model(path, two)
    estimator = MLPClassifier.from_file(path)
    expected = xpmlp.predict(two, iris[0])
    assert estimator.n_outputs_ == 1
    assert_allclose(estimator.predict_proba(iris[0]), expected.probabilities, atol=1e-12)
    assert_array_equal(estimator.predict(iris[0]), expected.labels)


def test_feature_names_are_saved_and_parameters_that_json_cannot_hold_get_their_defaults(iris: Any, path: Path) -> None:
    frame = pl.DataFrame(iris[0], schema=["a", "b", "c", "d"])
    settings = SETTINGS | {"random_state": np.random.RandomState(0), "n_iter_no_change": np.inf}
    estimator = MLPClassifier(**settings, class_weight={0: 2.0}).fit(frame, iris[1])
    estimator.to_file(path)
    again = MLPClassifier.from_file(path)
    assert (again.random_state, again.n_iter_no_change, again.class_weight) == (None, 10, None)
    assert_array_equal(again.predict(frame), estimator.predict(frame))
    with pytest.raises(ValueError, match="The feature names should match"):
        again.predict(frame[["b", "a", "c", "d"]])


@pytest.mark.parametrize(
    "record",
    [
        None,
        {"class": "MLPClassifier"},
        {"class": "MLPClassifier", "parameters": {"made_up": 1}, "attributes": {"coefs_": [1]}, "label_dtype": "?!"},
        {"class": "MLPClassifier", "parameters": [], "attributes": 5, "feature_names": ["a"]},
    ],
)
def test_an_edited_record_does_no_harm(iris: Any, path: Path, record: Any) -> None:
    estimator = MLPClassifier(**SETTINGS).fit(*iris)
    estimator.to_file(path)
    xpmlp.save_model(path, replace(xpmlp.load_model(path), training={"estimator": record}))
    assert_array_equal(MLPClassifier.from_file(path).predict(iris[0]), estimator.predict(iris[0]))


def test_models_of_another_kind_are_refused(iris: Any, path: Path) -> None:
    with pytest.raises(NotFittedError):
        MLPClassifier().to_file(path)
    with pytest.raises(ModelError, match="are not two or more different labels"):
        MLPClassifier(**SETTINGS).fit(iris[0], np.zeros(150)).to_file(path)
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        MLPClassifier.from_file(path)
    MLPRegressor(**SETTINGS).fit(*iris).to_file(path)
    with pytest.raises(ModelFileError, match=r"holds a model for regression. Read it with MLPRegressor.from_file"):
        MLPClassifier.from_file(path)


# scikit-learn's own networks


@pytest.mark.parametrize(
    ("activation", "dtype", "tolerance"),
    [("logistic", "float32", 1e-7), ("relu", "float32", 1e-7), ("logistic", "float64", 1e-12)],
)
@pytest.mark.parametrize("kind", ["three classes", "two classes", "multilabel", "names"])
def test_a_converted_classifier_predicts_the_same(
    iris: Any, kind: str, activation: str, dtype: Any, tolerance: float
) -> None:
    x, y = iris[0].astype(dtype), LABELS[kind](iris[1])
    theirs = sklearn.neural_network.MLPClassifier(**SETTINGS | {"activation": activation}).fit(x, y)
    ours = MLPClassifier.from_sklearn(theirs)
    assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=0, atol=tolerance)
    assert_array_equal(ours.predict(x), theirs.predict(x))
    assert ours.get_params().items() >= theirs.get_params().items()


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_converted_regressor_predicts_the_same(iris: Any, loss: str) -> None:
    frame = pl.DataFrame(iris[0], schema=["a", "b", "c", "d"])
    theirs = sklearn.neural_network.MLPRegressor(loss, **SETTINGS).fit(frame, iris[1])
    ours = MLPRegressor.from_sklearn(theirs)
    assert_allclose(ours.predict(frame), theirs.predict(frame), rtol=0, atol=1e-12)
    assert ours.feature_names_in_.tolist() == ["a", "b", "c", "d"]


def test_only_a_fitted_network_of_the_same_class_is_converted(iris: Any) -> None:
    with pytest.raises(NotFittedError):
        MLPClassifier.from_sklearn(sklearn.neural_network.MLPClassifier())
    with pytest.raises(TypeError, match=r"takes a fitted sklearn.neural_network.MLPRegressor, not an instance of"):
        MLPRegressor.from_sklearn(sklearn.neural_network.MLPClassifier(**SETTINGS).fit(*iris))
