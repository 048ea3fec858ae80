"""The same random_state gives scikit-learn's loss curve, stopping epoch, weights and predictions."""

import inspect
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal

from xpmlp.estimators import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1 or larger"),
]
PAIRS: dict[str, tuple[Any, Any]] = {
    "classifier": (sklearn.neural_network.MLPClassifier, MLPClassifier),
    "regressor": (sklearn.neural_network.MLPRegressor, MLPRegressor),
}
TARGETS = {
    "classifier": ["binary", "multiclass", "strings", "multilabel"],
    "regressor": ["one", "several", "counts"],
}


def draw_data(rng: np.random.Generator, targets: str) -> tuple[Any, Any]:
    rows, features = int(rng.integers(40, 120)), int(rng.integers(2, 7))
    x = rng.normal(0.0, 1.0, (rows, features))
    signal = x @ rng.normal(0.0, 1.0, (features, 3)) + rng.normal(0.0, 0.4, (rows, 3))
    y: dict[str, Any] = {
        "binary": (signal[:, 0] > 0.2).astype(int),
        "multiclass": signal.argmax(axis=1) * 2 - 1,
        "strings": np.array(["red", "green", "blue"])[signal.argmax(axis=1)],
        "multilabel": (signal > 0.3).astype(int),
        "one": signal[:, 0],
        "several": signal,
        "counts": rng.poisson(np.exp(np.clip(signal[:, 0], -2.0, 2.0))).astype(float),
    }
    return x, y[targets]


def draw_settings(rng: np.random.Generator, kind: str, targets: str) -> dict[str, Any]:
    def choose(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    solver = choose("sgd", "adam")
    settings: dict[str, Any] = {
        "solver": solver,
        "activation": choose("identity", "logistic", "tanh", "relu"),
        "hidden_layer_sizes": choose((), (5,), (8, 6), 7, (4, 5, 3)),
        "alpha": choose(0.0, 1e-4, 0.3),
        "batch_size": choose("auto", 1, 13, 32, 200),
        "learning_rate": choose("constant", "invscaling", "adaptive"),
        # Larger rates, with momentum and batches of one, amplify rounding without bound.
        "learning_rate_init": choose(0.001, 0.003, 0.01) if kind == "classifier" else choose(0.0003, 0.001),
        "power_t": choose(0.25, 0.5),
        "max_iter": choose(1, 4, 15),
        "shuffle": choose(True, True, False),
        "random_state": int(rng.integers(1000)),
        "tol": choose(1e-4, 1e-2, 0.3),
        "momentum": choose(0.0, 0.9),
        "nesterovs_momentum": choose(True, False),
        "early_stopping": choose(True, False),
        "validation_fraction": choose(0.1, 0.25),
        "beta_1": choose(0.9, 0.5),
        "beta_2": choose(0.999, 0.9),
        "epsilon": choose(1e-8, 1e-3),
        "n_iter_no_change": choose(1, 3, 10),
        "warm_start": choose(True, False),
    }
    if kind == "regressor" and targets == "counts":
        settings["loss"] = choose("poisson", "squared_error")
    return settings


def fit_both(kind: str, settings: dict[str, Any], *arguments: Any, times: int = 1, **keywords: Any) -> tuple[Any, Any]:
    theirs, ours = (make(**settings) for make in PAIRS[kind])
    for _ in range(times):
        theirs.fit(*arguments, **keywords)
        ours.fit(*arguments, **keywords)
    return theirs, ours


def assert_same(theirs: Any, ours: Any, x: Any, tolerance: float) -> None:
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (other is None), name
        if other is not None:
            assert_allclose(mine, other, rtol=tolerance, atol=tolerance, err_msg=name)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
        assert_allclose(mine, other, rtol=tolerance, atol=tolerance)
    if hasattr(theirs, "predict_proba"):
        assert_array_equal(ours.classes_, theirs.classes_)
        assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=tolerance)
        if tolerance < 1e-6:
            assert_array_equal(ours.predict(x), theirs.predict(x))
    else:
        assert ours.predict(x).shape == theirs.predict(x).shape
        assert_allclose(ours.predict(x), theirs.predict(x), rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(("kind", "targets"), [(kind, t) for kind, all_t in TARGETS.items() for t in all_t])
def test_random_settings_follow_scikit_learns_trajectory(kind: str, targets: str, seed: int) -> None:
    rng = np.random.default_rng([seed, sum(map(ord, targets))])
    x, y = draw_data(rng, targets)
    settings = draw_settings(rng, kind, targets)
    keywords = {"sample_weight": rng.uniform(0.1, 3.0, len(x))} if rng.random() < 0.4 else {}
    if rng.random() < 0.2:
        x = scipy.sparse.csr_matrix(np.where(np.abs(x) > 0.7, x, 0.0))
    theirs, ours = fit_both(kind, settings, x, y, times=2 if settings["warm_start"] else 1, **keywords)
    assert_same(theirs, ours, x, 1e-7)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("kind", "targets"), [("classifier", "multiclass"), ("regressor", "several")])
