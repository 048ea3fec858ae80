"""An estimator as the model file of the command line, and back."""

import math
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from xpmlp.errors import ModelFileError
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model, save_model
from xpmlp.nn.layers import Layer, Layers

from .labels import binarizer_of
from .places import numpy_backend

RECORD = "estimator"  # what the file's record of the training says of the estimator stands under this name
# Attributes that come back with the file: those that a further training goes on from, and those that people look at.
KEPT = ("best_loss_", "best_validation_score_", "loss_", "loss_curve_", "n_iter_", "t_", "validation_scores_")


def write_estimator(estimator: Any, path: str | Path) -> None:
    """Write a fitted estimator to a model file, whole or not at all.

    Raises
    ------
    NotFittedError, OutputError
        Where there is nothing to write, or no way to.
    ModelError
        Where the file cannot hold it: a classifier that knows one class only.
    """
    check_is_fitted(estimator)
    save_model(Path(path), to_model(estimator))


def to_model(estimator: Any) -> Model:
    """Return the network with all that is needed to use it."""
    classifies = is_classifier(estimator)
    record: dict[str, Any] = {
        "class": type(estimator).__name__,
        "parameters": plain_parameters(estimator),
        "attributes": {name: plain(getattr(estimator, name)) for name in KEPT if hasattr(estimator, name)},
    }
    if hasattr(estimator, "feature_names_in_"):
        record["feature_names"] = estimator.feature_names_in_.tolist()
    classes: tuple[int | str, ...] = ()
    if classifies:
        labels = estimator.classes_
        record["label_dtype"] = labels.dtype.str if labels.dtype != object else "object"
        classes = tuple((labels.astype(np.int64) if labels.dtype.kind in "bf" else labels).tolist())
    return Model(
        layers=estimator._layers(numpy_backend()),
        activation=estimator.activation,
        loss=estimator._loss_name(),
        classes=classes,
        input_shape=(estimator.n_features_in_,),
        input_scale=1.0,
        output_names=() if classifies else output_names(estimator.n_outputs_),
        training={RECORD: record, "epochs": estimator.n_iter_},
    )


def output_names(outputs: int) -> tuple[str, ...]:
    """Return names for the numbers that a regressor predicts, which it has none for."""
    return ("y",) if outputs == 1 else tuple(f"y{index}" for index in range(outputs))


def plain_parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters that a file can hold; the others are their defaults when it is read."""
    values = {name: plain(value) for name, value in estimator.get_params(deep=False).items()}
    return {name: value for name, value in values.items() if value is not None or getattr(estimator, name) is None}


def plain(value: Any) -> Any:
    """Return a value as JSON holds it; None where it does not."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, list | tuple | np.ndarray):
        items = [plain(item) for item in value]
        return None if None in items else items
    return None


def read_estimator(make: type[Any], path: str | Path, **settings: Any) -> Any:
    """Return the estimator that a model file holds, whether an estimator or the command line wrote it.

    Raises
    ------
    ModelFileError
        Where the file is none of a model, or of a model that this class of estimator cannot be.
    """
    model = load_model(Path(path))
    name = make.__name__
    predicts_numbers = model.task == "regression"
    if predicts_numbers == (name == "MLPClassifier"):
        other = "MLPRegressor" if predicts_numbers else "MLPClassifier"
        raise ModelFileError(f"{path}: holds a model for {model.task}. Read it with {other}.from_file.")
    if model.table_schema is not None:
        raise ModelFileError(
            f"{path}: holds a model of a table, whose columns have to be prepared as they were for training; an "
            f"estimator takes numbers as they are. Use it with: xpmlp predict"
        )
    record = model.training.get(RECORD)
    record = record if isinstance(record, dict) and record.get("class") == name else {}
    estimator = make(**parameters_of(make, model, record) | settings)
    layers = raw_layers(model)
    estimator.coefs_ = [layer.weight for layer in layers]
    estimator.intercepts_ = [layer.bias[0, :] for layer in layers]
    estimator.n_features_in_ = model.layer_sizes[0]
    if not predicts_numbers:
        labels = restore_labels(model.classes, record.get("label_dtype"))
        estimator._label_binarizer = binarizer_of(labels, multilabel=model.task == "multilabel")
        estimator.classes_ = estimator._label_binarizer.classes_
    estimator._begin_records([model.layer_sizes[0], *(layer.weight.shape[1] for layer in layers)])
    restore_attributes(estimator, record)
    return estimator


def parameters_of(make: type[Any], model: Model, record: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters to make the estimator with; what the network itself tells goes before the record."""
    recorded = record.get("parameters")
    recorded = recorded if isinstance(recorded, dict) else {}
    known = {name: recorded[name] for name in make().get_params() if name in recorded}
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    known |= {"hidden_layer_sizes": model.layer_sizes[1:-1], "activation": model.activation}
    return known | {"loss": model.loss} if model.task == "regression" else known


def raw_layers(model: Model) -> Layers:
    """Return the network for raw values, and with one output for two classes, as scikit-learn has it."""
    first, *others = model.layers
    layers = [Layer(first.weight / first.weight.dtype.type(model.input_scale), first.bias.copy())]
    layers += [Layer(layer.weight.copy(), layer.bias.copy()) for layer in others]
    if model.task == "multiclass" and len(model.classes) == 2:
        # A softmax of two is the logistic function of their difference.
        last = layers[-1]
        layers[-1] = Layer(last.weight[:, 1:] - last.weight[:, :1], last.bias[:, 1:] - last.bias[:, :1])
    return tuple(layers)


def restore_labels(classes: tuple[int | str, ...], dtype: Any) -> Shaped[np.ndarray, " classes"]:
    """Return the classes as an array of the dtype that they had, so far as the file tells it."""
    labels = np.asarray(classes)
    if not isinstance(dtype, str):
        return labels
    try:
        return np.asarray(classes, dtype=np.dtype(dtype))
    except (TypeError, ValueError):
        return labels


def restore_attributes(estimator: Any, record: dict[str, Any]) -> None:
    """Set the attributes that the file has kept."""
    attributes = record.get("attributes")
    for name, value in (attributes if isinstance(attributes, dict) else {}).items():
        if name in KEPT and isinstance(value, int | float | list):
            setattr(estimator, name, value)
    names = record.get("feature_names")
    if isinstance(names, list) and len(names) == estimator.n_features_in_:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
