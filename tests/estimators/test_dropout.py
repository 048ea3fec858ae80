"""Dropout: off in prediction, reproducible in training, the same on every library."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from xpmlp.backends import infer_backend
from xpmlp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (20, 10), "max_iter": 10, "random_state": 0}


def test_masks_follow_the_seed_and_prediction_drops_nothing(iris: Any) -> None:
    first, second = (MLPClassifier(**SETTINGS, dropout=0.5).fit(*iris) for _ in range(2))
    assert_array_equal(first.coefs_[0], second.coefs_[0])
    assert_array_equal(first.predict_proba(iris[0]), first.predict_proba(iris[0]))
    plain, none = MLPClassifier(**SETTINGS).fit(*iris), MLPClassifier(**SETTINGS, dropout=0.0).fit(*iris)
    assert_array_equal(plain.coefs_[0], none.coefs_[0])
    assert not np.allclose(first.coefs_[0], plain.coefs_[0], atol=1e-3)


def test_partial_fit_and_warm_start_draw_new_masks(iris: Any) -> None:
    settings = SETTINGS | {"dropout": 0.5, "shuffle": False, "learning_rate_init": 1e-12, "alpha": 0.0}
    estimator = MLPClassifier(**settings)
    for _ in range(4):
        estimator.partial_fit(*iris, classes=[0, 1, 2])
    # The weights do not change: the losses differ by the masks.
    assert len(set(estimator.loss_curve_)) == 4
    estimator.set_params(max_iter=2, warm_start=True).fit(*iris)
    assert len(set(estimator.loss_curve_)) == 6


def test_the_mean_loss_is_the_expectation(iris: Any) -> None:
    x = iris[0]
    # Without activation, the mean prediction over all masks is the prediction without dropout.
    settings = SETTINGS | {"hidden_layer_sizes": (200,), "activation": "identity", "alpha": 0.0, "shuffle": False}
    still = settings | {"learning_rate_init": 1e-12, "max_iter": 300, "tol": 0.0, "n_iter_no_change": 1000}
    plain = MLPRegressor(**still).fit(x, x[:, 0])
    dropped = MLPRegressor(**still, dropout=0.3).fit(x, x[:, 0])
    hidden = x @ plain.coefs_[0] + plain.intercepts_[0]
    variance = 0.3 / 0.7 * np.mean((hidden**2) @ plain.coefs_[1] ** 2)
    assert_allclose(dropped.coefs_[0], plain.coefs_[0], atol=1e-6)
    assert np.mean(dropped.loss_curve_) == pytest.approx(plain.loss_ + variance / 2, rel=0.02)


def test_every_library_trains_the_same_network(iris: Any, library: str, convert: Callable[[Any], Any]) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    reference = MLPClassifier(**SETTINGS, dropout=0.4).fit(x, y)
    estimator = MLPClassifier(**SETTINGS, dropout=0.4).fit(convert(x), convert(y))
    backend = infer_backend(estimator.coefs_[0])
    for mine, expected in zip(estimator.coefs_, reference.coefs_, strict=True):
        assert_allclose(backend.to_numpy(mine), expected, atol=1e-4)


@pytest.mark.slow
def test_dropout_reduces_overfitting() -> None:
    x, y = make_classification(600, 40, n_informative=6, flip_y=0.2, random_state=0)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=300, random_state=0)
    settings: dict[str, Any] = {"hidden_layer_sizes": (200, 200), "max_iter": 150, "tol": 0.0, "n_iter_no_change": 1000}
    losses = []
    for dropout in (0.0, 0.5):
        estimator = MLPClassifier(**settings, dropout=dropout, random_state=0).fit(train_x, train_y)
        losses.append(log_loss(test_y, estimator.predict_proba(test_x)))
    assert losses[1] < 0.9 * losses[0]