def test_float32_stays_float32_and_close(kind: str, targets: str, seed: int) -> None:
    rng = np.random.default_rng([seed, 5])
    x, y = draw_data(rng, targets)
    # No early ends: rounding decides between epochs that differ by less than float32 resolves.
    settings = draw_settings(rng, kind, targets) | {"tol": 0.0, "n_iter_no_change": 100, "epsilon": 1e-3}
    x = x.astype(np.float32)
    theirs, ours = fit_both(kind, settings, x, y)
    assert ours.coefs_[0].dtype == np.float32
    assert_same(theirs, ours, x, 1e-3)


@pytest.mark.parametrize("kind", PAIRS)
def test_parameters_and_methods_are_scikit_learns_with_ours_last(kind: str) -> None:
    theirs, ours = (list(inspect.signature(make).parameters.values()) for make in PAIRS[kind])
    for mine, other in zip(ours, theirs, strict=False):
        assert (mine.name, mine.default, mine.kind) == (other.name, other.default, other.kind)
    assert all(extra.kind is inspect.Parameter.KEYWORD_ONLY for extra in ours[len(theirs) :])
    their_estimator, our_estimator = (make() for make in PAIRS[kind])
    assert {name for name in dir(their_estimator) if not name.startswith("_")} <= set(dir(our_estimator))
    for name in ("fit", "partial_fit", "predict", "score"):
        first, second = (inspect.signature(getattr(each, name)) for each in (our_estimator, their_estimator))
        present, expected = list(first.parameters.values()), list(second.parameters)
        assert [parameter.name for parameter in present[: len(expected)]] == expected
        assert all(extra.kind is inspect.Parameter.KEYWORD_ONLY for extra in present[len(expected) :])


def test_confident_wrong_predictions_cost_as_much_as_in_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, 300.0, (60, 4))
    for y in (rng.integers(0, 2, 60), rng.integers(0, 3, 60), rng.integers(0, 2, (60, 3))):
        theirs, ours = fit_both("classifier", {"random_state": 0, "max_iter": 3}, x, y)
        assert theirs.loss_curve_[0] > 8.0
        assert_same(theirs, ours, x, 1e-9)


