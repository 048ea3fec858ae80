"""Predictions of a model: labels and probabilities for new samples."""

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num, Shaped

from xpmlp.backends import Backend
from xpmlp.datasets import Split
from xpmlp.datasets.scaling import check_finite
from xpmlp.errors import DataError
from xpmlp.model.model import Model
from xpmlp.nn.activations import Activations, find_activation
from xpmlp.nn.ensembles import loss_of
from xpmlp.nn.layers import Layers
from xpmlp.nn.loss_names import find_loss
from xpmlp.nn.losses import Loss
from xpmlp.nn.network import forward
from xpmlp.nn.tree import tree_map

from .inputs import as_backend, as_model, model_inputs

LEAST_EVIDENCE = "least_evidence"  # in a model's record of its training
STRANGE_FRACTION = 0.015  # of the validation or training rows that are taken for strange
ROWS_AT_A_TIME = 4096  # bounds the memory of the hidden layers, whatever the number of rows


@dataclass(frozen=True)
class Prediction:
    """A model's predictions for some samples.

    Attributes
    ----------
    labels
        The prediction for each sample: the most probable class; for regression the number; for multilabel
        classification a Boolean per class. Shape ``(rows,)``, or ``(rows, outputs)`` with several outputs.
    probabilities
        Probability of each class, in the order of the model's `classes`. Rows sum to 1, except for multilabel
        classification. For regression the shape is ``(rows, 0)``.
    spread
        For the regression of an ensemble, the standard deviation of its members' predictions, of the shape of `labels`;
        else None.
    """

    labels: Shaped[np.ndarray, "rows *outputs"]
    probabilities: Float[np.ndarray, "rows classes"]
    spread: Float[np.ndarray, "rows *outputs"] | None = None

    def __repr__(self) -> str:
        """Return the first labels, and the number of samples."""
        labels = np.array2string(self.labels, threshold=6, edgeitems=3, separator=", ", precision=4)
        return f"Prediction({len(self.labels):,} rows, labels {' '.join(labels.split())})"


def predict(
    model: Model | str | os.PathLike[str], data: Any, backend: Backend | str | None = None, *, prepared: bool = False
) -> Prediction:
    """Predict the class or the number of each sample.

    Parameters
    ----------
    model
        A model, or the path of its file.
    data
        Raw samples, which the model scales and encodes as in training: an array of any library, with a row or an image
        for each sample; a data frame; a dict of one row, or a list of them; the path of a table; a picture of Pillow or
        its path, in which each mark is a sample, such as the digits of 314; a list of them, each of which is a sample.
        Or a `Split` of a dataset, which is prepared already.
    backend
        Where to compute: a backend or its name; NumPy by default.
    prepared
        Whether `data` is an array of inputs as the network takes them, scaled and encoded.

    Raises
    ------
    DataError
        If the samples do not fit the model, or lack values that it needs.
    """
    backend, model = as_backend(backend), as_model(model)
    x = data.x if isinstance(data, Split) else data if prepared else model_inputs(model, data)
    check_features(model, x)
    with backend.scope():
        logits = model_logits(model, x, backend)
        of_members = backend.to_numpy(find_loss(model.loss).predict(backend.xp, logits))
    outputs = of_members if model.members is None else np.mean(of_members, axis=0)
    if model.task == "regression":
        place = (..., 0) if outputs.shape[1] == 1 else ...
        spread = None if model.members is None else np.std(of_members, axis=0)[place]
        return Prediction(outputs[place], np.empty((len(outputs), 0), outputs.dtype), spread)
    if model.task == "multilabel":
        return Prediction(outputs > 0.5, outputs)
    if model.task == "binary":
        outputs = np.concatenate([1.0 - outputs, outputs], axis=1)
    return Prediction(class_labels(model.classes)[np.argmax(outputs, axis=1)], outputs)


