"""Arrays of other libraries: training and prediction happen where they are."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose
from sklearn.exceptions import DataConversionWarning

import xpmlp
from xpmlp.backends import infer_backend
from xpmlp.estimators import MLPClassifier, MLPRegressor
from xpmlp.estimators.arrays import to_host

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
Convert = Callable[[Any], Any]
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (12,), "max_iter": 12, "random_state": 0}
MANY: dict[str, Any] = {"hidden_layer_sizes": (8, 6), "activation": ("mish", "selu"), "dropout": (0.1, 0.2)}
MANY |= {"solver": "adamw", "max_grad_norm": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *((kind, {}) for kind in ("three classes", "two classes", "multilabel", "one number", "two numbers")),
        *((kind, {"early_stopping": True}) for kind in ("two classes", "multilabel", "two numbers")),
        *((kind, {"solver": "lbfgs", "max_iter": 6}) for kind in ("three classes", "one number")),
        ("three classes", {"dropout": 0.4, "hidden_layer_sizes": (20, 10)}),
        ("two classes", {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1}),
        ("two numbers", {"shuffle": False, "activation": "logistic", "batch_size": 32}),
        ("three classes", {"ensemble": 3}),
        ("two classes", MANY | {"label_smoothing": 0.1}),
        ("one number", MANY | {"loss": "quantile", "out_activation": "softplus"}),
    ],
)
def test_every_library_trains_numpys_network(
    assert_same_network: Any, iris: Any, library: str, convert: Convert, kind: str, settings: dict[str, Any]
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
    assert_same_network(estimator, reference, 1e-4)
    assert_allclose(estimator.loss_, reference.loss_, atol=1e-4)
    assert estimator.n_iter_ == reference.n_iter_
    for name in filter(partial(hasattr, reference), ("predict", "predict_proba", "predict_log_proba")):
        answer, expected = getattr(estimator, name)(convert(x)), getattr(reference, name)(x)
        assert infer_backend(answer).name == infer_backend(estimator.coefs_[0]).name == library
        assert answer.shape == expected.shape
        assert_allclose(to_host(answer), expected, atol=2e-3 if "log" in name else 1e-3)
    assert estimator.score(convert(x), convert(y)) == pytest.approx(reference.score(x, y), abs=1e-3)
    by_name = make(**SETTINGS | settings, backend=library).fit(x, y)
    assert isinstance(by_name.coefs_[0], np.ndarray)
    assert isinstance(by_name.predict(x), np.ndarray)
    assert_same_network(by_name, estimator, 1e-6)


@pytest.mark.parametrize("kind", ["array", "list", "polars", "pl.Categorical", "pandas str", "pandas category"])
def test_text_labels_give_numpy_predictions(iris: Any, convert: Convert, kind: str) -> None:
    names = np.array(["setosa", "versicolor", "virginica"])[iris[1]]
    labels: Any = names.tolist() if kind == "list" else names
    if kind.startswith("p"):
        library, _, dtype = kind.partition(" ")
        frames = pytest.importorskip("pandas" if library == "pandas" else "polars")
        labels = frames.Series(names, dtype=dtype or (frames.Categorical if "." in kind else None))
    x = convert(iris[0].astype(np.float32))
    estimator = MLPClassifier(**SETTINGS).partial_fit(x, labels, classes=sorted(set(names)))
    predicted = estimator.predict(x)
    assert isinstance(predicted, np.ndarray)
    assert set(predicted) <= set(names)
    assert estimator.score(x, labels) == np.mean(predicted == names)


@pytest.mark.parametrize("convert_classes", [False, True])
def test_partial_fit_and_warm_start_train_numpys_network(
    assert_same_network: Any, iris: Any, convert: Convert, convert_classes: bool
) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    reference, estimator = MLPClassifier(**SETTINGS), MLPClassifier(**SETTINGS)
    classes = convert(y) if convert_classes else [0, 1, 2]
    for start in range(0, 150, 50):
        rows = slice(start, start + 50)
        reference.partial_fit(x[rows], y[rows], classes=[0, 1, 2])
        estimator.partial_fit(convert(x[rows]), convert(y[rows]), classes=classes)
    assert_same_network(estimator, reference, 1e-4)
    with pytest.raises(ValueError, match=r"has classes not in `self.classes_`"):
        estimator.partial_fit(convert(x), convert(y + 1))
    reference.set_params(warm_start=True).fit(x, y)
    estimator.set_params(warm_start=True).fit(convert(x), convert(y))
    assert_same_network(estimator, reference, 1e-4)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes"):
        estimator.fit(convert(x), convert(y + 1))


def test_to_moves_a_network(assert_same_network: Any, iris: Any, library: str, convert: Convert) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    reference, estimator = (MLPClassifier(**SETTINGS).fit(x, y) for _ in range(2))
    assert estimator.to(library) is estimator
    assert infer_backend(estimator.coefs_[0]).name == library
    assert_allclose(estimator.predict_proba(x), reference.predict_proba(x), atol=1e-6)
    assert_allclose(to_host(estimator.predict_proba(convert(x))), reference.predict_proba(x), atol=1e-6)
    for each in (reference, estimator):
        each.partial_fit(x, y)
    assert_same_network(estimator, reference, 1e-4)
    assert isinstance(estimator.to("numpy").coefs_[0], np.ndarray)
    assert_allclose(estimator.predict_proba(x), reference.predict_proba(x), atol=1e-5)


def test_a_copy_trains_on_the_device(assert_same_network: Any, iris: Any, library: str, convert: Convert) -> None:
    x, y = convert(iris[0].astype(np.float32)), convert(iris[1])
    original = MLPClassifier(**SETTINGS).fit(x, y)
    twins = pickle.loads(pickle.dumps(original)), copy.deepcopy(original)
    original.partial_fit(x, y)
    for twin in twins:
        assert infer_backend(twin.coefs_[0]).name == library
        assert_same_network(twin.partial_fit(x, y), original, 1e-4)


@pytest.mark.parametrize(
    ("make", "extra"), [(MLPClassifier, {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}}), (MLPRegressor, {})]
)
def test_targets_and_weights_follow_the_samples(
    assert_same_network: Any, iris: Any, library: str, convert: Convert, make: Any, extra: dict[str, Any]
) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    weight = np.linspace(0.0, 1.5, len(y))
    expected = make(**SETTINGS, **extra).fit(x, y, weight)
    for moved in ([0, 2], [0, 1], [1, 2], [0, 1, 2]):
        arrays = [convert(array) if index in moved else array for index, array in enumerate((x, y, weight))]
        estimator = make(**SETTINGS, **extra).fit(*arrays)
        assert_same_network(estimator, expected, 1e-4)
        source = infer_backend(arrays[0]).name
        assert infer_backend(estimator.coefs_[0]).name == infer_backend(estimator.predict(arrays[0])).name == source
        assert estimator.score(*arrays) == pytest.approx(expected.score(x, y, weight), abs=1e-3)


def test_lists_mix_with_arrays_of_any_library(assert_same_network: Any, iris: Any, convert: Convert) -> None:
    x, y = iris[0].astype(np.float32), iris[1]
    expected = MLPClassifier(**SETTINGS).fit(convert(x), convert(y))
    for arrays in ((x.tolist(), convert(y), [1.0] * len(x)), (convert(x), y.tolist(), np.float32(1.0))):
        assert_same_network(MLPClassifier(**SETTINGS, dtype="float32").fit(*arrays), expected, 1e-4)


NOT_FINITE = np.array([[1.0, 2.0], [np.nan, 1.0], [np.inf, 0.0]], dtype=np.float32)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize(
    ("x", "y", "weight"),
    [
        (np.float32(3.0), np.arange(1), None),
        (np.ones(5), np.arange(5), None),
        (np.ones((0, 3)), np.arange(0), None),
        (np.ones((3, 0)), np.arange(3), None),
        (np.ones((2, 2, 1)), np.arange(2), None),
        (NOT_FINITE, np.arange(3), None),
        (NOT_FINITE[[0, 2]], np.arange(2), None),
        (np.ones((2, 2)), None, None),
        (np.ones((2, 2)), np.ones((2, 1, 1)), None),
        (np.ones((2, 2)), np.ones((2, 0)), None),
        (np.ones((3, 2)), np.arange(2), None),
        (np.ones((3, 2)), NOT_FINITE[:, 0], None),
        (np.ones((2, 2)), NOT_FINITE[[0, 2], 0], None),
        (np.ones((2, 2)), np.arange(2), np.ones(3)),
        (np.ones((2, 2)), np.arange(2), np.ones((2, 1))),
        (np.ones((2, 2)), np.arange(2), np.ones(0)),
        (np.ones((2, 2)), np.arange(2), np.array([1.0, np.nan])),
        (np.ones((2, 2)), np.arange(2), ["heavy", "light"]),
    ],
)
def test_bad_input_gets_scikit_learns_message(convert: Convert, kind: str, x: Any, y: Any, weight: Any) -> None:
    arrays = [convert(array) if hasattr(array, "dtype") else array for array in (x, y, weight)]
    messages = set()
    for module, given in ((sklearn.neural_network, (x, y, weight)), (xpmlp, arrays)):
        with pytest.raises(ValueError, match=r".+") as raised:
            getattr(module, f"MLP{kind.title()}")().fit(*given)
        messages.add(str(raised.value).replace("float32", "float64"))  # some libraries have no float64
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("make", "y", "weight", "message"),
    [
        (MLPClassifier, [0.5, 1.0], None, "Unknown label type: continuous"),
        (MLPClassifier, [[0, 1], [2, 3]], None, "Multioutput target data is not supported"),
        (MLPClassifier, [0, 1], [1.0, -1.0], "Negative values in data passed to `sample_weight`"),
        (MLPClassifier, [0, 1], [0.0, 0.0], "at least one non-zero"),
        (MLPClassifier, [0, 1], [1.0, 1.0j], "Complex data not supported"),
        (MLPRegressor, [0.0, 1.0j], None, "Complex data not supported"),
        (MLPRegressor, 3, None, r"at least 1 dimension|Singleton array"),
        (lambda: MLPRegressor(loss="poisson"), [1.0, -1.0], None, "out of the valid range of the loss"),
    ],
)
def test_bad_targets_are_refused(convert: Convert, make: Any, y: Any, weight: Any, message: str) -> None:
    x, y, weight = np.ones((2, 2)), np.asarray(y), None if weight is None else np.asarray(weight)
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(convert(x), convert(y), None if weight is None else convert(weight))
    with pytest.raises(ValueError, match="Complex data not supported"):
        make().fit(convert(x + 1j), convert(y), None)


def test_sparse_tensors_are_refused(iris: Any) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"Make them dense with X\.to_dense\(\)"):
        MLPClassifier().fit(torch.asarray(iris[0]).to_sparse(), torch.asarray(iris[1]))


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_column_of_targets_warns_and_other_features_are_refused(iris: Any, convert: Convert, make: Any) -> None:
    estimator = make(**SETTINGS)
    with pytest.warns(DataConversionWarning, match=r"A column-vector y was passed .* y to \(n_samples, \)"):
        estimator.fit(convert(iris[0]), convert(iris[1][:, None]))
    with pytest.raises(ValueError, match=rf"X has 3 features, but {make.__name__} is expecting 4 features as input"):
        estimator.predict(convert(iris[0][:, :3]))


@pytest.mark.parametrize(("dtype", "expected"), [(None, "float32"), ("float32", "float32"), ("float64", "float64")])
def test_integers_become_float32_unless_dtype_is_set(iris: Any, convert: Convert, dtype: Any, expected: str) -> None:
    x = convert(np.round(iris[0]).astype(np.int32))
    estimator = MLPClassifier(**SETTINGS, dtype=dtype).fit(x, convert(iris[1]))
    assert str(estimator.coefs_[0].dtype).endswith(expected)