@pytest.mark.parametrize(("kind", "targets"), [(kind, t) for kind, all_t in TARGETS.items() for t in all_t])
@pytest.mark.parametrize(
    "settings", [{"solver": "adam"}, *({"learning_rate": rate} for rate in ("constant", "invscaling", "adaptive"))]
)
def test_partial_fit_follows_scikit_learns_trajectory(kind: str, targets: str, settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    x, y = draw_data(rng, targets)
    usual = {"solver": "sgd", "random_state": 2, "hidden_layer_sizes": (6,), "batch_size": 16}
    theirs, ours = (make(**usual | {"tol": 0.05, "n_iter_no_change": 2} | settings) for make in PAIRS[kind])
    first = {} if kind == "regressor" else {"classes": np.arange(3) if targets == "multilabel" else np.unique(y)}
    for step in range(10):
        part = rng.permutation(len(x))[:30]
        for estimator in (theirs, ours):
            estimator.partial_fit(x[part], y[part], **(first if step == 0 else {}))
    assert_same(theirs, ours, x, 1e-9)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"solver": "sgd", "momentum": 0.0}, {"momentum": 0.9}),
        ({"solver": "sgd"}, {"momentum": 0.2, "nesterovs_momentum": False, "learning_rate_init": 0.1}),
        ({"solver": "sgd", "learning_rate": "invscaling"}, {"power_t": 0.1, "learning_rate": "constant"}),
        ({"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1}, {"power_t": 0.1}),
        ({"solver": "adam"}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ],
)
def test_partial_fit_continues_fit_here_and_from_scikit_learn(before: dict[str, Any], after: dict[str, Any]) -> None:
    x, y = draw_data(np.random.default_rng(3), "multiclass")
    theirs, ours = fit_both("classifier", {"max_iter": 3, "random_state": 0} | before, x, y)
    taken = MLPClassifier.from_sklearn(theirs.set_params(**after))
    for _ in range(3):
        for estimator in (theirs, ours.set_params(**after), taken):
            estimator.partial_fit(x, y)
    assert_same(theirs, ours, x, 1e-10)
    assert_same(theirs, taken, x, 1e-10)


@pytest.mark.parametrize("first", ["float32", "float64"])
def test_weights_keep_their_first_dtype(first: str) -> None:
    x, y = draw_data(np.random.default_rng(3), "multiclass")
    other = {"float32": "float64", "float64": "float32"}[first]
    theirs, ours = fit_both("classifier", {"max_iter": 3, "random_state": 0, "warm_start": True}, x.astype(first), y)
    for estimator in (theirs, ours):
        estimator.partial_fit(x.astype(other), y).fit(x.astype(other), y)
    assert_same(theirs, ours, x.astype(first), 1e-5)
    assert ours.set_params(dtype=other).partial_fit(x, y).coefs_[0].dtype == other


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("classifier", {"solver": "adam"}),
        ("regressor", {"solver": "sgd"}),
        ("regressor", {"solver": "sgd", "nesterovs_momentum": False, "alpha": 0.01}),
        ("classifier", {"solver": "sgd", "momentum": 0.0, "alpha": 0.0}),
    ],
)
def test_large_weights_in_long_epochs_are_the_same(kind: str, settings: dict[str, Any]) -> None:
    # Large enough for the engine's products in several threads, and too large to be fused.
    rng = np.random.default_rng(6)
    x = rng.normal(size=(400, 100))
    y = rng.integers(4, size=400) if kind == "classifier" else x[:, :2] @ rng.normal(size=(2, 2))
    settings = settings | {"hidden_layer_sizes": (350, 100), "batch_size": 15, "max_iter": 3, "random_state": 0}
    theirs, ours = fit_both(kind, settings, x, y)
    assert_same(theirs, ours, x, 1e-12)


def test_weights_may_be_set_before_training() -> None:
    x, y = draw_data(np.random.default_rng(4), "binary")
    settings = {"random_state": 0, "max_iter": 3, "warm_start": True, "hidden_layer_sizes": (4,)}
    theirs, ours = fit_both("classifier", settings, x, y)
    for estimator in (theirs, ours):
        estimator.coefs_[0] = np.full_like(estimator.coefs_[0], 0.1)
        estimator.intercepts_ = [np.full_like(array, -0.2) for array in estimator.intercepts_]
    assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-12)
    for estimator in (theirs, ours):
        estimator.partial_fit(x, y)
    assert_same(theirs, ours, x, 1e-10)


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "sgd", "learning_rate": "adaptive"}])
def test_verbose_prints_what_scikit_learn_prints(capsys: pytest.CaptureFixture[str], settings: dict[str, Any]) -> None:
    x, y = draw_data(np.random.default_rng(5), "multiclass")
    settings = settings | {"tol": 0.5, "n_iter_no_change": 1, "random_state": 0, "max_iter": 100, "verbose": True}
    printed = []
    for make in PAIRS["classifier"]:
        make(**settings).fit(x, y)
        printed.append(capsys.readouterr().out)
    assert printed[1] == printed[0]
    assert "Stopping." in printed[0]
