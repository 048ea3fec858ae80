"""Our searches over our networks against scikit-learn's over scikit-learn's."""

import logging
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.model_selection
import sklearn.neural_network
import sklearn.tree
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import xpmlp
from xpmlp import model_selection
from xpmlp.training.population import train_population, widths

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(return_X_y=True)


def same_search(search: str, network: str, data: Any, grid: Any, *, scaled: bool = True, **settings: Any) -> Any:
    """Run a search of both, compare all that is not a time, and return ours."""
    searches = []
    of_network = settings.pop("of_network", {})
    for tools, networks in ((sklearn.model_selection, sklearn.neural_network), (model_selection, xpmlp)):
        estimator = getattr(networks, network)(random_state=0, **of_network)
        estimator = Pipeline([("scaler", StandardScaler()), ("mlp", estimator)]) if scaled else estimator
        searches.append(getattr(tools, search)(estimator, grid, **settings).fit(*data))
    expected, found = searches
    assert found.best_params_ == expected.best_params_
    assert found.cv_results_.keys() == expected.cv_results_.keys()
    for name, values in expected.cv_results_.items():
        if name.startswith(("mean", "std", "split")) and "time" not in name:
            np.testing.assert_allclose(found.cv_results_[name], values, rtol=0, atol=1e-6, err_msg=name)
    assert list(found.cv_results_["params"]) == list(expected.cv_results_["params"])
    found_best, expected_best = (s.best_estimator_[-1] if scaled else s.best_estimator_ for s in (found, expected))
    if found_best.solver != "lbfgs":
        np.testing.assert_allclose(found_best.loss_curve_, expected_best.loss_curve_, rtol=0, atol=1e-6)
    return found


GRID = {"mlp__alpha": [1e-4, 1e-1], "mlp__learning_rate_init": [0.03], "mlp__solver": ["sgd", "adam"]}
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 10, "batch_size": 32}


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_grid_of_a_pipeline_has_scikit_learns_results(early_stopping: bool, caplog: Any) -> None:
    grid = {**GRID, "scaler": [StandardScaler(), MinMaxScaler()]}
    network = {**SMALL, "early_stopping": early_stopping, "n_iter_no_change": 3}
    same_search("GridSearchCV", "MLPClassifier", IRIS, grid, cv=3, of_network=network, return_train_score=True)
    assert "left to scikit-learn" not in caplog.text


@pytest.mark.parametrize(("activation", "populations"), [("relu", 1), ("logistic", 3)])
def test_several_widths_have_scikit_learns_results(
    activation: str, populations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def count_members(samples: Any, members: Any, **settings: Any) -> None:
        calls.append(len(members))
        train_population(samples, members, **settings)

    monkeypatch.setattr(widths, "train_population", count_members)
    grid = {"hidden_layer_sizes": [(8, 3), (5, 6), (2, 2)], "alpha": [1e-4, 0.1]}
    network = SMALL | {"activation": activation, "early_stopping": True, "n_iter_no_change": 3}
    same_search("GridSearchCV", "MLPClassifier", IRIS, grid, scaled=False, cv=3, of_network=network)
    assert calls == [18 // populations] * populations


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ({"learning_rate": "adaptive", "solver": "sgd", "tol": 0.05, "n_iter_no_change": 2}, {}),
        ({"learning_rate": "invscaling", "solver": "sgd", "nesterovs_momentum": False}, {}),
        ({"activation": "logistic", "shuffle": False}, {"scoring": ["accuracy", "neg_log_loss"], "refit": "accuracy"}),
        ({"tol": 0.05, "n_iter_no_change": 2, "max_iter": 30}, {"cv": 4}),
    ],
)
def test_stopping_and_schedules_are_scikit_learns(network: Any, settings: Any) -> None:
    grid = {"hidden_layer_sizes": [(8,), (6, 4)], "learning_rate_init": [0.01, 0.1]}
    same_search(
        "GridSearchCV", "MLPClassifier", IRIS, grid, scaled=False, of_network=SMALL | network, **{"cv": 3, **settings}
    )


def test_regression_and_two_classes_have_scikit_learns_results() -> None:
    x, y = load_diabetes(return_X_y=True)
    network = {**SMALL, "early_stopping": True}
    grid = {"alpha": [0.0, 1.0], "learning_rate_init": [0.001, 0.01]}
    same_search("GridSearchCV", "MLPRegressor", (10 * x, y / 100), grid, scaled=False, cv=3, of_network=network)
    x, y = load_breast_cancer(return_X_y=True)
    same_search("GridSearchCV", "MLPClassifier", (x, y), {"mlp__alpha": [1e-4, 1e-1]}, cv=3, of_network=network)


