"""scikit-learn's LabelBinarizer for labels on any device: from labels to targets, and from predictions to labels."""

from typing import Any

import numpy as np
from jaxtyping import Shaped
from sklearn.preprocessing import LabelBinarizer

from xpmlp.backends import Backend

from .arrays import to_host
from .validation import ravel_column


def is_multilabel(y: Any) -> bool:
    """Return whether labels on a device are 0 or 1 for each of several outputs."""
    return bool(y.ndim == 2 and y.shape[1] > 1)


def check_labels(backend: Backend, y: Any) -> Any:
    """Return valid labels; with two axes if there are several outputs, else with one.

    Raises
    ------
    ValueError
        If they are not labels, with scikit-learn's message.
    """
    xp = backend.xp
    if xp.isdtype(y.dtype, "real floating") and not bool(xp.all(xp.floor(y) == y)):
        raise ValueError(
            "Unknown label type: continuous. Maybe you are trying to fit a classifier, which expects discrete classes "
            "on a regression target with continuous values."
        )
    if is_multilabel(y) and not bool(xp.all((y == 0) | (y == 1))):
        raise ValueError("Multioutput target data is not supported with label binarization")
    return ravel_column(backend, y)


def find_classes(backend: Backend, y: Any) -> Shaped[np.ndarray, " classes"]:
    """Return the sorted classes of labels on a device, as a NumPy array."""
    return np.arange(y.shape[1]) if is_multilabel(y) else np.asarray(to_host(backend.xp.unique_values(y)))


def binarizer_of(classes: Shaped[np.ndarray, " classes"], *, multilabel: bool) -> LabelBinarizer:
    """Return a LabelBinarizer fitted on these classes."""
    return LabelBinarizer().fit(np.eye(len(classes), dtype=np.int64) if multilabel else classes)


def fit_binarizer(backend: Backend, y: Any) -> LabelBinarizer:
    """Return a LabelBinarizer fitted on labels on a device."""
    return binarizer_of(find_classes(backend, y), multilabel=is_multilabel(y))


def encode(backend: Backend, y: Any, binarizer: LabelBinarizer) -> Any:
    """Return boolean targets, one column per output, like `LabelBinarizer.transform`; unknown labels are all False."""
    if binarizer.y_type_.startswith("multilabel"):
        return y == 1
    targets = y[:, None] == backend.asarray(binarizer.classes_)[None, :]
    count = len(binarizer.classes_)
    if count > 2:
        return targets
    # Two classes share one output, which is True for the second; with one class it is never True.
    return targets[:, 1:] if count == 2 else backend.xp.zeros_like(targets)


def decode(backend: Backend, predictions: Any, binarizer: LabelBinarizer) -> Any:
    """Return the predicted labels, like `LabelBinarizer.inverse_transform`."""
    xp = backend.xp
    if binarizer.y_type_.startswith("multilabel"):
        return xp.astype(predictions > 0.5, xp.int64)
    classes = backend.asarray(binarizer.classes_)
    if len(binarizer.classes_) > 2:
        indices = xp.argmax(predictions, axis=1)
    elif len(binarizer.classes_) == 2:
        indices = xp.astype(predictions[:, 0] > 0.5, xp.int64)
    else:
        indices = xp.zeros_like(predictions[:, 0], dtype=xp.int64)
    return xp.take(classes, indices, axis=0)


def has_numeric_labels(binarizer: LabelBinarizer) -> bool:
    """Return whether the labels are numbers, which arrays of every library can hold."""
    return bool(binarizer.classes_.dtype.kind in "biuf")