def nearest_to_median(
    labels: Float[np.ndarray, "rows *outputs"], levels: tuple[float, ...]
) -> Float[np.ndarray, "rows ..."]:
    """Return, of predicted quantiles of one number, the one nearest to the median; other predictions unchanged."""
    if len(levels) < 2:
        return labels
    nearest: Float[np.ndarray, " rows"] = labels[:, int(np.argmin(np.abs(np.asarray(levels) - 0.5)))]
    return nearest


def model_logits(
    model: Model, x: Num[np.ndarray, "rows features"], backend: Backend
) -> Float[Any, "*members rows outputs"]:
    """Return a model's logits, of each member if it has several, for samples on the host, as an array of `backend`."""
    x = backend.asarray(x, str(model.layers[0].weight.dtype))
    return compute_logits(backend, tree_map(backend.asarray, model.layers), x, find_activation(model.activation))


def predict_outputs(
    backend: Backend, layers: Layers, x: Float[Any, "rows features"], *, activation: Activations, loss: Loss
) -> Float[Any, "rows outputs"]:
    """Return the predictions of a network or an ensemble, such as the probability of each class, on `backend`."""
    return loss_of(layers, loss).predict(backend.xp, compute_logits(backend, layers, x, activation))


def compute_logits(
    backend: Backend, layers: Layers, x: Float[Any, "rows features"], activation: Activations
) -> Float[Any, "*members rows outputs"]:
    """Return the network's logits, a chunk of rows at a time. `layers`, `x` and the result are arrays of `backend`."""
    xp = backend.xp
    rows, at_a_time = x.shape[0], rows_at_a_time(layers)
    with backend.threads_for(layers, min(rows, at_a_time)):
        return xp.concat(
            [
                forward(xp, layers, x[start : min(start + at_a_time, rows), :], activation)[1]
                for start in range(0, max(rows, 1), at_a_time)  # no rows are one empty chunk
            ],
            axis=-2,
        )


def rows_at_a_time(layers: Layers) -> int:
    """Return how many rows to compute at once; an ensemble's members share them."""
    return max(1, ROWS_AT_A_TIME // int(math.prod(layers[0].weight.shape[:-2])))


def unfamiliar(model: Model, x: Num[np.ndarray, "rows features"], backend: Backend) -> Bool[np.ndarray, " rows"]:
    """Return which inputs have less evidence for every class than all but a few of the training rows."""
    least = model.training.get(LEAST_EVIDENCE)
    if not isinstance(least, float):
        return np.zeros(len(x), np.bool_)
    return evidence(model, x, backend) < least


def evidence(model: Model, x: Num[np.ndarray, "rows features"], backend: Backend) -> Float[np.ndarray, " rows"]:
    """Return log Σₖ exp(zₖ) of each row's logits: what the softmax divides by, and so the probabilities do not show.

    It is large if something speaks for a class, however many speak against it (Liu et al. 2020, "Energy-based
    out-of-distribution detection"). For an ensemble it is the mean over the members.
    """
    with backend.scope():
        logits = backend.to_numpy(model_logits(model, x, backend)).astype(np.float64)
    of_members = np.logaddexp.reduce(logits, axis=-1)
    return np.asarray(np.mean(np.atleast_2d(of_members), axis=0))


def class_labels(classes: tuple[int | str, ...]) -> Shaped[np.ndarray, " classes"]:
    """Return classes as an array of integers or strings; of Python objects if those would change one."""
    labels = np.asarray(classes)
    # NumPy makes strings of 1 and "a" together, floats of very large integers, and drops a string's trailing NULs.
    if labels.dtype.kind in "iuU" and labels.tolist() == list(classes):
        return labels
    return np.asarray(classes, dtype=object)


def check_features(model: Model, x: Num[np.ndarray, "..."]) -> None:
    """Raise an error for samples of another size than the model's inputs, and for NaN and infinity."""
    expected = model.layer_sizes[0]
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
    check_finite(np.asarray(x), what="The samples", input_shape=(expected,))
