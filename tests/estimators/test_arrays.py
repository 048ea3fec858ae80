"""Arrays of other libraries: computed with where they are, and answered in kind."""

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import GridSearchCV

import xpmlp
from xpmlp.backends import infer_backend
from xpmlp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
Convert = Callable[[Any], Any]
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (12,), "max_iter": 12, "random_state": 0}


def to_numpy(array: Any) -> Any:
    backend = infer_backend(array)
    with backend.scope():
        return backend.to_numpy(array)


def assert_same_network(estimator: Any, reference: Any) -> None:
    for mine, other in zip(
        estimator.coefs_ + estimator.intercepts_, reference.coefs_ + reference.intercepts_, strict=True
    ):
        assert_allclose(to_numpy(mine), to_numpy(other), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1, "batch_size": 32},
        {"early_stopping": True},
        {"solver": "lbfgs", "max_iter": 6},
        {"shuffle": False, "activation": "logistic"},
    ],
    ids=["adam", "sgd", "early stopping", "lbfgs", "in order"],
)
@pytest.mark.parametrize("kind", ["three classes", "two classes", "multilabel", "one number", "two numbers"])
def test_any_library_trains_numpys_network_and_answers_in_kind(
    iris: Any, library: str, convert: Convert, kind: str, settings: dict[str, Any]
) -> None:
    x = iris[0].astype(np.float32)
    targets: dict[str, Any] = {
        "three classes": iris[1] + 4,
        "two classes": (iris[1] > 1).astype(int),
        "multilabel": np.stack([iris[1] > 0, iris[1] > 1], axis=1).astype(int),
        "one number": x[:, 0],
        "two numbers": x[:, :2],
    }
    y = targets[kind]
    make = MLPRegressor if "number" in kind else MLPClassifier
    reference = make(**SETTINGS | settings).fit(x, y)
    estimator = make(**SETTINGS | settings).fit(convert(x), convert(y))
    assert_same_network(estimator, reference)
    assert_allclose(estimator.loss_, reference.loss_, atol=1e-4)
    assert estimator.n_iter_ == reference.n_iter_
    for name in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(reference, name):
            answer = getattr(estimator, name)(convert(x))
            assert infer_backend(answer).name == infer_backend(estimator.coefs_[0]).name == library
            expected = getattr(reference, name)(x)
            assert answer.shape == expected.shape
            assert_allclose(to_numpy(answer), expected, atol=2e-3 if "log" in name else 1e-3)
    assert estimator.score(convert(x), convert(y)) == pytest.approx(reference.score(x, y), abs=1e-3)


def test_weights_of_samples_and_classes_count_on_any_library(iris: Any, convert: Convert) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    weight = np.random.default_rng(0).uniform(0.0, 2.0, 150).astype(np.float32)
    settings = SETTINGS | {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}}
    reference = MLPClassifier(**settings).fit(x, y, weight)
    estimator = MLPClassifier(**settings).fit(convert(x), convert(y), convert(weight))
    assert_same_network(estimator, reference)
    expected = reference.score(x, y, weight)
    assert estimator.score(convert(x), convert(y), convert(weight)) == pytest.approx(expected, abs=1e-6)


def test_labels_that_no_device_can_hold_come_back_as_numpys(iris: Any, convert: Convert) -> None:
    names = np.array(["setosa", "versicolor", "virginica"])[iris[1]]
    x = convert(iris[0].astype(np.float32))
    for labels in (names, names.tolist(), pl.Series(names), pl.Series(names, dtype=pl.Categorical)):
        estimator = MLPClassifier(**SETTINGS).fit(x, labels)
        predicted = estimator.predict(x)
        assert isinstance(predicted, np.ndarray)
        assert set(predicted) <= set(names)
        assert estimator.score(x, labels) == np.mean(predicted == names)


def test_a_column_of_text_goes_with_arrays_of_any_library(iris: Any, convert: Convert) -> None:
    pandas = pytest.importorskip("pandas")
    names = np.array(["setosa", "versicolor", "virginica"])[iris[1]]
    x = convert(iris[0].astype(np.float32))
    for dtype in ("str", "object", "category"):
        labels = pandas.Series(names, dtype=dtype)
        estimator = MLPClassifier(**SETTINGS).partial_fit(x, labels, classes=labels.unique())
        assert estimator.score(x, labels) == np.mean(estimator.predict(x) == names)


def test_partial_fit_goes_numpys_way(iris: Any, convert: Convert) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    reference, estimator = MLPClassifier(**SETTINGS), MLPClassifier(**SETTINGS)
    for start in range(0, 150, 50):
        rows = slice(start, start + 50)
        classes = [0, 1, 2] if start == 0 else None
        reference.partial_fit(x[rows], y[rows], classes=classes)
        estimator.partial_fit(convert(x[rows]), convert(y[rows]), classes=classes)
    assert_same_network(estimator, reference)
    with pytest.raises(ValueError, match=r"has classes not in `self.classes_`"):
        estimator.partial_fit(convert(x), convert(y + 1))


