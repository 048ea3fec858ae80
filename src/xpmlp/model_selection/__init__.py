"""scikit-learn's searches and cross-validation, which train all networks among their fits at once.

The classes and functions are scikit-learn's own, with their constructors, attributes and results; only the place where
they fit one estimator after another is replaced. What it does: `population.train_and_score`. ``docs/searches.md`` shows
when that pays.
"""

from .searches import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
)

__all__ = [
    "GridSearchCV",
    "HalvingGridSearchCV",
    "HalvingRandomSearchCV",
    "RandomizedSearchCV",
    "cross_val_score",
    "cross_validate",
]
