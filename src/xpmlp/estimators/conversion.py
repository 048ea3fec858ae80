"""Estimators from and to the command line's model files, and from scikit-learn's."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.neural_network
from jaxtyping import Shaped
from sklearn.base import is_classifier
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer
from sklearn.utils.validation import check_is_fitted

from xpmlp.errors import ModelFileError
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.loss_names import LossName
from xpmlp.nn.optimizers import AdamState, MomentumState

from .arrays import numpy_backend, to_host
from .functions import activation_name
from .labels import binarizer_of
from .lbfgs import as_layers
from .stopping import LearningRate

RECORD = "estimator"  # key of the estimator's part in the file's record of the training
# Attributes that a file keeps: those that further training continues from, and those that people look at.
SAVED = ("best_loss_", "best_validation_score_", "loss_", "loss_curve_", "n_iter_", "t_", "validation_scores_")
# Attributes taken from scikit-learn's estimator, if it has them.
CONVERTED = (
    *SAVED,
    *("_label_binarizer", "_no_improvement_count", "classes_", "feature_names_in_"),
    *("n_features_in_", "n_layers_", "n_outputs_", "out_activation_"),
)


def to_model(estimator: Any) -> Model:
    """Return the network with its classes and a record of the estimator."""
    record: dict[str, Any] = {
        "class": type(estimator).__name__,
        "parameters": plain_parameters(estimator),
        "attributes": {name: plain(getattr(estimator, name)) for name in SAVED if hasattr(estimator, name)},
    }
    if hasattr(estimator, "feature_names_in_"):
        record["feature_names"] = estimator.feature_names_in_.tolist()
    if callable(estimator.loss):
        raise ValueError("loss: a model file holds no function of one's own. Save the estimator with joblib.")
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
        activation=activation_name(estimator.activation),
        loss=estimator._loss_name(),
        classes=classes,
        input_shape=(estimator.n_features_in_,),
        input_scale=1.0,
        output_names=output_names,
        training={RECORD: record, "epochs": estimator.n_iter_},
    )


def plain_parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters that JSON can hold; the others get their defaults when the file is read."""
    values = {name: plain(value) for name, value in estimator.get_params(deep=False).items()}
    return {name: value for name, value in values.items() if value is not None or getattr(estimator, name) is None}


def plain(value: Any) -> Any:
    """Convert a value for JSON; return None if that is not possible."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        return None if None in items else items
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str) else None


def read_estimator(make: type[Any], path: str | Path, **settings: Any) -> Any:
    """Return the estimator in a model file; see `MLPBase.from_file`."""
    model = load_model(Path(path))
    name = make.__name__
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
    estimator = make(**saved_parameters(make, model, record) | settings)
    layers = layers_for_raw_values(model)
    estimator.coefs_ = [layer.weight for layer in layers]
    estimator.intercepts_ = [layer.bias[..., 0, :] for layer in layers]
    estimator.n_features_in_ = model.layer_sizes[0]
    if not is_regression:
        labels = restore_labels(model.classes, record.get("label_dtype"))
        estimator._label_binarizer = binarizer_of(labels, multilabel=model.task == "multilabel")
        estimator.classes_ = estimator._label_binarizer.classes_
    estimator._reset_attributes([model.layer_sizes[0], *(layer.weight.shape[-1] for layer in layers)])
    restore_attributes(estimator, record)
    return estimator


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


def restore_labels(classes: tuple[int | str, ...], dtype: Any) -> Shaped[np.ndarray, " classes"]:
    """Return the classes as an array with the recorded dtype, if it is valid."""
    try:
        return np.asarray(classes, dtype=np.dtype(dtype) if isinstance(dtype, str) else None)
    except (TypeError, ValueError):
        return np.asarray(classes)


def restore_attributes(estimator: Any, record: dict[str, Any]) -> None:
    """Set the attributes that the file has kept."""
    attributes = record.get("attributes")
    for name, value in (attributes if isinstance(attributes, dict) else {}).items():
        if name in SAVED and isinstance(value, int | float | list):
            setattr(estimator, name, value)
    names = record.get("feature_names")
    if isinstance(names, list) and len(names) == estimator.n_features_in_:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)


def convert_from_sklearn(make: type[Any], fitted: Any, **settings: Any) -> Any:
    """Return our estimator with the parameters, network, attributes and optimizer state of scikit-learn's."""
    expected = getattr(sklearn.neural_network, make.__name__)
    if not isinstance(fitted, expected):
        raise TypeError(
            f"{make.__name__}.from_sklearn takes a fitted {expected.__module__.split('.')[0]}.neural_network."
            f"{make.__name__}, not an instance of {type(fitted).__module__}.{type(fitted).__name__}."
        )
    check_is_fitted(fitted)
    estimator = make(**fitted.get_params(deep=False) | settings)
    for name in CONVERTED:
        if hasattr(fitted, name):
            setattr(estimator, name, copy.deepcopy(getattr(fitted, name)))
    estimator.coefs_ = [np.array(array) for array in fitted.coefs_]
    estimator.intercepts_ = [np.array(array) for array in fitted.intercepts_]
    optimizer = getattr(fitted, "_optimizer", None)
    if optimizer is not None and fitted.solver != "lbfgs":
        convert = convert_adam if isinstance(optimizer, AdamOptimizer) else convert_sgd
        convert(estimator, optimizer)
    return estimator


def convert_adam(estimator: Any, optimizer: Any) -> None:
    """Continue from scikit-learn's Adam; its bias correction is not part of our learning rate."""
    estimator._optimizer = "adam", {name: float(getattr(optimizer, name)) for name in ("beta_1", "beta_2", "epsilon")}
    step = np.asarray(optimizer.t, dtype=estimator.coefs_[0].dtype)
    estimator._optimizer_state = AdamState(step, copy_layers(optimizer.ms), copy_layers(optimizer.vs))
    initial = float(optimizer.learning_rate_init)
    estimator._learning_rate = LearningRate("constant", initial, 0.0, initial)


def convert_sgd(estimator: Any, optimizer: Any) -> None:
    """Continue from scikit-learn's SGD."""
    momentum, nesterov = float(optimizer.momentum), bool(optimizer.nesterov)
    estimator._optimizer = "sgd", {"momentum": momentum, "nesterov": nesterov}
    estimator._optimizer_state = () if momentum == 0.0 else MomentumState(copy_layers(optimizer.velocities))
    estimator._learning_rate = LearningRate(
        optimizer.lr_schedule, float(optimizer.learning_rate_init), optimizer.power_t, float(optimizer.learning_rate)
    )


def copy_layers(arrays: list[Any]) -> Layers:
    """Return copies of all weights and all biases, in scikit-learn's order, as layers."""
    return as_layers([np.array(array, ndmin=2) for array in arrays])
