"""A model put to use: what it says of new samples, and how often that is right."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Num, Shaped

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.data import place_samples
from xpmlp.datasets import Split, class_indices, one_hot
from xpmlp.errors import DataError
from xpmlp.model.model import Model
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.samples import Samples
from xpmlp.nn.tree import tree_map

from .evaluation import Evaluation, evaluate, predict_outputs


@dataclass(frozen=True)
class Prediction:
    """What a model says of some samples.

    Attributes
    ----------
    labels
        The answer for each sample: the likeliest class; for regression the number; for several labels at once, yes or
        no for each class. One a row, or a row of them where there are several outputs that answer for themselves.
    probabilities
        Of each class, in the order of the model's `classes`; they add up to 1, save where several labels may be right
        at once. For regression there are none, and the shape is ``(rows, 0)``.
    """

    labels: Shaped[np.ndarray, "rows *outputs"]
    probabilities: Float[np.ndarray, "rows classes"]


def predict(model: Model, x: Num[np.ndarray, "..."], backend: Backend | None = None) -> Prediction:
    """Tell the class or the number of each sample.

    Parameters
    ----------
    x
        Shape ``(rows, features)``, already divided by the model's `input_scale`; rows of a table as its `table_schema`
        makes them (see `xpmlp.datasets.tables.rows_to_predict`).
    backend
        Where to compute; by default NumPy.

    Raises
    ------
    DataError
        Where the samples are not rows of as many features as the model takes.
    """
    backend = backend or NumpyBackend()
    check_features(model, x)
    with backend.scope():
        outputs = backend.to_numpy(
            predict_outputs(
                backend,
                move_layers(backend, model),
                backend.asarray(x, str(model.layers[0].weight.dtype)),
                activation=ACTIVATIONS[model.activation],
                loss=LOSSES[model.loss],
            )
        )
    return interpret(model, outputs)


def interpret(model: Model, outputs: Float[np.ndarray, "rows outputs"]) -> Prediction:
    """Return what a network's outputs mean."""
    if model.task == "regression":
        labels = outputs[:, 0] if outputs.shape[1] == 1 else outputs
        return Prediction(labels, np.empty((len(outputs), 0), outputs.dtype))
    if model.task == "multilabel":
        return Prediction(outputs > 0.5, outputs)
    if model.task == "binary":
        outputs = np.concatenate([1.0 - outputs, outputs], axis=1)
    return Prediction(class_labels(model.classes)[np.argmax(outputs, axis=1)], outputs)


def class_labels(classes: tuple[int | str, ...]) -> Shaped[np.ndarray, " classes"]:
    """Return classes as an array of integers or of strings; of Python objects where those would change one."""
    labels = np.asarray(classes)
    # NumPy takes 1 and "a" together for strings, very large integers for floats, and NULs off the end of a string.
    if labels.dtype.kind in "iuU" and labels.tolist() == list(classes):
        return labels
    return np.asarray(classes, dtype=object)


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised.

    Attributes
    ----------
    precision
        The part of what was called this class that is.
    recall
        The part of this class that was called so.
    f1
        Their harmonic mean. All three are 0 where there is nothing to divide by.
    support
        Rows of this class.
    """

    label: int | str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Report:
    """How good a model is on labelled rows.

    Attributes
    ----------
    loss
        Mean over the rows, without penalty.
    accuracy
        The part answered right.
    per_class
        In the order of the model's classes.
    confusion
        Rows of each true class (down) by what they were called (across).
    """

    loss: float
    accuracy: float
    per_class: tuple[ClassScore, ...]
    confusion: Int64[np.ndarray, "classes classes"]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "per_class": [asdict(score) for score in self.per_class],
            "confusion": self.confusion.tolist(),
        }


def report(model: Model, split: Split, backend: Backend | None = None) -> Report:
    """Judge a classifier on labelled rows; for regression there is `regression_report`.

    Parameters
    ----------
    split
        Its `x` already divided by the model's `input_scale`.

    Raises
    ------
    DataError
        Where a label is not one of the model's classes, or the samples do not have as many features as it takes, or the
        model is none that tells one class out of several.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    backend = backend or NumpyBackend()
    if model.task not in ("multiclass", "binary"):
        raise DataError(f"The model is for {model.task}, not for one class out of several.")
    check_features(model, split.x)
    truth = class_indices(split.labels, model.classes)
    targets = one_hot(split.labels, model.classes)
    evaluation = judge(model, split.x, targets[:, 1:] if model.task == "binary" else targets, backend)
    predicted = np.argmax(predict(model, split.x, backend).probabilities, axis=1)
    indices = np.arange(len(model.classes))
    scores = precision_recall_fscore_support(truth, predicted, labels=indices, zero_division=0)
    return Report(
        loss=evaluation.loss,
        accuracy=float(np.mean(predicted == truth)),
        per_class=tuple(
            ClassScore(label, float(precision), float(recall), float(f1), int(support))
            for label, precision, recall, f1, support in zip(model.classes, *scores, strict=True)
        ),
        confusion=np.asarray(confusion_matrix(truth, predicted, labels=indices), dtype=np.int64),
    )


