"""Estimators that leave the process: from and to model files and pickles, and from scikit-learn's."""

import contextlib
import copy
import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import sklearn.neural_network
from sklearn.base import BaseEstimator, is_classifier
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from xpmlp.backends import load_backend
from xpmlp.errors import BackendError, MissingDependencyError, ModelFileError, SettingsError
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model, save_model
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.loss_names import LossName
from xpmlp.nn.optimizers import AdamState, MomentumState
from xpmlp.nn.tree import tree_map

from .arrays import backend_of, is_numpy, numpy_backend, to_host
from .functions import list_activations
from .lbfgs import as_layers
from .stopping import LearningRate

RECORD = "estimator"  # key of the estimator's part in the file's record of the training
# Attributes that a file keeps: those that further training continues from, and those that people look at.
SAVED = ("best_loss_", "best_validation_score_", "loss_", "loss_curve_", "n_iter_", "t_", "validation_scores_")

Estimator = TypeVar("Estimator", bound="PortableMixin")  # not Self: beartype supports that on whole classes only


class PortableMixin(BaseEstimator):
    """Saves and restores a fitted network."""

    coefs_: list[Any]
    intercepts_: list[Any]
    _layers: Any
    _keep: Any
    communicator: Any

    @classmethod
    def from_sklearn(cls: type[Estimator], estimator: Any, **settings: Any) -> Estimator:
        """Copy a fitted scikit-learn MLP: it predicts the same, and ``partial_fit`` continues its training.

        `settings` are further parameters, such as ``backend="torch"``.
        """
        expected = getattr(sklearn.neural_network, cls.__name__)
        if not isinstance(estimator, expected):
            raise TypeError(
                f"{cls.__name__}.from_sklearn takes a fitted {expected.__module__.split('.')[0]}.neural_network."
                f"{cls.__name__}, not an instance of {type(estimator).__module__}.{type(estimator).__name__}."
            )
        check_is_fitted(estimator)
        converted: Any = cls(**estimator.get_params(deep=False) | settings)
        ignored = {*converted.get_params(), "_optimizer", "_random_state"}
        fitted = {name: value for name, value in vars(estimator).items() if name not in ignored}
        vars(converted).update(copy.deepcopy(fitted))
        optimizer = getattr(estimator, "_optimizer", None)
        if optimizer is not None and estimator.solver != "lbfgs":
            take_optimizer(converted, optimizer)
        return cast(Estimator, converted)

    def to_file(self, path: str | Path) -> None:
        """Write the fitted network to a model file, which ``xpmlp evaluate``, ``predict`` and ``inspect`` read too.

        The loss curve, the feature names and the parameters are saved, except for parameters that are objects (a
        random generator, a dict, callbacks) or infinite. The optimizer's state is not saved.
        """
        check_is_fitted(self)
        save_model(Path(path), to_model(self))

    @classmethod
    def from_file(cls: type[Estimator], path: str | Path, **settings: Any) -> Estimator:
        """Read an estimator from a model file written by `to_file` or ``xpmlp train``.

        `settings` are further parameters, such as ``backend="torch"``.
        """
        model = load_model(Path(path))
        name = cls.__name__
        is_regression = model.task == "regression"
        if is_regression == (name == "MLPClassifier"):
            other = "MLPRegressor" if is_regression else "MLPClassifier"
            raise ModelFileError(f"{path}: holds a model for {model.task}. Read it with {other}.from_file.")
        if model.table_schema is not None:
            raise ModelFileError(
                f"{path}: holds a model of a table, whose columns have to be prepared as they were for training; an "
                f"estimator takes numbers as they are. Use it with: xpmlp predict"
            )
        record = model.training.get(RECORD)
        record = record if isinstance(record, dict) and record.get("class") == name else {}
        estimator: Any = cls(**saved_parameters(cls, model, record) | settings)
        layers = layers_for_raw_values(model)
        estimator.coefs_ = [layer.weight for layer in layers]
        estimator.intercepts_ = [layer.bias[..., 0, :] for layer in layers]
        estimator.n_features_in_ = model.layer_sizes[0]
        if not is_regression:
            labels = np.asarray(model.classes)
            with contextlib.suppress(LookupError, TypeError, ValueError):  # there is no record, or a damaged one
                labels = np.asarray(model.classes, np.dtype(str(record["label_dtype"])))
            known = np.eye(len(labels), dtype=np.int64) if model.task == "multilabel" else labels
            estimator._label_binarizer = LabelBinarizer().fit(known)
            estimator.classes_ = estimator._label_binarizer.classes_
        estimator._reset_attributes([model.layer_sizes[0], *(layer.weight.shape[-1] for layer in layers)])
        attributes = record.get("attributes")
        for name, value in (attributes if isinstance(attributes, dict) else {}).items():
            if name in SAVED and isinstance(value, int | float | list):
                setattr(estimator, name, value)
        names = record.get("feature_names")
        if isinstance(names, list) and len(names) == estimator.n_features_in_:
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
        return cast(Estimator, estimator)

    def __sklearn_clone__(self) -> Any:
        """Return an unfitted estimator with the same communicator, of which there is no copy."""
        if self.communicator is None:
            return super().__sklearn_clone__()
        return BaseEstimator.__sklearn_clone__(copy.copy(self)).set_params(communicator=self.communicator)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: all arrays as NumPy's, and the name of their backend and device."""
        state: dict[str, Any] = dict(super().__getstate__())
        state["communicator"] = None  # of running processes only
        if "coefs_" not in state:
            return state
        source = backend_of(self.coefs_[0])
        if state.get("_optimizer_state") is not None:
            state["_optimizer_state"] = tree_map(to_host, state["_optimizer_state"])
        if not is_numpy(source):
            state["coefs_"] = [to_host(array) for array in self.coefs_]
            state["intercepts_"] = [to_host(array) for array in self.intercepts_]
            state["_place"] = (source.name, source.device_name)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore a pickled state on its backend and device if they are available, else on NumPy."""
        values = dict(state)
        place = values.pop("_place", None)
        super().__setstate__(values)
        if place is None:
            return
        try:
            target = load_backend(*place)
        except (MissingDependencyError, BackendError, SettingsError):
            return
        self._keep(self._layers(target), target, target)


def to_model(estimator: Any) -> Model:
    """Return the network with its classes and a record of the estimator."""
    # Parameters that JSON cannot hold get their defaults when the file is read.
    given = estimator.get_params(deep=False).items()
    record: dict[str, Any] = {
        "class": type(estimator).__name__,
        "parameters": {name: plain(value) for name, value in given if value is None or plain(value) is not None},
        "attributes": {name: plain(getattr(estimator, name)) for name in SAVED if hasattr(estimator, name)},
    }
    if hasattr(estimator, "feature_names_in_"):
        record["feature_names"] = estimator.feature_names_in_.tolist()
    if callable(estimator.loss):
        raise ValueError("loss: a model file holds no function of one's own. Save the estimator with joblib.")
    activations = list_activations(estimator.activation)
    if not all(isinstance(name, str) for name in activations):
        raise ValueError("activation: a model file holds no functions of one's own. Save the estimator with joblib.")
    classes: tuple[int | str, ...] = ()
    output_names: tuple[str, ...] = ()
    if is_classifier(estimator):
        labels = to_host(estimator.classes_)
        record["label_dtype"] = labels.dtype.str if labels.dtype != object else "object"
        classes = tuple((labels.astype(np.int64) if labels.dtype.kind in "bf" else labels).tolist())
    else:
        outputs = estimator.n_outputs_
        levels = LossName.parse(estimator._loss_name()).levels or (0.5,)
        targets = outputs // len(levels)
        names = ["y"] if targets == 1 else [f"y{index}" for index in range(targets)]
        ends = [f"_q{100 * level:g}" for level in levels] if len(levels) > 1 else [""]
        output_names = tuple(name + end for name in names for end in ends)
    return Model(
        layers=estimator._layers(numpy_backend()),
        activation=",".join(activations),
        loss=estimator._loss_name(),
        classes=classes,
        input_shape=(estimator.n_features_in_,),
        input_scale=1.0,
        output_names=output_names,
        training={RECORD: record, "epochs": estimator.n_iter_},
    )


def plain(value: Any) -> Any:
    """Convert a value for JSON; return None if that is not possible."""
    try:
        text = json.dumps(value, allow_nan=False, default=operator.methodcaller("tolist"))
    except (TypeError, ValueError, AttributeError):
        return None
    return None if "{" in text else json.loads(text)  # keys of a dict would become text


def saved_parameters(make: type[Any], model: Model, record: dict[str, Any]) -> dict[str, Any]:
    """Return the estimator's parameters; those that the network itself defines take precedence over the record."""
    recorded = record.get("parameters")
    recorded = recorded if isinstance(recorded, dict) else {}
    known = {name: recorded[name] for name in make().get_params() if name in recorded}
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    names = tuple(model.activation.split(","))
    known |= {"ensemble": model.members}
    known |= {"hidden_layer_sizes": model.layer_sizes[1:-1], "activation": names if len(names) > 1 else names[0]}
    if model.task != "regression":
        return known
    loss = LossName.parse(model.loss)
    numbers: dict[str, Any] = {"quantiles": loss.levels} if loss.levels else {}
    numbers |= {"huber_delta": loss.numbers[0]} if loss.kind == "huber" and loss.numbers else {}
    return known | {"loss": loss.kind, "out_activation": loss.output} | numbers


