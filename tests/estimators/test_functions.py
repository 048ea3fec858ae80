"""What users ask for: losses and activations, AdamW, clipped gradients, smoothed labels, bounded outputs, ensembles."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_pinball_loss

from xpmlp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.normal(0.0, 1.0, (400, 3))
Y = np.exp(0.5 * X[:, 0] + 0.3 * RNG.normal(0.0, 1.0, 400))
LABELS = np.digitize(Y, [0.8, 1.3])
QUICK: dict[str, Any] = {"max_iter": 40, "random_state": 0, "learning_rate_init": 0.01}


def sine(xp: Any, z: Any) -> Any:
    return xp.sin(z)


def cosine(xp: Any, z: Any) -> Any:
    return xp.cos(z)


def double_error(xp: Any, outputs: Any, targets: Any) -> Any:
    difference = outputs - targets
    return xp.sum(difference * difference, axis=-1), 2.0 * difference


REGRESSORS: dict[str, dict[str, Any]] = {
    "absolute error": {"loss": "absolute_error"},
    "huber": {"loss": "huber", "huber_delta": 0.5},
    "gamma": {"loss": "gamma", "activation": "softplus"},
    "one quantile": {"loss": "quantile", "quantiles": 0.5, "activation": "gelu"},
    "positive": {"out_activation": "softplus", "activation": "selu"},
    "adamw, clipped": {"solver": "adamw", "alpha": 0.01, "max_grad_norm": 1.0, "activation": "elu"},
    "each layer": {"activation": ("tanh", "mish"), "hidden_layer_sizes": (30, 20), "dropout": (0.0, 0.05)},
    "lbfgs": {"solver": "lbfgs", "loss": "huber", "activation": "silu", "alpha": 1.0},
    "one's own": {"activation": (sine, cosine), "loss": double_error},
    "early stopping": {"loss": "absolute_error", "early_stopping": True},
    "ensemble": {"ensemble": 3},
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_learn_with_every_choice_and_come_back_from_a_file(name: str, tmp_path: Path) -> None:
    network = clone(MLPRegressor(**QUICK | REGRESSORS[name])).fit(X, Y)
    # The best of all functions explains 0.78 of the variance.
    assert network.score(X, Y) > (0.45 if name == "one quantile" else 0.6)
    if name == "one's own":
        with pytest.raises(ValueError, match=r"no functions? of one's own. Save the estimator with joblib"):
            network.to_file(tmp_path / "model.safetensors")
        return
    network.to_file(tmp_path / "model.safetensors")
    again = MLPRegressor.from_file(tmp_path / "model.safetensors", dtype="float64")
    assert_array_equal(again.predict(X), network.predict(X))
    in_file = {"dtype": "float64"} | ({"quantiles": (0.5,)} if name == "one quantile" else {})
    assert again.get_params() == network.get_params() | in_file
    if name == "ensemble":
        assert [coef.shape for coef in again.partial_fit(X, Y).coefs_] == [(3, 3, 100), (3, 100, 1)]


def test_quantiles_cover_what_they_say_never_cross_and_beat_straight_lines() -> None:
    levels = (0.1, 0.5, 0.9)
    settings = QUICK | {"hidden_layer_sizes": (30,), "max_iter": 150}
    predictions = MLPRegressor("quantile", **settings, quantiles=np.asarray(levels)).fit(X, Y).predict(X)
    assert predictions.shape == (400, 3)
    assert np.all(np.diff(predictions, axis=1) >= 0.0)
    for level, column in zip(levels, predictions.T, strict=True):
        assert np.mean(column >= Y) == pytest.approx(level, abs=0.05)
        line = QuantileRegressor(quantile=level, alpha=0.0).fit(X, Y)
        assert mean_pinball_loss(Y, column, alpha=level) < mean_pinball_loss(Y, line.predict(X), alpha=level)
    two = MLPRegressor(hidden_layer_sizes=(5,), loss="quantile", max_iter=3).fit(X, np.stack([Y, Y], axis=1))
    assert two.predict(X).shape == (400, 2, 3)


def test_bounded_outputs_stay_within_their_bounds() -> None:
    share = 1.0 / (1.0 + np.exp(-3.0 * X[:, 0]))
    network = MLPRegressor(**QUICK | {"hidden_layer_sizes": (10,), "max_iter": 60}, out_activation="logistic")
    predictions = network.fit(X, share).predict(10.0 * X)
    assert predictions.min() >= 0.0
    assert predictions.max() <= 1.0
    assert network.score(X, share) > 0.95
    assert network.out_activation_ == "logistic"


def test_smoothed_labels_make_a_classifier_less_sure_of_itself() -> None:
    for y in (LABELS, LABELS > 1):
        settings = QUICK | {"hidden_layer_sizes": (30,), "max_iter": 300}
        sure, smoothed = (MLPClassifier(**settings, label_smoothing=s).fit(X, y) for s in (0.0, 0.3))
        assert smoothed.predict_proba(X).max() < 0.97 < sure.predict_proba(X).max()
        assert smoothed.score(X, y) > sure.score(X, y) - 0.1


def total(xp: Any, z: Any) -> Any:
    return xp.sum(z)


def mean_error(xp: Any, outputs: Any, targets: Any) -> Any:
    return xp.mean((outputs - targets) ** 2), outputs - targets


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": mean_error}, r"the loss mean_error returned as losses an array of shape \(\), expected .*\(200,\)"),
        ({"activation": (total, total)}, r"function total returned an array of shape \(\), expected .*\(200, 100\)"),
        ({"activation": ("tanh", "relu")}, "2 activations for 1 hidden layers"),
        ({"activation": ("tanh", "sin"), "hidden_layer_sizes": (3, 3)}, "'sin' is not one of identity"),
        ({"loss": "quantile", "quantiles": (0.5, 1.5)}, "the quantile 1.5 is not between 0 and 1"),
        ({"loss": "quantile", "quantiles": (0.9, 0.1)}, "not in ascending order"),
        ({"loss": "quantile", "quantiles": ()}, r"must be numbers between 0 and 1, got \(\)"),
        ({"loss": "quantile", "quantiles": ("0.5",)}, "must be numbers between 0 and 1"),
        ({"loss": "poisson", "out_activation": "tanh"}, "poisson has an output function of its own"),
        ({"dropout": (0.1, 0.2)}, "a number for each of 1 hidden layers"),
        ({"solver": "lbfgs", "max_grad_norm": 1.0}, "no steps to shorten"),
    ],
)
def test_what_does_not_fit_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**settings).fit(X, Y)


# Several networks behind one estimator

THREE: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 15, "random_state": 0, "ensemble": 3}


def by_hand(estimator: Any, x: Any) -> Any:
    """The output of each member, one after the other."""
    (w1, w2), (b1, b2) = estimator.coefs_, estimator.intercepts_
    return np.stack([np.maximum(x @ w1[i] + b1[i], 0.0) @ w2[i] + b2[i] for i in range(len(w1))])


def test_probabilities_are_the_mean_of_the_networks_in_its_attributes(iris: Any) -> None:
    x, y = iris
    model = MLPClassifier(**THREE, dropout=0.1, solver="adamw", max_grad_norm=1.0).fit(x, y)
    assert [coef.shape for coef in model.coefs_] == [(3, 4, 6), (3, 6, 3)]
    assert [intercept.shape for intercept in model.intercepts_] == [(3, 6), (3, 3)]
    assert np.ptp(model.coefs_[0], axis=0).min() > 0.0
    p = softmax(by_hand(model, x), axis=-1).mean(axis=0)
    assert_allclose(model.predict_proba(x), p, atol=1e-12)
    assert_array_equal(model.predict(x), p.argmax(axis=1))
    assert len(model.loss_curve_) == model.n_iter_
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    assert_array_equal(clone(model).fit(x, y).predict_proba(x), model.predict_proba(x))
    assert MLPClassifier().ensemble is None


def test_training_goes_on_with_all_networks(iris: Any) -> None:
    x, y = iris
    model = MLPClassifier(**THREE, warm_start=True, dropout=0.2).fit(x, y)
    before = [coef.copy() for coef in model.coefs_]
    model.partial_fit(x, y)
    assert all(np.abs(new - old).max(axis=(1, 2)).min() > 0.0 for new, old in zip(model.coefs_, before, strict=True))
    with pytest.raises(ValueError, match="The fit has ensemble=3, not 2"):
        model.set_params(ensemble=2).fit(x, y)