@dataclass(frozen=True)
class RegressionReport:
    """How near a model comes to known numbers.

    Attributes
    ----------
    loss
        Mean over the rows of half the squared error, without penalty.
    r2
        R²: the part of the numbers' variance that is explained; 1 at best, 0 for always answering their mean, below 0
        for worse. NaN for a single row.
    rmse
        Root of the mean squared error, in the target's unit.
    mae
        Mean absolute error, likewise.
    """

    loss: float
    r2: float
    rmse: float
    mae: float

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON holds it, NaN as null."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def regression_report(model: Model, split: Split, backend: Backend | None = None) -> RegressionReport:
    """Judge a regression on rows with known numbers.

    Raises
    ------
    DataError
        Where the model is none of a single number, or the samples do not have as many features as it takes.
    """
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    if model.task != "regression" or len(model.output_names) != 1:
        raise DataError("The model does not predict a single number, so there is no error of one to report.")
    predicted = predict(model, split.x, backend).labels.astype(np.float64)
    truth = split.labels.astype(np.float64)
    rmse = float(root_mean_squared_error(truth, predicted))
    return RegressionReport(
        loss=rmse * rmse / 2.0,
        r2=float(r2_score(truth, predicted)) if len(truth) > 1 else math.nan,
        rmse=rmse,
        mae=float(mean_absolute_error(truth, predicted)),
    )


def judge(
    model: Model, x: Num[np.ndarray, "rows features"], targets: Num[np.ndarray, "rows outputs"], backend: Backend
) -> Evaluation:
    """Return a model's mean loss and accuracy."""
    with backend.scope():
        return evaluate(
            backend,
            move_layers(backend, model),
            place_samples(backend, Samples(x, targets), str(model.layers[0].weight.dtype)),
            activation=ACTIVATIONS[model.activation],
            loss=LOSSES[model.loss],
        )


def check_features(model: Model, x: Num[np.ndarray, "..."]) -> None:
    """Refuse samples of another size than the model's."""
    expected = model.layers[0].weight.shape[0]
    if x.ndim != 2:
        raise DataError(
            f"The samples are an array of shape {x.shape}, but must be a row of {expected} values each: reshape them, "
            f"as in x.reshape(-1, {expected})."
        )
    if x.shape[1] != expected:
        raise DataError(
            f"The samples have {x.shape[1]} values each, but the model was trained on {expected} "
            f"(shape {'×'.join(map(str, model.input_shape))}). Use a model trained on data of this shape."
        )


def move_layers(backend: Backend, model: Model) -> Layers:
    """Move a model's network to the backend's device."""
    return tree_map(backend.asarray, model.layers)
