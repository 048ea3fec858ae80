"""scikit-learn's tools on tensors, with its array API dispatch on and off, and on processes and threads.

The dispatch needs ``SCIPY_ARRAY_API=1`` before SciPy is imported, so a process of its own runs those cells.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import clone, config_context
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpmlp.estimators import MLPClassifier
from xpmlp.estimators.arrays import to_host

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DISPATCHES = os.environ.get("SCIPY_ARRAY_API") == "1"
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 12, "random_state": 0}


def pipeline(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


def pair(estimator: Any) -> list[tuple[str, Any]]:
    return [("first", estimator), ("second", clone(estimator))]


def search(estimator: Any) -> Any:
    name = type(estimator).__name__.lower()
    return GridSearchCV(pipeline(estimator), {f"{name}__tol": [1e-4, 1e-3]}, cv=3, error_score="raise")


TOOLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "predict": lambda e, x, y: e.fit(x, y).predict(x),
    "classes": lambda e, x, y: e.fit(x, y).classes_,
    "score": lambda e, x, y: e.fit(x, y).score(x, y),
    "targets of NumPy": lambda e, x, y: e.fit(x, to_host(y)).score(x, to_host(y)),
    "pipeline": lambda e, x, y: pipeline(e).fit(x, y).predict_proba(x),
    "pipeline's score": lambda e, x, y: pipeline(e).fit(x, y).score(x, y),
    "hard voting": lambda e, x, y: VotingClassifier(pair(e)).fit(x, y).predict(x),
    "soft voting": lambda e, x, y: VotingClassifier(pair(e), voting="soft").fit(x, y).predict_proba(x),
    "stacking": lambda e, x, y: StackingClassifier(pair(e), clone(e), cv=3).fit(x, y).predict(x),
    "cross_val_predict": lambda e, x, y: cross_val_predict(e, x, y, cv=3),
    "probabilities": lambda e, x, y: cross_val_predict(e, x, y, cv=3, method="predict_proba"),
    "text": lambda e, x, y: cross_val_predict(e, x, np.array(list("abc"))[to_host(y)], method="predict_proba"),
    "cross_validate": lambda e, x, y: cross_validate(e, x, y, scoring=["neg_log_loss"], error_score="raise")[
        "test_neg_log_loss"
    ],
    "grid search": lambda e, x, y: search(e).fit(x, y).predict(x),
}
ASSIGNS_TO_ITEMS = {"pipeline", "pipeline's score", "hard voting", "stacking", "grid search"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dispatch", [False, pytest.param(True, marks=pytest.mark.skipif(not DISPATCHES, reason="no"))])
@pytest.mark.parametrize("tool", TOOLS)
def test_tools_work_wherever_they_work_with_logistic_regression(
    iris: Any, library: str, convert: Callable[[Any], Any], tool: str, dispatch: bool
) -> None:
    if library == "cupy" and (not dispatch or "voting" in tool):
        pytest.skip("scikit-learn itself takes CuPy arrays to NumPy here, which CuPy refuses")
    x, y = iris[0].astype(np.float32), iris[1]
    expected = TOOLS[tool](MLPClassifier(**SETTINGS), x, y)
    with config_context(array_api_dispatch=dispatch):
        if dispatch and library == "jax":  # which scikit-learn's own estimators do not support
            if tool in ASSIGNS_TO_ITEMS:
                pytest.skip("scikit-learn assigns to items of JAX arrays")
            result = TOOLS[tool](MLPClassifier(**SETTINGS), convert(x), convert(y))
        else:
            example = TOOLS[tool](LogisticRegression(max_iter=20), convert(x), convert(y))
            result = TOOLS[tool](MLPClassifier(**SETTINGS), convert(x), convert(y))
            assert type(result) is type(example) or not dispatch
    assert_allclose(to_host(result), expected, atol=1e-3)


@pytest.mark.parametrize("tool", [FixedThresholdClassifier, TunedThresholdClassifierCV])
def test_tools_that_take_numpy_only_get_it_and_users_get_tensors(iris: Any, tool: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    x, y = iris[0].astype(np.float32), iris[1] // 2
    expected = tool(MLPClassifier(**SETTINGS)).fit(x, y)
    found = tool(MLPClassifier(**SETTINGS)).fit(torch.asarray(x), torch.asarray(y))
    assert_array_equal(found.predict(torch.asarray(x)), expected.predict(x))
    assert torch.is_tensor(found.estimator_.predict_proba(torch.asarray(x)))


@pytest.mark.slow
@pytest.mark.skipif(DISPATCHES, reason="this is that process")
@pytest.mark.parametrize(
    "arguments", [["test_tools.py", "-k", "True"], ["test_estimator_checks.py", "-k", "array_api and not cuda"]]
)
def test_array_api_dispatch_in_its_own_process(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    folder, environment = os.path.dirname(__file__), os.environ | {"SCIPY_ARRAY_API": "1"}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("joblib_backend", ["loky", "threading"])
def test_processes_and_threads_give_the_same_results(iris: Any, joblib_backend: str) -> None:
    estimator = pipeline(MLPClassifier(**SETTINGS))
    with joblib.parallel_config(joblib_backend, n_jobs=2):
        scores = cross_val_predict(estimator, *iris, cv=4, method="predict_proba")
    assert_array_equal(scores, cross_val_predict(estimator, *iris, cv=4, method="predict_proba"))
    theirs = pipeline(sklearn.neural_network.MLPClassifier(**SETTINGS))
    assert_array_equal(cross_val_score(estimator, *iris), cross_val_score(theirs, *iris))


def test_a_device_that_numpy_cannot_read(iris: Any) -> None:
    strict = pytest.importorskip("array_api_strict")
    x, y = (strict.asarray(array, device=strict.Device("device1")) for array in (iris[0].astype(np.float32), iris[1]))
    expected = MLPClassifier(**SETTINGS).fit(iris[0].astype(np.float32), iris[1])
    estimator = MLPClassifier(**SETTINGS).fit(x, y)
    assert estimator.predict(x).device == x.device
    assert estimator.score(x, y) == pytest.approx(expected.score(*iris))
    assert estimator.partial_fit(x, iris[1], classes=y).score(x, iris[1]) > 0.3
