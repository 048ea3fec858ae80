"""The classifier."""

from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Shaped
from sklearn import config_context, get_config
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
    unique_labels,
)

from xpmlp.backends import Backend
from xpmlp.nn.losses import smooth_targets

from .arrays import backend_of, decode, move, numpy_backend, to_host
from .base import MLPBase
from .problem import GivenRows


def encode(
    y: Shaped[np.ndarray, " samples"], classes: Shaped[np.ndarray, " classes"]
) -> Bool[np.ndarray, "samples outputs"]:
    """Return boolean targets like `LabelBinarizer.transform`, whose second check takes a third of a `partial_fit`."""
    targets: Bool[np.ndarray, "samples outputs"] = y[:, None] == classes[None, :]
    if len(classes) > 2:
        return targets
    # Two classes share one output, which is True for the second; with one class it is never True.
    return targets[:, 1:] if len(classes) == 2 else np.zeros_like(targets)


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, MLPBase):
    """A multilayer perceptron for classification, with scikit-learn's interface.

    Every parameter, attribute and method of ``sklearn.neural_network.MLPClassifier`` is here under the same name with
    the same meaning, and the same ``random_state`` gives the same network. The parameters listed below are additional
    and come last. ``docs/estimators.md`` compares the two.

    Parameters
    ----------
    class_weight
        Dict of class weights; ``"balanced"`` for weights inversely proportional to the class frequencies; a list of
        dicts for several outputs. None: equal weights.
    loss
        ``"log_loss"``, or a function of one's own, ``loss(xp, logits, targets)`` with the samples' losses and the
        gradient at the logits; `xp` is the array library's namespace.
    label_smoothing
        Share of each label that is spread over all classes during training, in [0, 1).
    activation
        Also ``"leaky_relu"``, ``"elu"``, ``"selu"``, ``"softplus"``, ``"silu"``, ``"gelu"``, ``"mish"``; a tuple with
        one for each hidden layer; or a pair of functions of one's own, ``f(xp, z)`` and its derivative.
    solver
        Also ``"adamw"``, whose weight decay is `alpha`.
    max_grad_norm
        Longer gradients are shortened to this length; None for no limit.
    dropout
        Probability of dropping each hidden unit during training, in [0, 1); a tuple with one for each hidden layer.
    ensemble
        Number of networks to train at once, from different initial weights and on the same batches; predictions are
        their mean. None: one network. With an ensemble, `coefs_` have the shape ``(members, inputs, outputs)`` and
        `intercepts_` ``(members, outputs)``, and `loss_` and `loss_curve_` are means over the members.
    backend
        Library to compute with: ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` or ``"auto"``. None: the library of X.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``. None: the device of X, or the backend's default.
    dtype
        ``"float32"`` or ``"float64"`` to compute in. None: the dtype of X.
    callbacks
        Instances of `xpmlp.training.Callback`, called after each epoch of sgd and adam.
    communicator
        Several processes that call `fit` together, such as ``mpi4py.MPI.COMM_WORLD``, each with samples of its own. All
        get the network of one process that holds all samples; see ``docs/clusters.md``.
    """

    _: KW_ONLY
    class_weight: Any = None
    loss: Any = "log_loss"
    label_smoothing: Any = 0.0

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MLPBase._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "loss": [StrOptions({"log_loss"}), callable],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    @available_if(lambda estimator: estimator._is_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> "MLPClassifier":
        """Train one more epoch on these samples; the first call has to name all classes."""
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit: the samples of one call do not tell the "
                "class frequencies. Pass the weights as a dict."
            )
        classes = to_host(classes)
        with config_context(array_api_dispatch=False):
            is_first_call = _check_partial_fit_first_call(self, classes)
        if is_first_call:
            labels = to_host(y)
            multilabel = type_of_target(labels).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(labels if multilabel else classes)
        self._fit(GivenRows(X, y, sample_weight), incremental=True)
        return self

    @property
    def classes_(self) -> Any:
        """The class labels, sorted; an array of the network's library under scikit-learn's ``array_api_dispatch``."""
        if "classes_" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'classes_'")
        labels = vars(self)["classes_"]
        if get_config()["array_api_dispatch"] and labels.dtype.kind in "biuf":
            return move(labels, numpy_backend(), backend_of(self.coefs_[0]))
        return labels

    @classes_.setter
    def classes_(self, labels: Any) -> None:
        self.__dict__["classes_"] = to_host(labels)

    def _check_targets(self, y: Any, *, incremental: bool | None) -> Any:
        """Return boolean targets, one column per output, and set or check the classes."""
        is_dense = not scipy.sparse.issparse(y)
        if is_dense and y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if hasattr(self, "classes_") and (self.warm_start or incremental is not False):
            all_of_them = self.warm_start and incremental is not None
            self._check_classes(unique_labels(y), all_of_them=all_of_them)
        else:
            try:
                self._label_binarizer = LabelBinarizer().fit(y)
            except ValueError:
                check_classification_targets(y)  # which says more
                raise
            self.classes_ = self._label_binarizer.classes_
        if is_dense and y.ndim == 1 and not self._label_binarizer.y_type_.startswith("multilabel"):
            return encode(y, self._label_binarizer.classes_)
        return self._label_binarizer.transform(y).astype(bool)

    def _training_targets(self, source: Backend, targets: Any, dtype: str) -> Any:
        """Return the targets, a share of each spread over all classes."""
        if not self.label_smoothing:
            return targets
        classes = targets.shape[1] if self._label_binarizer.y_type_ == "multiclass" else 2
        with source.scope():
            targets = source.asarray(targets, dtype)
            return smooth_targets(targets, float(self.label_smoothing), classes)

    def _check_classes(self, classes: Any, *, all_of_them: bool) -> None:
        """Raise an error for labels that do not belong to the known classes, or are not all of them."""
        known = self._label_binarizer.classes_
        if all_of_them:
            if set(classes) != set(known):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {known}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, known, assume_unique=True)):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {known}. 'y' has {classes}.")

    def _weights_of_classes(self, y: Any, dtype: str) -> Any:
        """Return the weight of each label's class; None if all weigh the same."""
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, dict) and self._label_binarizer.y_type_ in ("binary", "multiclass"):
            # Computed for all known classes, because a batch need not contain every class.
            known = self._label_binarizer.classes_
            of_each = compute_class_weight(self.class_weight, classes=known, y=known)
            weights = of_each[np.searchsorted(known, np.ravel(y))]
        else:
            weights = compute_sample_weight(self.class_weight, y)
        if not np.all(weights >= 0.0) or not np.any(weights):
            raise ValueError(
                f"class_weight={self.class_weight!r}: class weights must be non-negative, and at least one positive."
            )
        return weights.astype(dtype)

    def _loss_name(self) -> str:
        """Return the softmax's cross-entropy for three classes or more, else the logistic one."""
        return "softmax_cross_entropy" if self._label_binarizer.y_type_ == "multiclass" else "logistic_cross_entropy"

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each sample, or 0 or 1 for each of several outputs.

        The result is an array of X's library on X's device; a NumPy array if the labels are not numbers.
        """
        outputs, backend, source = self._outputs(X)
        if self._label_binarizer.sparse_input_:
            return self._label_binarizer.inverse_transform(to_host(outputs))
        if self._label_binarizer.classes_.dtype.kind not in "biuf":
            outputs, backend, source = to_host(outputs), numpy_backend(), numpy_backend()
        with backend.scope():
            labels = decode(backend, outputs, self._label_binarizer)
        return move(labels, backend, source)

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities, shape ``(samples, classes)``, as an array of X's library on X's device."""
        outputs, backend, source = self._outputs(X)
        with backend.scope():
            if outputs.shape[1] == 1:
                outputs = backend.xp.concat([1.0 - outputs, outputs], axis=1)
        return move(outputs, backend, source)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        source = backend_of(probabilities)
        with source.scope():
            return source.xp.log(probabilities)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy; with several outputs, the fraction of samples with all of them correct."""
        return float(accuracy_score(to_host(y), to_host(self.predict(X)), sample_weight=to_host(sample_weight)))

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