@pytest.mark.parametrize("search", ["RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"])
def test_random_and_halving_searches_have_scikit_learns_results(search: str) -> None:
    grid = {"mlp__alpha": scipy.stats.loguniform(1e-5, 1.0), "mlp__learning_rate_init": [0.003, 0.03]}
    settings: dict[str, Any] = {"random_state": 0, "cv": 3}
    if search == "RandomizedSearchCV":
        settings |= {"n_iter": 5}
    elif search == "HalvingGridSearchCV":
        grid |= {"mlp__alpha": [1e-4, 1e-2]}
    else:
        settings |= {"resource": "mlp__max_iter", "max_resources": 20, "min_resources": 5}
    same_search(search, "MLPClassifier", IRIS, grid, of_network=SMALL, **settings)


def test_cross_validation_has_scikit_learns_results_and_returns_fitted_networks() -> None:
    results = []
    for tools, networks in ((sklearn.model_selection, sklearn.neural_network), (model_selection, xpmlp)):
        estimator = networks.MLPClassifier(random_state=0, **SMALL)
        found = tools.cross_validate(estimator, *IRIS, cv=4, return_estimator=True)
        np.testing.assert_array_equal(tools.cross_val_score(estimator, *IRIS, cv=4), found["test_score"])
        results.append(found)
    expected, found = results
    np.testing.assert_allclose(found["test_score"], expected["test_score"], atol=1e-6)
    for ours, theirs in zip(found["estimator"], expected["estimator"], strict=True):
        np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-9)
        assert ours.n_iter_ == theirs.n_iter_
        assert ours.fit(*IRIS) is ours  # its own fit again, which does something
    assert np.all(found["fit_time"] > 0)


def test_sample_weights_and_class_weights_are_those_of_the_fold() -> None:
    x, y = IRIS
    weight = np.linspace(0.1, 2.0, len(y))
    estimator = xpmlp.MLPClassifier(random_state=0, learning_rate_init=0.03, early_stopping=True, **SMALL)
    grid = {"class_weight": [None, "balanced", {0: 5.0}]}
    searches = [
        tools.GridSearchCV(estimator, grid, cv=3).fit(x, y, sample_weight=weight)
        for tools in (sklearn.model_selection, model_selection)
    ]
    expected, found = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(set(expected)) > 1


