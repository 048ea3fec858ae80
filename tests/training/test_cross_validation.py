"""Folds are scikit-learn's, and their scores those of networks trained without them."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold

from xpmlp import Dataset, Recipe, Split, load_dataset, predict
from xpmlp.errors import SettingsError
from xpmlp.training import EarlyStopping, fit_dataset, make_model
from xpmlp.training.cross_validation import cross_validate, describe_scores, split_folds

SHORT = Recipe(hidden_layer_sizes=(8,), epochs=3)


@pytest.mark.parametrize(("name", "patience"), [("iris", None), ("diabetes", 2)])
def test_scores_are_those_of_networks_trained_without_the_fold(name: str, patience: int | None) -> None:
    data = load_dataset(name)
    # What the test rows hold must not matter.
    blank = replace(data, test=Split(np.full_like(data.test.x, np.nan), data.test.labels))
    fraction = None if patience is None else 0.2
    scores = list(cross_validate(blank, SHORT, 3, validation_fraction=fraction, patience=patience))
    splitter = (StratifiedKFold if data.classes else KFold)(3, shuffle=True, random_state=0)
    for score, (rows, held_out) in zip(scores, splitter.split(data.train.x, data.train.labels), strict=True):
        fold = replace(data, train=data.train.take(rows))
        callbacks = []
        if patience is not None:
            fold, callbacks = fold.with_validation(0.2), [EarlyStopping(patience)]
        model = make_model(fold, SHORT, fit_dataset(fold, SHORT, callbacks=callbacks))
        predicted = predict(model, data.train.take(held_out)).labels
        truth = data.train.labels[held_out]
        assert score == pytest.approx((accuracy_score if data.classes else r2_score)(truth, predicted))


def uneven(rows: int) -> Dataset:
    """Rows of two classes, one of which has two rows."""
    labels = np.array([0] * (rows - 2) + [1] * 2)
    split = Split(np.arange(rows, dtype=np.float32)[:, None], labels)
    return Dataset("uneven", split, split, (0, 1), (1,), 1.0, "memory")


def test_every_row_is_held_out_once_also_of_classes_with_fewer_rows_than_folds() -> None:
    folds = list(split_folds(uneven(11), 5))
    assert sorted(np.concatenate([fold.test.x for fold in folds])[:, 0]) == list(range(11))
    for fold in folds:
        assert not set(fold.train.x[:, 0]) & set(fold.test.x[:, 0])
        assert fold.train.rows + fold.test.rows == 11


@pytest.mark.parametrize(("rows", "folds", "message"), [(9, 1, "from 2 to 9"), (9, 10, "from 2 to 9"), (9, 8, "every")])
def test_more_folds_than_rows_are_refused(rows: int, folds: int, message: str) -> None:
    with pytest.raises(SettingsError, match=f"folds: {folds} is .*{message}"):
        list(split_folds(uneven(rows), folds))


def test_scores_are_summarised_by_mean_and_standard_deviation() -> None:
    assert describe_scores([0.9, 0.95, 1.0], is_classifier=True) == "accuracy 95.00 % ± 5.00 %"
    assert describe_scores([0.5], is_classifier=False) == "R² 0.5000 ± 0.0000"
