"""Scores of simple models on the same rows, without which that of a network says little."""

import warnings
from typing import Any

import numpy as np

from xpmlp.datasets import Dataset, Split

from .evaluation import RegressionReport, Report
from .progress import describe_number

MOST_VALUES, MOST_ROWS = 10_000_000, 100_000  # rows × inputs × classes; fitting more takes longer than seconds
NOISE_ROWS, NOISY = 2_000, 0.4
FOREST = {"n_estimators": 30, "min_samples_leaf": 3, "random_state": 0}
MOST_SPLIT_COLUMNS = 100  # that each split of a tree chooses from


def linear_score(
    train: Split, test: Split, classes: tuple[int | str, ...] = (), *, with_forest: bool = False
) -> float | None:
    """Return the accuracy on test rows of scikit-learn's logistic regression, or the R² of its ridge regression.

    With `with_forest`, that of a small random forest if it is higher. None if fitting would take long, or if there is
    nothing to compare.
    """
    outputs = len(classes) if len(classes) > 2 else 1
    if train.rows > MOST_ROWS or train.rows * test.x.shape[1] * outputs > MOST_VALUES or test.rows < 2:
        return None
    from sklearn.linear_model import LogisticRegression, Ridge

    # As text, so that any labels can be compared.
    texts = [np.asarray(list(map(str, split.labels))) if classes else split.labels for split in (train, test)]
    if classes and len(set(texts[0])) < 2:
        return None
    models: list[Any] = [LogisticRegression(max_iter=200) if classes else Ridge()]
    if with_forest:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        forest = RandomForestClassifier if classes else RandomForestRegressor
        models.append(forest(max_features=min(test.x.shape[1], MOST_SPLIT_COLUMNS), **FOREST))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, of many classes: about models that users do not see
        return max(float(model.fit(train.x, texts[0]).score(test.x, texts[1])) for model in models)


def has_noisy_target(dataset: Dataset) -> bool:
    """Return whether simple models explain little of the target: of its variance, or of the other classes' rows.

    A linear model and a random forest are trained on up to 1,000 of the training rows, and scored on as many others.
    """
    order = np.random.default_rng(0).permutation(dataset.train.rows)[:NOISE_ROWS]
    train, test = (dataset.train.take(np.sort(part)) for part in np.array_split(order, 2))
    score = linear_score(train, test, dataset.classes, with_forest=True)
    if score is None:
        return False
    constant = 0.0
    if dataset.classes:
        counts = np.unique(np.asarray(list(map(str, test.labels))), return_counts=True)[1]
        constant = float(counts.max() / test.rows)
    return score - constant < NOISY * (1.0 - constant)


def describe_baselines(report: Report | RegressionReport, linear: float | None) -> str:
    """Return the scores of a constant prediction and of a linear model in a line."""
    if isinstance(report, Report):
        constant = f"{100 * report.constant_accuracy:.2f} % by always predicting {report.commonest.label!r}"
        return f"for comparison: {constant}" + ("" if linear is None else f", {100 * linear:.2f} % by a linear model")
    constant = f"R² 0 and RMSE {describe_number(report.constant_rmse)} by always predicting the mean"
    return f"for comparison: {constant}" + ("" if linear is None else f", R² {linear:.4f} by a linear model")
