"""Estimators from and to the command line's model files, and from scikit-learn's."""

import json
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


@pytest.mark.parametrize("kind", LABELS)
def test_a_classifier_comes_back_as_it_was(iris: Any, tmp_path: Path, kind: str) -> None:
    x, y = iris[0], LABELS[kind](iris[1])
    estimator = MLPClassifier(**SETTINGS, alpha=0.5).fit(x, y)
    estimator.to_file(tmp_path / "model.safetensors")
    again = MLPClassifier.from_file(tmp_path / "model.safetensors")
    assert_array_equal(again.predict_proba(x), estimator.predict_proba(x))
    assert_array_equal(again.predict(x), estimator.predict(x))
    assert again.predict(x).dtype == estimator.predict(x).dtype
    assert again.classes_.dtype == estimator.classes_.dtype
    assert again.get_params() == estimator.get_params()
    assert again.loss_curve_ == estimator.loss_curve_
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_iter_", "t_", "loss_", "best_loss_"):
        assert getattr(again, name) == getattr(estimator, name), name


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regressor_comes_back_as_it_was(iris: Any, tmp_path: Path, loss: str, outputs: int) -> None:
    x, y = iris[0], iris[0][:, 0] if outputs == 1 else iris[0][:, :2]
    estimator = MLPRegressor(loss, **SETTINGS).fit(x, y)
    estimator.to_file(tmp_path / "model.safetensors")
    again = MLPRegressor.from_file(tmp_path / "model.safetensors", dtype="float64")
    assert_array_equal(again.predict(x), estimator.predict(x))
    assert again.get_params() == estimator.get_params() | {"dtype": "float64"}


def test_training_continues(iris: Any, tmp_path: Path) -> None:
    estimator = MLPClassifier(**SETTINGS).fit(*iris)
    estimator.to_file(tmp_path / "model.safetensors")
    again = MLPClassifier.from_file(tmp_path / "model.safetensors", warm_start=True)
    before = estimator.loss_
    assert again.fit(*iris).loss_ < before
    assert len(again.loss_curve_) == 16


def test_load_model_reads_it(iris: Any, tmp_path: Path) -> None:
    estimator = MLPClassifier(**SETTINGS).fit(*iris)
    estimator.to_file(tmp_path / "model.safetensors")
    model = xpmlp.load_model(tmp_path / "model.safetensors")
    prediction = xpmlp.predict(model, iris[0])
    assert_array_equal(prediction.labels, estimator.predict(iris[0]))
    assert_allclose(prediction.probabilities, estimator.predict_proba(iris[0]), rtol=1e-12)


def test_a_model_of_the_command_line_takes_raw_values(tmp_path: Path) -> None:
    digits = xpmlp.load_dataset("digits")
    model, _ = xpmlp.train(digits, xpmlp.Recipe(hidden_layer_sizes=(16,), epochs=2))
    xpmlp.save_model(tmp_path / "model.safetensors", model)
    estimator = MLPClassifier.from_file(tmp_path / "model.safetensors")
    expected = xpmlp.predict(model, digits.test.x)
    raw = digits.test.x * np.float32(model.input_scale)
    assert_allclose(estimator.predict_proba(raw), expected.probabilities, atol=1e-6)
    assert_array_equal(estimator.predict(raw), expected.labels)
    assert estimator.score(raw, digits.test.labels) > 0.8


def test_a_softmax_of_two_becomes_one_output(iris: Any, tmp_path: Path) -> None:
    three = MLPClassifier(**SETTINGS).fit(*iris)
    three.to_file(tmp_path / "three.safetensors")
    model = xpmlp.load_model(tmp_path / "three.safetensors")
    *hidden, last = model.layers
    two = replace(model, layers=(*hidden, type(last)(last.weight[:, :2], last.bias[:, :2])), classes=("no", "yes"))
    xpmlp.save_model(tmp_path / "two.safetensors", two)
    estimator = MLPClassifier.from_file(tmp_path / "two.safetensors")
    expected = xpmlp.predict(two, iris[0])
    assert estimator.n_outputs_ == 1
    assert_allclose(estimator.predict_proba(iris[0]), expected.probabilities, atol=1e-12)
    assert_array_equal(estimator.predict(iris[0]), expected.labels)


