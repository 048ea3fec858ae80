"""What scikit-learn's estimators do not have, and errors."""

import sys
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags
from sklearn.utils.class_weight import compute_sample_weight

import xpmlp
from xpmlp.errors import SettingsError
from xpmlp.estimators import MLPClassifier, MLPRegressor
from xpmlp.training import Callback, DivergedError, Run

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (12,), "max_iter": 12, "random_state": 0}


# Class weights


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0, 2: 0.5}, [{0: 1.0, 1: 2.0}, {0: 3.0, 1: 1.0}]])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weights_equal_weights_of_their_samples(
    assert_same_network: Any, iris: Any, class_weight: Any, weighted: bool, solver: str
) -> None:
    x, y = iris[0][20:], iris[1][20:]
    if isinstance(class_weight, list):
        y = np.stack([y > 0, y > 1], axis=1).astype(int)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y)) if weighted else np.ones(len(y))
    settings = SETTINGS | {"solver": solver}
    by_class = MLPClassifier(**settings, class_weight=class_weight).fit(x, y, weight if weighted else None)
    by_sample = MLPClassifier(**settings).fit(x, y, weight * compute_sample_weight(class_weight, y))
    assert_same_network(by_class, by_sample)
    assert not np.allclose(by_class.coefs_[0], MLPClassifier(**settings).fit(x, y, weight).coefs_[0], atol=1e-6)


@pytest.mark.parametrize("rows", [150, 60])  # the first 60 do not contain every class
def test_partial_fit_takes_class_weights_but_cannot_balance(assert_same_network: Any, iris: Any, rows: int) -> None:
    x, y = iris[0][:rows], iris[1][:rows]
    by_class = MLPClassifier(**SETTINGS, class_weight={0: 2.0, 2: 3.0}).partial_fit(x, y, classes=[0, 1, 2])
    weights = np.array([2.0, 1.0, 3.0])[y]
    assert_same_network(by_class, MLPClassifier(**SETTINGS).partial_fit(x, y, weights, classes=[0, 1, 2]))
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1, 2])


@pytest.mark.parametrize("class_weight", [{0: -1.0}, {1: np.nan}, {0: 0, 1: 0, 2: 0}])
def test_invalid_class_weights_are_refused(iris: Any, class_weight: Any) -> None:
    with pytest.raises(ValueError, match="class weights must be non-negative"):
        MLPClassifier(class_weight=class_weight).fit(*iris)
    with pytest.raises(ValueError, match=r"The classes, \['a', 'b', 'c'\], are not in class_weight"):
        MLPClassifier(class_weight=class_weight).fit(iris[0], np.array(list("abc"))[iris[1]])


# Dropout


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


# Sparse samples


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.csr_array])
def test_sparse_samples_train_the_network_of_dense_ones(assert_same_network: Any, form: Any) -> None:
    x, y = load_digits(return_X_y=True)
    x, y = x[:300] / 16, y[:300]
    for settings in ({}, {"early_stopping": True}, {"solver": "lbfgs"}):
        dense, sparse = (MLPClassifier(**SETTINGS | settings).fit(data, y) for data in (x, form(x)))
        assert_same_network(sparse, dense, 1e-9)
        assert_allclose(sparse.predict_proba(form(x)), dense.predict_proba(x), atol=1e-9)
        assert_array_equal(sparse.predict(form(x)), sparse.predict(x))


def peak_memory(function: Callable[[], Any]) -> int:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_sparse_samples_are_never_made_dense() -> None:
    rows, features = 2000, 2500
    x = scipy.sparse.random(rows, features, density=0.001, format="csr", dtype=np.float32, random_state=0)
    y = np.random.default_rng(0).integers(0, 2, rows)
    estimator = MLPClassifier(hidden_layer_sizes=(4,), max_iter=2, batch_size=100)
    assert peak_memory(lambda: estimator.fit(x, y).predict(x)) < rows * features * 4 / 10


def test_sparse_samples_need_numpy(iris: Any) -> None:
    pytest.importorskip("torch")
    estimator = MLPClassifier(backend="torch")
    with pytest.raises(ValueError, match="Sparse samples are supported by NumPy only, not by backend 'torch'"):
        estimator.fit(scipy.sparse.csr_matrix(iris[0]), iris[1])
    assert not get_tags(estimator).input_tags.sparse
    assert get_tags(MLPClassifier()).input_tags.sparse
    assert get_tags(MLPRegressor("poisson")).target_tags.positive_only
    assert not get_tags(MLPRegressor()).target_tags.positive_only


