"""Cross-validation: how much a score depends on which rows are trained on and which are held out."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from xpmlp.backends import Backend
from xpmlp.datasets import Dataset
from xpmlp.errors import SettingsError

from .callbacks import EarlyStopping
from .evaluation import evaluate
from .recipes import Recipe
from .train import fit_dataset, make_model

SEED = 0  # of the folds, so that runs with different seeds are scored on the same rows


def cross_validate(
    dataset: Dataset,
    recipe: Recipe,
    folds: int,
    *,
    validation_fraction: float | None = None,
    patience: int | None = None,
    backend: Backend | None = None,
    **options: Any,
) -> Iterator[float]:
    """Yield the score of each fold of the training rows: of a network trained on the others, accuracy or R².

    The test rows are not used. Classes have the same share in every fold.

    Parameters
    ----------
    validation_fraction, patience
        If the epoch to keep is to be chosen; see `Dataset.with_validation` and `EarlyStopping`.
    **options
        Of `fit_dataset`.

    Raises
    ------
    SettingsError
        If there are fewer than 2 folds, or fewer rows than folds.
    DivergedError
        If training a fold diverges.
    KeyboardInterrupt
        If training a fold was interrupted.
    """
    for fold in split_folds(dataset, folds):
        callbacks: list[Any] = []
        if validation_fraction:
            fold, callbacks = fold.with_validation(validation_fraction), [EarlyStopping(patience)]
        result = fit_dataset(fold, recipe, backend=backend, callbacks=callbacks, **options)
        if result.interrupted:
            raise KeyboardInterrupt
        yield evaluate(make_model(fold, recipe, result), fold.test, backend=backend).score


def split_folds(dataset: Dataset, folds: int) -> Iterator[Dataset]:
    """Yield datasets in which each fold of the training rows is held out once as test rows."""
    for train, test in split_rows_into_folds(dataset, folds):
        yield replace(dataset, train=dataset.train.take(train), test=dataset.train.take(test), validation=None)


def split_rows_into_folds(dataset: Dataset, folds: int) -> list[tuple[Any, Any]]:
    """Return for each fold the positions of the training rows that are trained on, and of those held out."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if dataset.stream is not None:
        raise SettingsError(
            f"folds: {dataset.name} is streamed, as it takes {dataset.why_streamed}. Leave the folds out, or cross-"
            "validate on a file with fewer of its rows."
        )
    labels = dataset.train.labels
    if not 2 <= folds <= dataset.train.rows:
        raise SettingsError(f"folds: {folds} is not from 2 to {dataset.train.rows:,}, the number of training rows.")
    splitter = (StratifiedKFold if dataset.classes else KFold)(folds, shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer rows than folds
        try:
            return list(splitter.split(labels, list(map(str, labels)) if dataset.classes else None))
        except ValueError as error:
            raise SettingsError(f"folds: {folds} is more than the rows of every class. Use fewer folds.") from error


def describe_scores(scores: list[float], *, is_classifier: bool) -> str:
    """Return the mean of scores and their standard deviation as text."""
    mean, deviation = float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    if is_classifier:
        return f"accuracy {100 * mean:.2f} % ± {100 * deviation:.2f} %"
    return f"R² {mean:.4f} ± {deviation:.4f}"