def test_warm_start_goes_numpys_way(iris: Any, convert: Convert) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    reference, estimator = (MLPClassifier(**SETTINGS, warm_start=True) for _ in range(2))
    for _ in range(2):
        reference.fit(x, y)
        estimator.fit(convert(x), convert(y))
    assert_same_network(estimator, reference)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes"):
        estimator.fit(convert(x), convert(y + 1))


def test_a_backend_may_be_asked_for_by_name(iris: Any, library: str) -> None:
    x, y = iris
    reference = MLPClassifier(**SETTINGS).fit(x, y)
    estimator = MLPClassifier(**SETTINGS, backend=library).fit(x, y)
    assert isinstance(estimator.coefs_[0], np.ndarray)
    assert isinstance(estimator.predict(x), np.ndarray)
    assert_same_network(estimator, reference)
    assert_allclose(estimator.predict_proba(x), reference.predict_proba(x), atol=1e-9)
    assert clone(estimator).get_params() == estimator.get_params()


def test_a_network_may_be_moved_and_goes_on_there(iris: Any, library: str, convert: Convert) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    reference, estimator = (MLPClassifier(**SETTINGS).fit(x, y) for _ in range(2))
    assert estimator.to(library) is estimator
    assert infer_backend(estimator.coefs_[0]).name == library
    assert_allclose(estimator.predict_proba(x), reference.predict_proba(x), atol=1e-6)
    assert_allclose(to_numpy(estimator.predict_proba(convert(x))), reference.predict_proba(x), atol=1e-6)
    for each in (reference, estimator):
        each.partial_fit(x, y)
    assert_same_network(estimator, reference)
    estimator.to("numpy")
    assert isinstance(estimator.coefs_[0], np.ndarray)
    assert_allclose(estimator.predict_proba(x), reference.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize("copied", [lambda estimator: pickle.loads(pickle.dumps(estimator)), copy.deepcopy])
def test_a_copy_is_where_the_original_is_and_goes_on_as_it_would(
    iris: Any, library: str, convert: Convert, copied: Callable[[Any], Any]
) -> None:
    x, y = convert(iris[0].astype(np.float32)), convert(iris[1])
    original = MLPClassifier(**SETTINGS).fit(x, y)
    twin = copied(original)
    assert infer_backend(twin.coefs_[0]).name == library
    assert_array_equal(to_numpy(twin.predict_proba(x)), to_numpy(original.predict_proba(x)))
    for each in (original, twin):
        each.partial_fit(x, y)
    assert_same_network(twin, original)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_targets_and_weights_follow_the_samples(iris: Any, library: str, convert: Convert, make: Any) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    weight = np.linspace(0.5, 1.5, len(y))
    expected = make(**SETTINGS).fit(x, y, weight)
    for arrays in (
        (convert(x), y, convert(weight)),
        (convert(x), convert(y), weight),
        (x, convert(y), convert(weight)),
    ):
        estimator = make(**SETTINGS).fit(*arrays)
        assert_same_network(estimator, expected)
        source = infer_backend(arrays[0]).name
        assert infer_backend(estimator.coefs_[0]).name == infer_backend(estimator.predict(arrays[0])).name == source
        assert estimator.score(*arrays) == pytest.approx(expected.score(x, y, weight), abs=1e-3)


@pytest.mark.parametrize(
    ("x", "y", "weight", "message"),
    [
        (np.ones(5), np.arange(5), None, "Expected 2D array, got 1D array instead"),
        (np.ones((0, 3)), np.arange(0), None, r"Found array with 0 sample\(s\)"),
        (np.ones((3, 0)), np.arange(3), None, r"Found array with 0 feature\(s\)"),
        (np.array([[1.0], [np.nan]]), np.arange(2), None, "Input X contains NaN"),
        (np.array([[1.0], [np.inf]]), np.arange(2), None, "Input X contains infinity"),
        (np.ones((3, 2)), np.arange(2), None, r"inconsistent numbers of samples: \[3, 2\]"),
        (np.ones((3, 2)), np.array([0.5, 1.0, 2.0]), None, "Unknown label type: continuous"),
        (np.ones((2, 2)), np.array([[0, 1], [2, 3]]), None, "Multioutput target data is not supported"),
        (np.ones((2, 2)), np.arange(2), np.array([1.0, -1.0]), "Negative values in data passed to `sample_weight`"),
        (np.ones((2, 2)), np.arange(2), np.ones(3), r"sample_weight.shape == \(3,\), expected \(2,\)"),
        (np.ones((2, 2)), np.arange(2), np.zeros(2), "at least one non-zero"),
    ],
)
def test_bad_input_gets_scikit_learns_words(convert: Convert, x: Any, y: Any, weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPClassifier().fit(convert(x), convert(y), None if weight is None else convert(weight))


NOT_FINITE = np.array([[1.0, 2.0], [np.nan, 1.0], [np.inf, 0.0]], dtype=np.float32)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize(
    ("x", "y", "weight"),
    [
        (np.float32(3.0), np.arange(1), None),
        (np.ones((2, 2, 1)), np.arange(2), None),
        (NOT_FINITE, np.arange(3), None),
        (NOT_FINITE[[0, 2]], np.arange(2), None),
        (np.ones((2, 2)), None, None),
        (np.ones((2, 2)), np.ones((2, 1, 1)), None),
        (np.ones((2, 2)), np.ones((2, 0)), None),
        (np.ones((3, 2)), NOT_FINITE[:, 0], None),
        (np.ones((2, 2)), NOT_FINITE[[0, 2], 0], None),
        (np.ones((2, 2)), np.arange(2), np.ones((2, 1))),
        (np.ones((2, 2)), np.arange(2), np.ones(0)),
        (np.ones((2, 2)), np.arange(2), np.array([1.0, np.nan])),
        (np.ones((2, 2)), np.arange(2), ["heavy", "light"]),
    ],
)
def test_bad_input_gets_what_scikit_learn_says_of_numpys_arrays(
    convert: Convert, kind: str, x: Any, y: Any, weight: Any
) -> None:
    name = f"MLP{kind.title()}"
    theirs, ours = getattr(sklearn.neural_network, name)(), getattr(xpmlp, name)()
    with pytest.raises(ValueError, match=r".+") as expected:
        theirs.fit(x, y, weight)
    arrays = (convert(array) if hasattr(array, "dtype") else array for array in (x, y, weight))
    with pytest.raises(ValueError, match=r".+") as raised:
        ours.fit(*arrays)
    # A library may lack float64, and so have taken the number for a float32.
    assert str(raised.value).replace("float32", "float64") == str(expected.value).replace("float32", "float64")


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_complex_numbers_are_refused_wherever_they_are(convert: Convert, make: Any) -> None:
    x, y, weight = convert(np.ones((2, 2))), convert(np.arange(2)), convert(np.ones(2))
    complex_x, complex_y = convert(np.ones((2, 2)) + 1j), convert(np.ones(2) + 1j)
    for arrays in ((complex_x, y, weight), (x, complex_y, weight), (x, y, complex_y)):
        with pytest.raises(ValueError, match="Complex data not supported"):
            make().fit(*arrays)


def test_what_is_a_single_number_says_so(convert: Convert) -> None:
    with pytest.raises(TypeError, match=r"at least 1 dimension|Singleton array"):
        MLPRegressor().fit(convert(np.ones((2, 2))), convert(np.array(3)))


def test_lists_go_with_arrays_of_any_library(iris: Any, convert: Convert) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    expected = MLPClassifier(**SETTINGS).fit(convert(x), convert(y))
    for arrays in ((x.tolist(), convert(y), [1.0] * len(x)), (convert(x), y.tolist(), np.float32(1.0))):
        assert_same_network(MLPClassifier(**SETTINGS, dtype="float32").fit(*arrays), expected)


def test_bad_numbers_to_predict_are_refused(convert: Convert) -> None:
    x = convert(np.ones((2, 2)))
    with pytest.raises(ValueError, match="Input y contains NaN"):
        MLPRegressor().fit(x, convert(np.array([1.0, np.nan])))
    with pytest.raises(ValueError, match="out of the valid range of the loss 'poisson'"):
        MLPRegressor(loss="poisson").fit(x, convert(np.array([1.0, -1.0])))


def test_sparse_tensors_are_refused(iris: Any) -> None:
    torch = pytest.importorskip("torch")
    x, y = torch.asarray(iris[0]), torch.asarray(iris[1])
    with pytest.raises(TypeError, match=r"Make them dense with X\.to_dense\(\)"):
        MLPClassifier().fit(x.to_sparse(), y)


def test_another_number_of_features_is_refused(iris: Any, convert: Convert) -> None:
    estimator = MLPClassifier(**SETTINGS).fit(convert(iris[0]), convert(iris[1]))
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4 features as input"):
        estimator.predict(convert(iris[0][:, :3]))


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_column_of_targets_is_warned_of(iris: Any, convert: Convert, make: Any) -> None:
    with pytest.warns(DataConversionWarning, match=r"A column-vector y was passed .* y to \(n_samples, \)"):
        make(**SETTINGS).fit(convert(iris[0]), convert(iris[1][:, None]))


@pytest.mark.parametrize(("dtype", "expected"), [(None, "float32"), ("float32", "float32"), ("float64", "float64")])
def test_whole_numbers_are_computed_with_in_float32_unless_asked(
    iris: Any, convert: Convert, dtype: Any, expected: str
) -> None:
    x = convert(np.round(iris[0]).astype(np.int32))
    estimator = MLPClassifier(**SETTINGS, dtype=dtype).fit(x, convert(iris[1]))
    assert str(estimator.coefs_[0].dtype).endswith(expected)


def test_a_grid_search_takes_tensors(iris: Any) -> None:
    torch = pytest.importorskip("torch")
    x, y = torch.asarray(iris[0], dtype=torch.float32), torch.asarray(iris[1])
    search = GridSearchCV(MLPClassifier(**SETTINGS), {"alpha": [0.0, 1.0]}, cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(x, y)
    assert isinstance(search.predict(x), torch.Tensor)
