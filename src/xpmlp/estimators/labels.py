"""From labels to what the outputs should be, and back, on any device, as scikit-learn's LabelBinarizer on NumPy."""

from typing import Any

import numpy as np
from jaxtyping import Shaped
from sklearn.preprocessing import LabelBinarizer

from xpmlp.backends import Backend

from .checks import ravel_column
from .places import to_host


def is_multilabel(y: Any) -> bool:
    """Tell whether labels on a device are yes and no for each of several outputs."""
    return bool(y.ndim == 2 and y.shape[1] > 1)


def check_labels(backend: Backend, y: Any) -> Any:
    """Return labels on a device as an array of one axis, or of two where there are several outputs.

    Raises
    ------
    ValueError
        Where they are no labels, in scikit-learn's words.
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
    """Return the classes among labels on a device, in ascending order, on the host."""
    if is_multilabel(y):
        return np.arange(y.shape[1])
    return to_host(backend, backend.xp.unique_values(y))


def binarizer_of(classes: Shaped[np.ndarray, " classes"], *, multilabel: bool) -> LabelBinarizer:
    """Return a LabelBinarizer that was fitted on labels of these classes."""
    return LabelBinarizer().fit(np.eye(len(classes), dtype=np.int64) if multilabel else classes)


def encode(backend: Backend, y: Any, binarizer: LabelBinarizer) -> Any:
    """Return what each output should be, yes or no, as LabelBinarizer does; labels of no class are none of them."""
    xp = backend.xp
    if binarizer.y_type_.startswith("multilabel"):
        return y == 1
    targets = y[:, None] == backend.asarray(binarizer.classes_)[None, :]
    count = len(binarizer.classes_)
    if count > 2:
        return targets
    # One output says yes to the second of two classes, and never where there is but one.
    return targets[:, 1:] if count == 2 else xp.zeros_like(targets)


def decode(backend: Backend, predictions: Any, binarizer: LabelBinarizer) -> Any:
    """Return the labels that the network's predictions stand for."""
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


def has_device_labels(binarizer: LabelBinarizer) -> bool:
    """Tell whether the labels are numbers, which arrays of every library can hold."""
    return bool(binarizer.classes_.dtype.kind in "biuf")
