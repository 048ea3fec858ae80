"""L-BFGS: scikit-learn's path at first, the same optimum, in blocks of rows."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge

import xpmlp
from xpmlp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (12,), "max_iter": 12, "random_state": 0}


@pytest.mark.parametrize("task", ["three classes", "two classes", "multilabel", "one number"])
def test_lbfgs_takes_scikit_learns_first_steps(assert_same_network: Any, iris: Any, task: str, capsys: Any) -> None:
    x = iris[0]
    targets: dict[str, Any] = {
        "three classes": iris[1],
        "two classes": iris[1] > 1,
        "multilabel": np.stack([iris[1] > 0, iris[1] > 1], axis=1).astype(int),
        "one number": x[:, 0] ** 2,
    }
    name = "MLPRegressor" if "number" in task else "MLPClassifier"
    settings = {"solver": "lbfgs", "max_iter": 15, "random_state": 1}
    reference = getattr(sklearn.neural_network, name)(**settings).fit(x, targets[task])
    estimator = getattr(xpmlp, name)(**settings, verbose=True).fit(x, targets[task])
    assert_allclose(estimator.loss_, reference.loss_, rtol=1e-9)
    assert estimator.n_iter_ == reference.n_iter_
    assert_same_network(estimator, reference, 1e-7)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"Iteration {step}" for step in range(1, 16)]
    assert float(lines[-1].rpartition(" ")[2]) == pytest.approx(estimator.loss_, abs=1e-2)
    assert not hasattr(estimator, "partial_fit")


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix])
@pytest.mark.parametrize("weightless", [None, 0, 50])
def test_lbfgs_is_the_same_in_blocks_of_rows(
    assert_same_network: Any, iris: Any, monkeypatch: pytest.MonkeyPatch, make: Any, form: Any, weightless: int | None
) -> None:
    x, y = form(iris[0]), iris[1]
    weight = None if weightless is None else np.random.default_rng(0).uniform(0.1, 3.0, len(y))
    if weight is not None:
        weight[:weightless] = 0.0
    settings = SETTINGS | {"solver": "lbfgs", "alpha": 0.5}
    whole = make(**settings).fit(x, y, weight)
    monkeypatch.setattr("xpmlp.estimators.lbfgs.BLOCK_VALUES", 600)  # 40 rows, or 46
    in_blocks = make(**settings).fit(x, y, weight)
    assert_allclose(in_blocks.loss_, whole.loss_, rtol=1e-12)
    assert_same_network(in_blocks, whole, 1e-9)


def test_lbfgs_with_several_outputs_reaches_the_optimum(iris: Any) -> None:
    # Unlike scikit-learn's, which minimizes the mean over the outputs with the gradient of their sum.
    x, y = iris[0], iris[0][:, :2] ** 2
    estimator = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=1.0, max_iter=2000, tol=1e-6).fit(x, y)
    assert_allclose(estimator.predict(x), Ridge(alpha=1.0).fit(x, y).predict(x), atol=1e-2)
    penalty = 0.5 * np.sum(estimator.coefs_[0] ** 2) / len(x)
    assert estimator.loss_ == pytest.approx(0.5 * np.mean((estimator.predict(x) - y) ** 2) + penalty, rel=1e-9)
