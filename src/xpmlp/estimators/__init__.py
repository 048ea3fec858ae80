"""scikit-learn's interface: `MLPClassifier` and `MLPRegressor` on the arrays that you hold."""

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