def test_feature_names_are_saved(iris: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame(iris[0], schema=["a", "b", "c", "d"])
    MLPClassifier(**SETTINGS).fit(frame, iris[1]).to_file(tmp_path / "model.safetensors")
    again = MLPClassifier.from_file(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="The feature names should match"):
        again.predict(frame[["b", "a", "c", "d"]])


def test_parameters_that_json_cannot_hold_get_their_defaults(iris: Any, tmp_path: Path) -> None:
    estimator = MLPClassifier(
        **SETTINGS | {"random_state": np.random.RandomState(0)}, n_iter_no_change=np.inf, class_weight={0: 2.0}
    ).fit(*iris)
    estimator.to_file(tmp_path / "model.safetensors")
    again = MLPClassifier.from_file(tmp_path / "model.safetensors")
    assert (again.random_state, again.n_iter_no_change, again.class_weight) == (None, 10, None)
    assert_array_equal(again.predict(iris[0]), estimator.predict(iris[0]))


def test_an_edited_record_does_no_harm(iris: Any, tmp_path: Path) -> None:
    estimator = MLPClassifier(**SETTINGS).fit(*iris)
    estimator.to_file(tmp_path / "model.safetensors")
    model = xpmlp.load_model(tmp_path / "model.safetensors")
    for record in (
        None,
        {"class": "MLPClassifier"},
        {"class": "MLPClassifier", "parameters": {"made_up": 1}, "attributes": {"coefs_": [1]}, "label_dtype": "?!"},
        {"class": "MLPClassifier", "parameters": [], "attributes": 5, "feature_names": ["a"]},
    ):
        changed = replace(model, training=json.loads(json.dumps({"estimator": record})))
        xpmlp.save_model(tmp_path / "changed.safetensors", changed)
        again = MLPClassifier.from_file(tmp_path / "changed.safetensors")
        assert_array_equal(again.predict(iris[0]), estimator.predict(iris[0]))


def test_models_of_another_kind_are_refused(iris: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        MLPClassifier().to_file(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="are not two or more different labels"):
        MLPClassifier(**SETTINGS).fit(iris[0], np.zeros(150)).to_file(tmp_path / "model.safetensors")
    MLPRegressor(**SETTINGS).fit(*iris).to_file(tmp_path / "regressor.safetensors")
    with pytest.raises(ModelFileError, match=r"holds a model for regression. Read it with MLPRegressor.from_file"):
        MLPClassifier.from_file(tmp_path / "regressor.safetensors")
    with pytest.raises(ModelFileError, match="nothing"):
        MLPClassifier.from_file(tmp_path / "nothing.safetensors")


# scikit-learn's own networks


@pytest.mark.parametrize(
    ("activation", "dtype", "tolerance"),
    [
        ("logistic", "float32", 1e-7),
        ("relu", "float32", 1e-7),
        ("logistic", "float64", 1e-12),
        ("tanh", "float64", 1e-12),
    ],
)
@pytest.mark.parametrize("kind", ["three classes", "two classes", "multilabel", "strings"])
def test_a_converted_classifier_predicts_the_same(
    iris: Any, kind: str, activation: str, dtype: Any, tolerance: float
) -> None:
    x = iris[0].astype(dtype)
    y: Any = {
        "three classes": iris[1],
        "two classes": iris[1] > 0,
        "multilabel": np.stack([iris[1] > 0, iris[1] > 1], axis=1).astype(int),
        "strings": np.array(["a", "b", "c"])[iris[1]],
    }[kind]
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
