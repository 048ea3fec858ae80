"""scikit-learn's own checks of what an estimator must do."""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from xpmlp.estimators import MLPClassifier, MLPRegressor


def name_of(estimator: Any, check: Any) -> str:
    """The estimator, its solver, the check, and how it is called."""
    how = [f"{key}={value}" for key, value in check.keywords.items()]
    return "-".join([type(estimator).__name__, estimator.solver, check.func.__name__, *how])


# What `parametrize_with_checks` would make of them, under names that differ: older versions of it hand pytest
# a generator, in which a check may come twice.
CHECKS = {
    name_of(estimator, check): (check, estimator)
    for make in (MLPClassifier, MLPRegressor)
    for solver in ("adam", "sgd", "lbfgs")
    for estimator, check in estimator_checks_generator(make(solver=solver, max_iter=100))
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("check", "estimator"), list(CHECKS.values()), ids=list(CHECKS))
def test_an_estimator_is_as_scikit_learn_asks(check: Any, estimator: Any) -> None:
    check(estimator)