def layers_for_raw_values(model: Model) -> Layers:
    """Return the network for unscaled inputs, with a single output for two classes, as in scikit-learn."""
    first, *others = model.layers
    layers = [Layer(first.weight / first.weight.dtype.type(model.input_scale), first.bias.copy())]
    layers += [Layer(layer.weight.copy(), layer.bias.copy()) for layer in others]
    if model.task == "multiclass" and len(model.classes) == 2:
        # The softmax of two outputs is the logistic function of their difference.
        last = layers[-1]
        layers[-1] = Layer(*(array[..., 1:] - array[..., :1] for array in last))
    return tuple(layers)


def take_optimizer(estimator: Any, optimizer: Any) -> None:
    """Continue from scikit-learn's Adam or SGD; Adam's bias correction is not part of our learning rate."""

    def copy_layers(arrays: list[Any]) -> Layers:
        return as_layers([np.array(array, ndmin=2) for array in arrays])

    initial = float(optimizer.learning_rate_init)
    if isinstance(optimizer, AdamOptimizer):
        settings = {name: float(getattr(optimizer, name)) for name in ("beta_1", "beta_2", "epsilon")}
        step = np.asarray(optimizer.t, dtype=estimator.coefs_[0].dtype)
        estimator._optimizer_state = AdamState(step, copy_layers(optimizer.ms), copy_layers(optimizer.vs))
        estimator._learning_rate = LearningRate("constant", initial, 0.0, initial)
    else:
        settings = {"momentum": float(optimizer.momentum), "nesterov": bool(optimizer.nesterov)}
        estimator._optimizer_state = MomentumState(copy_layers(optimizer.velocities)) if settings["momentum"] else ()
        rate = float(optimizer.learning_rate)
        estimator._learning_rate = LearningRate(optimizer.lr_schedule, initial, optimizer.power_t, rate)
    estimator._optimizer = estimator.solver, settings
