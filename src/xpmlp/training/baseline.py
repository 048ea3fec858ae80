"""Scores of simple models on the same rows, without which that of a network says little."""

import warnings

import numpy as np

from xpmlp.datasets import Dataset, Split

from .evaluation import RegressionReport, Report
from .progress import describe_number

MOST_VALUES, MOST_ROWS = 10_000_000, 100_000  # rows × inputs × classes; fitting more takes longer than seconds
NOISE_ROWS, NOISY = 2_000, 0.3


def linear_score(train: Split, test: Split, classes: tuple[int | str, ...] = ()) -> float | None:
    """Return the accuracy on test rows of scikit-learn's logistic regression, or the R² of its ridge regression.

    None if fitting it would take long, or if there is nothing to compare.
    """
    outputs = len(classes) if len(classes) > 2 else 1
    if train.rows > MOST_ROWS or train.rows * test.x.shape[1] * outputs > MOST_VALUES or test.rows < 2:
        return None
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    # As text, so that any labels can be compared.
    texts = [np.asarray(list(map(str, split.labels))) if classes else split.labels for split in (train, test)]
    if classes and len(set(texts[0])) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = (LogisticRegression(max_iter=200) if classes else Ridge()).fit(train.x, texts[0])
    return float(model.score(test.x, texts[1]))


def has_noisy_target(dataset: Dataset) -> bool:
    """Return whether a linear model explains little of the target: of its variance, or of the other classes' rows.

    It is trained on up to 1,000 of the training rows, and scored on as many others.
    """
    order = np.random.default_rng(0).permutation(dataset.train.rows)[:NOISE_ROWS]
    train, test = (dataset.train.take(np.sort(part)) for part in np.array_split(order, 2))
    score = linear_score(train, test, dataset.classes)
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
