"""scikit-learn's LabelBinarizer: from labels to targets, and from predictions on any device to labels."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from sklearn.preprocessing import LabelBinarizer

from xpmlp.backends import Backend


def binarizer_of(classes: Shaped[np.ndarray, " classes"], *, multilabel: bool) -> LabelBinarizer:
    """Return a LabelBinarizer fitted on these classes."""
    return LabelBinarizer().fit(np.eye(len(classes), dtype=np.int64) if multilabel else classes)


def encode(y: Shaped[np.ndarray, " samples"], binarizer: LabelBinarizer) -> Bool[np.ndarray, "samples outputs"]:
    """Return boolean targets, one column per output, like `LabelBinarizer.transform`, which would check y once more.

    Unknown labels are all False.
    """
    targets: Bool[np.ndarray, "samples outputs"] = y[:, None] == binarizer.classes_[None, :]
    count = len(binarizer.classes_)
    if count > 2:
        return targets
    # Two classes share one output, which is True for the second; with one class it is never True.
    return targets[:, 1:] if count == 2 else np.zeros_like(targets)


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
