"""A model put to use: what it says of new samples, and how often that is right."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Num, Shaped

from xpmlp.backends import Backend, NumpyBackend, hold
from xpmlp.datasets import Split, class_indices
from xpmlp.errors import DataError
from xpmlp.model import Model
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import Layers, map_layers
from xpmlp.nn.losses import LOSSES

from .evaluation import evaluate, predict_outputs
from .train import make_samples


@dataclass(frozen=True)
class Prediction:
    """What a model says of some samples.

    Attributes
    ----------
    labels
        The likeliest class of each sample.
    probabilities
        Of each class, in the order of the model's `classes`; rows add up to 1.
    """

    labels: Shaped[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows classes"]


def predict(model: Model, x: Num[np.ndarray, "..."], backend: Backend | None = None) -> Prediction:
    """Classify samples.

    Parameters
    ----------
    x
        Shape ``(rows, features)``, already divided by the model's `input_scale`.
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
        outputs = predict_outputs(
            backend,
            move_layers(backend, model),
            backend.asarray(x, str(model.layers[0].weight.dtype)),
            activation=ACTIVATIONS[model.activation],
            loss=LOSSES[model.loss],
        )
        probabilities = backend.to_numpy(outputs)
    return Prediction(class_labels(model.classes)[np.argmax(probabilities, axis=1)], probabilities)


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
    """Judge a model on labelled rows.

    Parameters
    ----------
    split
        Its `x` already divided by the model's `input_scale`.

    Raises
    ------
    DataError
        Where a label is not one of the model's classes, or the samples do not have as many features as it takes.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    backend = backend or NumpyBackend()
    check_features(model, split.x)
    truth = class_indices(split.labels, model.classes)
    with backend.scope():
        evaluation = evaluate(
            backend,
            move_layers(backend, model),
            hold(backend, make_samples(split, model.classes), str(model.layers[0].weight.dtype)),
            activation=ACTIVATIONS[model.activation],
            loss=LOSSES[model.loss],
        )
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
    return map_layers(backend.asarray, model.layers)