@pytest.mark.parametrize(
    ("settings", "part"),
    [({}, 0.6), ({"early_stopping": True}, 0.8), ({"solver": "lbfgs", "hidden_layer_sizes": (200,)}, 1.6)],
)
def test_fit_needs_little_memory_beside_the_samples(settings: dict[str, Any], part: float) -> None:
    x = np.random.default_rng(0).uniform(0.0, 1.0, (40_000, 200)).astype(np.float32)
    y = np.arange(40_000) % 10
    estimator = MLPClassifier(**{"hidden_layer_sizes": (32,), "max_iter": 1, "batch_size": 256} | settings)
    assert peak_memory(lambda: estimator.fit(x, y)) < part * x.nbytes


# Callbacks, and how a run ends


class StopAfter(Callback):
    def __init__(self, epochs: int, how: Any = None) -> None:
        self.epochs, self.how = epochs, how

    def on_epoch_end(self, run: Run) -> None:
        if len(run.history) == self.epochs:
            if self.how is not None:
                raise self.how
            run.stop("enough")


def test_a_callback_or_ctrl_c_ends_the_run_and_keeps_what_was_learned(assert_same_network: Any, iris: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        stopped = MLPClassifier(**SETTINGS, callbacks=[StopAfter(5)]).fit(*iris)
    interrupted = MLPClassifier(**SETTINGS, callbacks=[StopAfter(5, KeyboardInterrupt())])
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        interrupted.fit(*iris)
    for estimator in (stopped, interrupted):
        assert estimator.n_iter_ == len(estimator.loss_curve_) == 5
        assert_same_network(estimator, MLPClassifier(**SETTINGS | {"max_iter": 5}).fit(*iris))


def test_a_diverging_run_names_the_learning_rate_and_early_stopping_keeps_the_best_network(iris: Any) -> None:
    estimator = MLPRegressor(activation="identity", solver="sgd", learning_rate_init=1, random_state=0)
    with pytest.raises(DivergedError, match=r"diverged in epoch \d+.*learning rate was 1") as error:
        estimator.fit(*iris)
    sentence = "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
    assert f"{sentence} preprocessed." in str(error.value)
    assert "has values up to" not in str(error.value)
    assert isinstance(error.value, ValueError)
    estimator.set_params(early_stopping=True)
    with pytest.warns(ConvergenceWarning, match="diverged in epoch .*the best validation score"):
        estimator.fit(*iris)
    assert np.isfinite(estimator.predict(iris[0])).all()
    assert estimator.validation_scores_ is not None
    assert estimator.best_validation_score_ == max(estimator.validation_scores_)


@pytest.mark.parametrize("which", ["X", "y"])
def test_large_values_are_named_if_a_run_diverges(iris: Any, which: str) -> None:
    x, y = iris[0].astype(np.float32), iris[1].astype(np.float32)
    x, y = (x * 1e25, y) if which == "X" else (x, y * 1e30)
    remedy = "StandardScaler" if which == "X" else "TransformedTargetRegressor"
    with pytest.raises(DivergedError, match=rf"{which} has values up to \S+e[+]\d\d: scale them, .*{remedy}") as error:
        MLPRegressor(max_iter=3).fit(x, y)
    assert "use a smaller one" not in str(error.value)


# Validation


@pytest.mark.parametrize(("make", "metric"), [(MLPClassifier, "accuracy"), (MLPRegressor, "r2")])
@pytest.mark.parametrize("stopping", [False, True, "loss", "neg_max_error", "f1_macro"])
@pytest.mark.parametrize("ensemble", [None, 3])
def test_validation_samples_of_ones_own_are_scored_each_epoch(
    iris: Any, make: Any, metric: Any, stopping: Any, ensemble: Any
) -> None:
    if stopping == ("neg_max_error" if make is MLPClassifier else "f1_macro"):
        pytest.skip("a score of the other kind")
    x, y, x_val, y_val = iris[0][::2], iris[1][::2], iris[0][1:60:2], iris[1][1:60:2]  # two classes of three
    networks = Networks()
    settings = SETTINGS | {"max_iter": 40, "n_iter_no_change": 3, "learning_rate_init": 0.05, "tol": 1e-3}
    settings |= {"ensemble": ensemble}
    estimator = make(**settings, early_stopping=stopping, callbacks=[networks]).fit(x, y, X_val=x_val, y_val=y_val)
    assert len(estimator.validation_loss_curve_) == len(estimator.validation_scores_) == estimator.n_iter_
    twin = make(**settings).fit(x, y)
    losses, scores = [], []
    for coefs, intercepts in networks.seen:
        twin.coefs_, twin.intercepts_ = coefs, intercepts
        if make is MLPClassifier:
            losses.append(log_loss(y_val, twin.predict_proba(x_val), labels=[0, 1, 2]))
        else:
            losses.append(np.mean((twin.predict(x_val) - y_val) ** 2) / 2)
        scores.append(get_scorer(metric if stopping in (False, True, "loss") else stopping)(twin, x_val, y_val))
    assert_allclose(estimator.validation_loss_curve_, losses, rtol=1e-6)
    assert_allclose(estimator.validation_scores_, -np.array(losses) if stopping == "loss" else scores, rtol=1e-6)
    best = int(np.argmax(estimator.validation_scores_)) if stopping else -1
    assert_array_equal(estimator.coefs_[0], networks.seen[best][0][0])
    if not stopping:
        assert estimator.best_loss_ == min(estimator.loss_curve_)
        assert_array_equal(estimator.coefs_[0], twin.set_params(max_iter=estimator.n_iter_).fit(x, y).coefs_[0])


class Networks(Callback):
    """Keeps the network of every epoch."""

    def on_fit_start(self, run: Run) -> None:
        self.seen: list[Any] = []

    def on_epoch_end(self, run: Run) -> None:
        layers = run.state.layers
        biases = [layer.bias[..., 0, :].copy() for layer in layers]
        self.seen.append(([layer.weight.copy() for layer in layers], biases))


def test_a_scorer_stops_on_rows_that_are_split_off(iris: Any) -> None:
    x, y = pl.DataFrame(iris[0], schema=list("abcd")), np.array(["no", "yes"])[(iris[1] > 0).astype(int)]
    seen: list[Any] = []

    def scorer(estimator: Any, x: Any, y: Any) -> float:
        seen.append((x, y))
        return -float(log_loss(y, estimator.predict_proba(x)))

    estimator = MLPClassifier(**SETTINGS, early_stopping=scorer).fit(x, y)
    assert [len(part) for part in seen[0]] == [15, 15]
    assert seen[0][0].columns == list("abcd")
    assert estimator.best_validation_score_ == max(estimator.validation_scores_)
    assert_allclose(estimator.validation_loss_curve_, -np.array(estimator.validation_scores_), rtol=1e-6)
    assert MLPClassifier(**SETTINGS).fit(x, y).validation_loss_curve_ is None


# scikit-learn's callbacks


def test_scikit_learns_callbacks_watch_every_epoch_and_may_stop(iris: Any) -> None:
    monitor = ScoringMonitor(scoring="accuracy")
    estimator = MLPClassifier(**SETTINGS).set_callbacks(monitor).fit(*iris)
    scores = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == 12
    assert scores[-1] == estimator.score(*iris)
    for epochs in (3, 7):
        assert scores[epochs - 1] == MLPClassifier(**SETTINGS | {"max_iter": epochs}).fit(*iris).score(*iris)
    search = GridSearchCV(MLPClassifier(**SETTINGS), {"alpha": [0.0, 1.0]}, cv=2).set_callbacks(ProgressBar())
    assert len(search.fit(*iris).cv_results_["params"]) == 2

    assert MLPClassifier(**SETTINGS).set_callbacks(Stop()).fit(*iris).n_iter_ == 3

    estimator = MLPClassifier(**SETTINGS | {"solver": "lbfgs"}).set_callbacks(monitor).fit(*iris)
    assert [row["accuracy"] for row in monitor.get_logs().data] == [estimator.score(*iris)]


class Stop:
    """A callback of scikit-learn's kind that stops after the third epoch."""

    def setup(self, estimator: Any, context: Any) -> None:
        self.epochs = 0

    def teardown(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        self.epochs += context.task_name == "epoch"
        return self.epochs == 3


# Explanations


def test_permutation_importance_and_shap_explain_it(iris: Any) -> None:
    x = np.column_stack([iris[0][:, 2], np.random.default_rng(0).normal(size=150)])
    estimator = MLPClassifier(**SETTINGS | {"max_iter": 200}).fit(x, iris[1])
    found = permutation_importance(estimator, x, iris[1], n_repeats=5, random_state=0).importances_mean
    assert found[0] > 0.3 > 0.1 > found[1]
    shap = pytest.importorskip("shap", reason="shap is not installed")
    values = shap.KernelExplainer(estimator.predict_proba, x[:20])(x[:5])
    expected = estimator.predict_proba(x[:5])
    assert_allclose(values.values.sum(axis=1) + values.base_values, expected, atol=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": (3, 0)}, r"hidden_layer_sizes must be > 0, got \[3, 0\]"),
        ({"hidden_layer_sizes": (5.0,)}, r"hidden_layer_sizes must be whole numbers, got \[5.0\]"),
        ({"hidden_layer_sizes": ((5, 3),)}, r"hidden_layer_sizes must be whole numbers, got \[\(5, 3\)\]"),
        ({"early_stopping": "losses"}, "The 'early_stopping' parameter of MLPClassifier must be"),
        ({"activation": "swish"}, "The 'activation' parameter of MLPClassifier must be a str among"),
        ({"backend": "tensorflow"}, "The 'backend' parameter of MLPClassifier must be a str among"),
        ({"dropout": 1.0}, "The 'dropout' parameter of MLPClassifier must be a float in the range"),
        ({"dtype": "float16"}, "The 'dtype' parameter of MLPClassifier must be"),
        ({"ensemble": 0}, "The 'ensemble' parameter of MLPClassifier must be an int in the range"),
        ({"ensemble": 2.5}, "The 'ensemble' parameter of MLPClassifier must be an int in the range"),
        ({"ensemble": 2, "solver": "lbfgs"}, "use sgd, adam or adamw for ensemble"),
        ({"device": "cuda"}, "NumPy has only cpu"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "The validation set is too small"),
    ],
)
def test_invalid_settings_are_refused(iris: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        MLPClassifier(**settings).fit(*iris)
    assert isinstance(error.value, SettingsError) == ("device" in settings)


CLASSES = [0, 1, 2]
MISTAKES: dict[str, Callable[[Any, Any], Any]] = {
    "out of the valid range of the loss 'poisson'": lambda x, y: MLPRegressor("poisson").fit(x, y - 1),
    "valid range of the loss 'gamma': they are not above 0": lambda x, y: MLPRegressor("gamma").fit(x, y),
    r"y has dtype <U\d+, which is not numeric.*astype": lambda x, y: MLPRegressor().fit(x, y.astype(str)),
    r"Use y\.toarray\(\)": lambda x, y: MLPRegressor().fit(x, scipy.sparse.csr_matrix(y[:, None])),
    "partial_fit does not support early_stopping=True": lambda x, y: MLPClassifier(early_stopping=True).partial_fit(
        x, y, classes=CLASSES
    ),
    r"`classes=\[0, 1, 3\]` is not the same as on last call to partial_fit": lambda x, y: (
        MLPClassifier().partial_fit(x, y, classes=CLASSES).partial_fit(x, y, classes=[0, 1, 3])
    ),
    r"layers of \[4, 12, 3\] units, but .* need \[4, 8, 3\]": lambda x, y: (
        MLPClassifier(**SETTINGS, warm_start=True).fit(x, y).set_params(hidden_layer_sizes=(8,)).fit(x, y)
    ),
    r"callbacks must be instances of xpmlp\.training\.Callback": lambda x, y: MLPClassifier(callbacks=[print]).fit(
        x, y
    ),
    "has no epochs, so it cannot call": lambda x, y: MLPRegressor(solver="lbfgs", callbacks=[Callback()]).fit(x, y),
    "use sgd or adam for dropout": lambda x, y: MLPClassifier(solver="lbfgs", dropout=0.1).fit(x, y),
    "give both": lambda x, y: MLPClassifier().fit(x, y, sample_weight_val=y),
    "X_val, y_val: y has 2 columns, but .* have 1": lambda x, y: MLPRegressor().fit(x, y, X_val=x, y_val=np.c_[y, y]),
    "X_val and y_val belong together": lambda x, y: MLPClassifier().fit(x, y, X_val=x),
    "X_val, y_val: X has 3 features, but": lambda x, y: MLPClassifier().fit(x, y, X_val=x[:, :3], y_val=y),
    "X_val, y_val: .*inconsistent numbers": lambda x, y: MLPClassifier().fit(x, y, X_val=x, y_val=y[:9]),
    "X_val, y_val: `y` has classes not in": lambda x, y: MLPClassifier().fit(x, y, X_val=x, y_val=y + 1),
    "cannot use X_val": lambda x, y: MLPClassifier(solver="lbfgs").fit(x, y, X_val=x, y_val=y),
    "has no attribute 'MLPTransformer'": lambda x, y: xpmlp.MLPTransformer,  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_explained(iris: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError), match=message):
        MISTAKES[message](*iris)


def test_values_that_are_not_computed_are_refused(iris: Any) -> None:
    x, y = iris
    given = {"X": x, "y": y, "sample_weight": np.ones(150), "X_val": x, "y_val": y, "sample_weight_val": np.ones(150)}
    for estimator in (MLPClassifier(max_iter=1).fit(x, y), MLPRegressor(max_iter=1).fit(x, y)):
        calls = [(estimator.fit, given), (estimator.predict, {"X": x}), (estimator.score, {"X": x, "y": y})]
        for call, arguments in calls:
            for name, values in arguments.items():
                with pytest.raises(TypeError, match=r"A LazyFrame is given, .*give what its \.collect\(\) returns"):
                    call(**(arguments | {name: pl.LazyFrame(values)}))


# In scikit-learn's company


@pytest.mark.parametrize(
    ("before", "after", "losses"),
    [
        ({"early_stopping": True}, {"early_stopping": False}, 24),
        ({"early_stopping": False}, {"early_stopping": True}, 24),
        ({"solver": "lbfgs"}, {"solver": "adam"}, 12),
        ({"solver": "lbfgs"}, {"solver": "sgd", "early_stopping": True}, 12),
    ],
)
def test_a_warm_start_may_change_solver_and_stopping(iris: Any, before: Any, after: Any, losses: int) -> None:
    estimator = MLPRegressor(**SETTINGS, n_iter_no_change=20, warm_start=True).set_params(**before).fit(*iris)
    estimator.set_params(**after).fit(*iris)
    assert len(estimator.loss_curve_) == losses
    if estimator.early_stopping:
        assert len(estimator.validation_scores_) == 12
        assert estimator.best_validation_score_ == max(estimator.validation_scores_)
        assert estimator.best_loss_ is None
    else:
        assert estimator.validation_scores_ is None
        assert estimator.best_loss_ == min(estimator.loss_curve_[-12:])
        assert len(estimator.partial_fit(*iris).loss_curve_) == losses + 1


def test_dtype_sets_the_precision(assert_same_network: Any, iris: Any) -> None:
    for dtype in ("float32", np.float32):
        estimator = MLPClassifier(**SETTINGS, dtype=dtype).fit(*iris)
        assert estimator.coefs_[0].dtype == estimator.predict_proba(iris[0]).dtype == np.float32
    assert_same_network(estimator, MLPClassifier(**SETTINGS).fit(iris[0].astype(np.float32), iris[1]))


@pytest.mark.skipif("beartype" in sys.modules, reason="the checks of annotations add frames between the two")
@pytest.mark.filterwarnings("always::sklearn.exceptions.ConvergenceWarning")
def test_warnings_point_at_the_callers_line() -> None:
    x, y = [[0.0], [1.0]] * 20, [0, 1] * 20
    with pytest.warns(ConvergenceWarning, match=r"Stochastic Optimizer: Maximum iterations \(1\) reached") as first:
        MLPClassifier(max_iter=1).fit(x, y)
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger than sample size") as second:
        MLPClassifier(batch_size=41).partial_fit(x, y, classes=[0, 1])
    assert {warning.filename for warning in (*first, *second)} == {__file__}