@pytest.mark.parametrize(
    ("network", "settings", "grid"),
    [
        (
            "MLPClassifier",
            {"solver": "adamw", "hidden_layer_sizes": (8, 6), "activation": ["mish", "tanh"], "dropout": 0.2},
            {"alpha": [0.0, 0.3], "max_grad_norm": [0.1, 10.0], "label_smoothing": [0.0, 0.2]},
        ),
        (
            "MLPClassifier",
            {"solver": "sgd", "max_grad_norm": 0.5},
            {"label_smoothing": [0.1, 0.2], "momentum": [0.0, 0.9]},
        ),
        ("MLPRegressor", {"loss": "huber", "activation": "gelu"}, {"max_grad_norm": [0.1, None], "alpha": [0.0, 1.0]}),
        ("MLPRegressor", {"loss": "gamma", "early_stopping": True}, {"learning_rate_init": [1e-3, 1e-2]}),
    ],
)
def test_settings_that_scikit_learn_lacks_are_trained_at_once_like_one_by_one(
    network: str, settings: Any, grid: Any, caplog: Any
) -> None:
    x, y = IRIS
    data = (x, y) if network == "MLPClassifier" else (x[:, :3], x[:, 3] + 0.1)
    curves = []
    for tools in (sklearn.model_selection, model_selection):
        estimator = getattr(xpmlp, network)(random_state=0, **(SMALL | settings))
        candidates = [estimator.__class__(**(estimator.get_params() | each)) for each in ParameterGrid(grid)]
        search = tools.GridSearchCV(Pipeline([("mlp", estimator)]), {"mlp": candidates}, cv=3).fit(*data)
        found = tools.cross_validate(search.best_estimator_, *data, cv=3, return_estimator=True)
        curves.append([search.cv_results_["mean_test_score"], *(each[-1].loss_curve_ for each in found["estimator"])])
    for found, expected in zip(*curves, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert "left to scikit-learn" not in caplog.text


@pytest.mark.parametrize(
    ("network", "settings", "reason"),
    [
        ("MLPClassifier", {"ensemble": 3}, "ensemble=3 is a population already"),
        ("MLPClassifier", {"early_stopping": "f1_macro"}, "early_stopping with a scorer predicts with each network"),
        ("MLPRegressor", {"loss": "quantile"}, "loss='quantile' has several outputs"),
        ("MLPRegressor", {"dropout": (0.1,)}, "a dropout for each layer is for one network"),
    ],
)
def test_what_only_ours_have_and_cannot_be_batched_is_trained_one_by_one(
    network: str, settings: Any, reason: str, caplog: Any
) -> None:
    estimator = getattr(xpmlp, network)(random_state=0, **SMALL | settings)
    found, expected = (
        tools.GridSearchCV(estimator, {"alpha": [0.0, 1.0]}, cv=2).fit(*IRIS).cv_results_["mean_test_score"]
        for tools in (model_selection, sklearn.model_selection)
    )
    np.testing.assert_array_equal(found, expected)
    assert f"4 of 4 fits are left to scikit-learn, one by one: {reason}" in caplog.text


def test_what_cannot_be_batched_is_left_to_scikit_learn_and_said_once(caplog: Any) -> None:
    grid = {"mlp__solver": ["adam", "lbfgs"]}
    with caplog.at_level(logging.WARNING):
        same_search("GridSearchCV", "MLPClassifier", IRIS, grid, cv=3, of_network=SMALL)
    assert caplog.text.count("3 of 6 fits are left to scikit-learn, one by one: solver='lbfgs'") == 1
    caplog.clear()
    tree = sklearn.tree.DecisionTreeClassifier(random_state=0)
    scores = [
        tools.GridSearchCV(tree, {"max_depth": [1, 2]}, cv=3).fit(*IRIS).cv_results_["mean_test_score"]
        for tools in (sklearn.model_selection, model_selection)
    ]
    np.testing.assert_array_equal(*scores)
    assert "DecisionTreeClassifier is not one of xpmlp's networks" in caplog.text


def test_a_candidate_that_diverges_gets_the_error_score_and_the_others_go_on() -> None:
    estimator = xpmlp.MLPClassifier(random_state=0, solver="sgd", **SMALL)
    grid = {"learning_rate_init": [0.01, 1e30]}
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 6") as record:
        search = model_selection.GridSearchCV(estimator, grid, cv=3, error_score=-1.0).fit(*IRIS)
    assert any("Training diverged in epoch" in str(warning.message) for warning in record)
    alone = model_selection.GridSearchCV(estimator, {"learning_rate_init": [0.01]}, cv=3).fit(*IRIS)
    assert search.cv_results_["mean_test_score"][1] == -1.0
    assert search.cv_results_["mean_test_score"][0] == alone.best_score_
    with pytest.raises(xpmlp.training.DivergedError):
        model_selection.GridSearchCV(estimator, grid, cv=3, error_score="raise").fit(*IRIS)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"alpha": [1e-4, -1.0]}, "The 'alpha' parameter of MLPClassifier must be a float in the range"),
        ({"alhpa": [1e-4]}, "Invalid parameter 'alhpa' for estimator MLPClassifier"),
        ({"hidden_layer_sizes": [(0,)]}, "hidden_layer_sizes must be > 0"),
    ],
)
def test_invalid_candidates_have_scikit_learns_messages(grid: Any, message: str) -> None:
    estimator = xpmlp.MLPClassifier(random_state=0, **SMALL)
    with pytest.raises(ValueError, match=message):
        model_selection.GridSearchCV(estimator, grid, cv=3, error_score="raise").fit(*IRIS)


@pytest.mark.slow
def test_processes_share_the_candidates_and_errors_come_back_from_them() -> None:
    grid = {"mlp__learning_rate_init": [0.003, 0.01, 0.03], "mlp__solver": ["adam", "lbfgs"]}
    same_search("GridSearchCV", "MLPClassifier", IRIS, grid, cv=3, of_network=SMALL, n_jobs=2)
    estimator = xpmlp.MLPClassifier(random_state=0, solver="sgd", **SMALL)
    with pytest.raises(xpmlp.training.DivergedError, match="Training diverged in epoch"):
        model_selection.GridSearchCV(
            estimator, {"learning_rate_init": [0.01, 1e30]}, cv=3, n_jobs=2, error_score="raise"
        ).fit(*IRIS)


def test_every_candidate_that_does_not_converge_is_warned_of() -> None:
    estimator = xpmlp.MLPClassifier(random_state=0, **SMALL)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        model_selection.GridSearchCV(estimator, {"alpha": [0.1, 0.2]}, cv=3, refit=False).fit(*IRIS)
    assert [warning.category for warning in record] == [ConvergenceWarning] * 6


@pytest.mark.slow
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize(("data", "hidden", "epochs"), [("iris", 16, 30), ("breast_cancer", 16, 10), ("digits", 16, 5)])
def test_64_candidates_on_5_folds_have_scikit_learns_results(
    data: str, hidden: int, epochs: int, solver: str, early_stopping: bool, caplog: Any
) -> None:
    load = {"iris": load_iris, "breast_cancer": load_breast_cancer, "digits": load_digits}[data]
    grid = {"mlp__alpha": np.logspace(-5, 0, 8).tolist(), "mlp__learning_rate_init": np.logspace(-3.5, -1, 8).tolist()}
    network = {"hidden_layer_sizes": hidden, "solver": solver, "early_stopping": early_stopping, "max_iter": epochs}
    same_search("GridSearchCV", "MLPClassifier", load(return_X_y=True), grid, cv=5, of_network=network)
    assert "left to scikit-learn" not in caplog.text
