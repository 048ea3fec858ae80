"""The classifier."""

from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from jaxtyping import Float64
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from xpmlp.backends import Backend

from .base import MLPBase
from .labels import binarizer_of, check_labels, decode, encode, find_classes, has_device_labels, is_multilabel
from .places import dtype_name, home_of, move, on_host, to_host


class MLPClassifier(ClassifierMixin, MLPBase):
    """A multilayer perceptron that tells classes apart, with scikit-learn's interface.

    Every parameter, attribute and method of ``sklearn.neural_network.MLPClassifier`` is here under the same name with
    the same meaning, and the same ``random_state`` leads to the same network. What is new comes last among the
    parameters. ``docs/estimators.md`` compares the two.

    Parameters
    ----------
    class_weight
        Weights of the classes, as a dict, or ``"balanced"`` to let every class count alike in all; a list of dicts
        for several outputs. None lets every sample count alike.
    dropout
        The probability that a hidden unit is left out of a sample in training, from 0 to below 1.
    backend
        What computes: ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` or ``"auto"``. None follows the arrays.
    device
        Where: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``. None follows the arrays, or is the backend's choice.
    dtype
        ``"float32"`` or ``"float64"``, to compute in whatever the arrays are. None follows the arrays.
    callbacks
        Instances of `xpmlp.training.Callback`, called after each epoch of sgd and adam.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MLPBase._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }
    _y_numeric = False
    classes_: Any
    loss = "log_loss"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        class_weight: Any = None,
        dropout: Any = 0.0,
        backend: Any = None,
        device: Any = None,
        dtype: Any = None,
        callbacks: Any = (),
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.class_weight = class_weight
        self.dropout = dropout
        self.backend = backend
        self.device = device
        self.dtype = dtype
        self.callbacks = callbacks

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPClassifier":
        """Train on samples and their labels.

        Parameters
        ----------
        X
            Shape ``(samples, features)``: an array of any library, a data frame, or a sparse matrix.
        y
            Shape ``(samples,)``: labels; or ``(samples, outputs)``: 0 or 1 for each of several outputs.
        sample_weight
            Shape ``(samples,)``: how much each counts, at least 0. None lets all count alike.

        Raises
        ------
        DivergedError
            A ValueError: where the learning rate is too high for the data.
        SettingsError
            A ValueError: where the arrays are not all of one library and device, or the backend cannot be had.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(lambda estimator: estimator._is_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> "MLPClassifier":
        """Train one epoch more on these samples.

        Parameters
        ----------
        X, y, sample_weight
            See `fit`.
        classes
            All classes that there are; the first call needs them.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit: the samples of one call do not say how "
                "often each class comes. Pass weights of your own as a dict."
            )
        if not on_host(home_of(classes)):
            classes = to_host(home_of(classes), classes)
        if _check_partial_fit_first_call(self, classes):
            home = home_of(y)
            if not on_host(home):
                self._label_binarizer = binarizer_of(np.asarray(self.classes_), multilabel=is_multilabel(y))
            else:
                multilabel = type_of_target(y).startswith("multilabel")
                self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _check_targets(self, home: Backend, y: Any, *, incremental: bool) -> Any:
        """Return yes or no for each output, and find or check the classes."""
        on_device = not isinstance(y, np.ndarray) and not scipy.sparse.issparse(y)
        if on_device:
            y = check_labels(home, y)
        elif y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        find = (lambda y: find_classes(home, y)) if on_device else unique_labels
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            if on_device:
                self._label_binarizer = binarizer_of(find(y), multilabel=is_multilabel(y))
            else:
                self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(find(y), incremental=incremental)
        if on_device:
            return encode(home, y, self._label_binarizer)
        return self._label_binarizer.transform(y).astype(bool)

    def _check_classes(self, classes: Any, *, incremental: bool) -> None:
        """Refuse labels of other classes than those known."""
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _class_weighted(self, home: Backend, y: Any, weight: Any, x: Any) -> Any:
        """Return the samples' weights times those of their classes."""
        if self.class_weight is None:
            return weight
        of_class = home.asarray(self._sample_weight_of_classes(home, y), dtype_name(x))
        return of_class if weight is None else weight * of_class

    def _sample_weight_of_classes(self, home: Backend, y: Any) -> Float64[np.ndarray, " samples"]:
        """Return the weight of each sample's class."""
        labels = y if scipy.sparse.issparse(y) else to_host(home, y)
        if isinstance(self.class_weight, dict) and self._label_binarizer.y_type_ in ("binary", "multiclass"):
            # Of all classes that are known: a batch need not hold every class that has a weight.
            of_each = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
            weights = of_each[np.searchsorted(self.classes_, np.ravel(labels))]
        else:
            weights = compute_sample_weight(self.class_weight, labels)
        if not np.all(weights >= 0.0) or not np.any(weights):
            raise ValueError(
                f"class_weight={self.class_weight!r}: weights of classes must be numbers of at least 0, and one of "
                f"them above."
            )
        return np.asarray(weights, dtype=np.float64)

    def _loss_name(self) -> str:
        """Return the loss: classes share one softmax, yes and no have an output each."""
        return "softmax_cross_entropy" if self._label_binarizer.y_type_ == "multiclass" else "logistic_cross_entropy"

    def predict(self, X: Any) -> Any:
        """Return the likeliest label of each sample; 0 or 1 for each of several outputs.

        An array of X's library on X's device; of NumPy where the labels are no numbers.
        """
        outputs, backend, home = self._outputs(X)
        if on_host(home) or not has_device_labels(self._label_binarizer):
            predictions = to_host(backend, outputs)
            return self._label_binarizer.inverse_transform(
                predictions[:, 0] if predictions.shape[1] == 1 else predictions
            )
        with backend.scope():
            labels = decode(backend, outputs, self._label_binarizer)
        return move(labels, backend, home)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, shape ``(samples, classes)``, in the order of ``classes_``.

        An array of X's library on X's device.
        """
        outputs, backend, home = self._outputs(X)
        with backend.scope():
            if outputs.shape[1] == 1:
                outputs = backend.xp.concat([1.0 - outputs, outputs], axis=1)
        return move(outputs, backend, home)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        home = home_of(probabilities)
        with home.scope():
            return home.xp.log(probabilities)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the part of the samples that are given their right label, or all their right labels."""
        home = home_of(X, y, sample_weight)
        if on_host(home):
            return float(super().score(X, y, sample_weight))
        values = (None if value is None else to_host(home_of(value), value) for value in (y, sample_weight))
        return float(super().score(X, *values))

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
