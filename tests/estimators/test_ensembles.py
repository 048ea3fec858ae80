"""``ensemble=``: several networks behind one estimator."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from xpmlp.estimators import MLPClassifier, MLPRegressor
from xpmlp.estimators.arrays import to_host
from xpmlp.model_selection import GridSearchCV

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 15, "random_state": 0, "ensemble": 3}


def by_hand(estimator: Any, x: Any) -> Any:
    """The output of each member, one after the other."""
    (w1, w2), (b1, b2) = estimator.coefs_, estimator.intercepts_
    return np.stack([np.maximum(x @ w1[i] + b1[i], 0.0) @ w2[i] + b2[i] for i in range(len(w1))])


def test_probabilities_are_the_mean_of_the_networks_in_its_attributes(iris: Any) -> None:
    x, y = iris
    model = MLPClassifier(**SETTINGS, dropout=0.1, solver="adamw", max_grad_norm=1.0).fit(x, y)
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


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_it_comes_back_from_its_file(kind: Any, iris: Any, tmp_path: Path) -> None:
    x, y = iris
    y = np.array(["a", "b", "c"])[y] if kind is MLPClassifier else x[:, :2] + 1.0
    model = kind(**SETTINGS).fit(x, y)
    model.to_file(tmp_path / "model.safetensors")
    again = kind.from_file(tmp_path / "model.safetensors")
    assert again.ensemble == 3
    assert_array_equal(again.predict(x), model.predict(x))
    assert_allclose(again.partial_fit(x, y).coefs_[0].shape, (3, 4, 6))


@pytest.mark.parametrize("early_stopping", [True, "loss", "r2"])
def test_the_average_is_scored_on_validation_samples(iris: Any, early_stopping: Any) -> None:
    x, y = iris
    train, held_out = slice(0, None, 2), slice(1, None, 2)
    given = {"X_val": x[held_out], "y_val": y[held_out].astype(float)}
    weight = np.linspace(0.5, 2.0, 75)
    model = MLPRegressor(**SETTINGS, early_stopping=early_stopping, n_iter_no_change=15)
    model.fit(x[train], y[train].astype(float), sample_weight=weight, **given)
    best = max(model.validation_scores_)
    error = by_hand(model, x[held_out])[..., 0].mean(axis=0) - y[held_out]
    expected = -(error**2).mean() / 2 if early_stopping == "loss" else model.score(x[held_out], y[held_out])
    assert best == pytest.approx(expected, abs=1e-9)


def test_training_goes_on_with_all_networks(iris: Any) -> None:
    x, y = iris
    model = MLPClassifier(**SETTINGS, warm_start=True, dropout=0.2).fit(x, y)
    before = [coef.copy() for coef in model.coefs_]
    model.partial_fit(x, y)
    assert all(np.abs(new - old).max(axis=(1, 2)).min() > 0.0 for new, old in zip(model.coefs_, before, strict=True))
    with pytest.raises(ValueError, match="The fit has ensemble=3, not 2"):
        model.set_params(ensemble=2).fit(x, y)


def test_other_libraries_train_the_same_networks(iris: Any, library: str, convert: Any) -> None:
    x, y = iris
    expected = MLPClassifier(**SETTINGS).fit(x, y)
    found = MLPClassifier(**SETTINGS, dtype="float64").fit(convert(x), convert(y))
    assert_allclose(to_host(found.predict_proba(convert(x))), expected.predict_proba(x), atol=1e-5)


def test_a_search_over_ensembles_leaves_them_to_scikit_learn(iris: Any, caplog: pytest.LogCaptureFixture) -> None:
    x, y = iris
    with caplog.at_level("WARNING"):
        search = GridSearchCV(MLPClassifier(**SETTINGS), {"alpha": [0.0, 1.0]}, cv=2).fit(x, y)
    assert "left to scikit-learn, one by one: ensemble=3 is a population already" in caplog.text
    expected = [cross_val_score(MLPClassifier(**SETTINGS, alpha=alpha), x, y, cv=2).mean() for alpha in (0.0, 1.0)]
    assert_allclose(search.cv_results_["mean_test_score"], expected)
