"""Estimators in several processes, each with samples of its own, get the network of one process with all of them.

Most tests are for several processes: mpiexec -n 2 python -m pytest tests/estimators/test_processes.py
"""

import os
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits

from xpmlp.errors import SettingsError
from xpmlp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Uncopied:
    """Stands for a communicator of mpi4py, which can be neither copied nor pickled."""

    rank, size = 0, 1

    def __reduce__(self) -> Any:
        raise ValueError("cannot serialize")

    def Allreduce(self) -> None:
        """Do nothing."""


def test_a_clone_has_the_same_communicator_and_a_pickle_none() -> None:
    communicator = Uncopied()
    x, y = load_digits(return_X_y=True)
    fitted = MLPClassifier((4,), communicator=communicator, max_iter=2).fit(x, y)
    copy = clone(fitted)
    assert copy.get_params()["communicator"] is communicator
    assert not hasattr(copy, "coefs_")
    restored = pickle.loads(pickle.dumps(fitted))
    assert restored.communicator is None
    assert fitted.communicator is communicator
    np.testing.assert_array_equal(restored.predict(x), fitted.predict(x))


def test_what_is_no_communicator_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"communicator: 3 is none of mpi4py's, such as mpi4py.MPI.COMM_WORLD"):
        MLPRegressor(communicator=3).fit([[0.0], [1.0]], [0.0, 1.0])


@pytest.fixture(scope="module")
def world() -> Any:
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE", os.environ.get("PMI_SIZE", "1"))) < 2:
        pytest.skip("needs mpiexec -n 2, as in nox -s mpi")
    return pytest.importorskip("mpi4py.MPI").COMM_WORLD


def own_part(world: Any, *arrays: Any) -> list[Any]:
    """Return this process's rows of arrays: a seventh, two sevenths, …, the rest."""
    rows = arrays[0].shape[0]
    start = rows * world.rank * (world.rank + 1) // 14
    stop = rows if world.rank == world.size - 1 else rows * (world.rank + 1) * (world.rank + 2) // 14
    return [None if array is None else array[start:stop] for array in arrays]


DIGITS, CLASSES = load_digits(return_X_y=True)
DIGITS = DIGITS[np.argsort(CLASSES, kind="stable")] / 16.0  # sorted, so that no process has all classes
CLASSES = np.sort(CLASSES)
PATIENTS, PROGRESS = load_diabetes(return_X_y=True)
PROGRESS = (PROGRESS - PROGRESS.mean()) / PROGRESS.std()
WEIGHT = np.random.default_rng(0).uniform(0.0, 2.0, len(CLASSES))


@pytest.mark.parametrize(
    ("estimator", "x", "y", "weight"),
    [
        (MLPClassifier(max_iter=15), DIGITS, np.asarray([f"{name:0{name + 1}}" for name in CLASSES]), None),
        (
            MLPClassifier(solver="sgd", class_weight="balanced", early_stopping=True, max_iter=15),
            DIGITS,
            CLASSES,
            WEIGHT,
        ),
        (MLPClassifier(early_stopping="loss", n_iter_no_change=3, max_iter=30), DIGITS, CLASSES > 4, None),
        (MLPClassifier(tol=1e-2, n_iter_no_change=3), DIGITS, CLASSES, None),
        (MLPClassifier(solver="lbfgs", class_weight={3: 2.0}, alpha=0.1, max_iter=20), DIGITS, CLASSES, WEIGHT),
        (MLPClassifier(max_iter=10), scipy.sparse.csr_matrix(DIGITS), CLASSES, None),
        (MLPClassifier(max_iter=10), DIGITS, np.stack([CLASSES > 3, CLASSES % 2 == 0], 1).astype(int), None),
        (MLPRegressor(early_stopping=True, n_iter_no_change=4), PATIENTS, PROGRESS, WEIGHT[: len(PATIENTS)]),
        (MLPRegressor(loss="quantile", early_stopping=True, max_iter=20), PATIENTS, PROGRESS, None),
    ],
    ids=["names", "balanced", "two classes", "tol", "lbfgs", "sparse", "multilabel", "regression", "quantiles"],
)
def test_the_network_is_that_of_all_samples(world: Any, estimator: Any, x: Any, y: Any, weight: Any) -> None:
    alone = clone(estimator).set_params(hidden_layer_sizes=(12,), random_state=0)
    together = clone(alone).set_params(communicator=world)
    alone.fit(x, y, sample_weight=weight)
    own_x, own_y, own_weight = own_part(world, x, y, weight)
    together.fit(own_x, own_y, sample_weight=own_weight)
    assert together.n_iter_ == alone.n_iter_
    for found, expected in zip(together.coefs_ + together.intercepts_, alone.coefs_ + alone.intercepts_, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(together.loss_, alone.loss_)
    if alone.early_stopping:
        np.testing.assert_allclose(together.validation_scores_, alone.validation_scores_)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_partial_fit_continues_with_further_samples_of_each(world: Any, library: str) -> None:
    xp = pytest.importorskip(library)
    alone = MLPClassifier((12,), random_state=0)
    together = MLPClassifier((12,), random_state=0, communicator=world)
    for start in range(0, 1600, 400):
        x, y = DIGITS[start : start + 400], CLASSES[start : start + 400]
        alone.partial_fit(x, y, classes=range(10))
        own_x, own_y = map(xp.asarray, own_part(world, x, y))
        together.partial_fit(own_x, own_y, classes=range(10))
    for found, expected in zip(together.coefs_, alone.coefs_, strict=True):
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-10)


def test_without_a_seed_all_draw_the_same_weights(world: Any) -> None:
    fitted = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=50, communicator=world)
    fitted.fit(*own_part(world, PATIENTS, PROGRESS))
    assert len(set(world.allgather(fitted.coefs_[0].tobytes()))) == 1


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        ({}, lambda x, y: (x[:0], y[:0]), "process 1 of .: X has no samples. Give every process at least one"),
        ({}, lambda x, y: (x, y[1:]), "process 1 of .: Found input variables with inconsistent numbers"),
        ({}, lambda x, y: (x * np.nan, y), "process 1 of .: Input X contains NaN"),
        ({}, lambda x, y: (x[:, 1:], y), "features of X: is 64 in process 0, but 63 in process 1"),
        ({}, lambda x, y: (x, y.astype(str)), "kind of labels: is i in process 0, but U in process 1"),
        ({"early_stopping": "f1_macro"}, lambda x, y: (x, y), "early_stopping='f1_macro': a scorer needs all"),
    ],
    ids=["no samples", "other lengths", "not finite", "other columns", "other labels", "scorer"],
)
def test_all_refuse_what_one_cannot_use(world: Any, settings: Any, change: Any, message: str) -> None:
    own = own_part(world, DIGITS, CLASSES)
    with pytest.raises(ValueError, match=message):
        MLPClassifier(communicator=world, **settings).fit(*(change(*own) if world.rank == 1 else own))


def test_other_parameters_are_refused(world: Any) -> None:
    with pytest.raises(SettingsError, match=r"alpha: is 0.0 in process 0, but 0.1 in process 1"):
        MLPClassifier(communicator=world, alpha=0.1 * min(world.rank, 1)).fit(*own_part(world, DIGITS, CLASSES))
