"""scikit-learn's own checks of estimators."""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from xpmlp.estimators import MLPClassifier, MLPRegressor

# Ours predict on arrays of any library, whichever they were fitted on.
NOT_APPLICABLE = {"check_array_api_same_namespace"}


def name_of(estimator: Any, check: Any) -> str:
    """The estimator, its solver, the check, and its arguments."""
    how = [f"{key}={value}" for key, value in check.keywords.items()]
    return "-".join([type(estimator).__name__, estimator.solver, check.func.__name__, *how])


# Like `parametrize_with_checks`, but with unique names: older versions list some checks twice.
CHECKS = {
    name_of(estimator, check): (check, estimator)
    for make in (MLPClassifier, MLPRegressor)
    for solver in ("adam", "lbfgs")
    for estimator, check in estimator_checks_generator(make(solver=solver, max_iter=100))
    if check.func.__name__ not in NOT_APPLICABLE
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("check", "estimator"), list(CHECKS.values()), ids=list(CHECKS))
def test_scikit_learns_check_passes(check: Any, estimator: Any) -> None:
    check(estimator)
