"""Estimators in several processes, each of which holds samples of its own."""

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import _num_samples

from xpmlp.backends import Backend
from xpmlp.training.distributed import Communicator, OwnRows

from .arrays import dtype_name, to_host
from .validation import check_targets


def connect_rows(estimator: Any, X: Any, y: Any, **optional: Any) -> Communicator:
    """Return the processes that fit an estimator together, each on its rows.

    Raises
    ------
    ValueError
        In all processes, if one of them has no samples or no valid targets.
    SettingsError
        A ValueError: if their parameters differ.
    """
    communicator = Communicator.of(estimator.communicator)
    if communicator.size == 1:
        return communicator

    def count() -> int:
        rows = int(_num_samples(X))
        if rows == 0:
            raise ValueError("X has no samples. Give every process at least one, or start fewer processes.")
        check_consistent_length(X, check_targets(estimator, y))
        return rows

    processes = OwnRows(communicator.mpi, communicator.together(count))
    parameters = {name: repr(value) for name, value in estimator.get_params(deep=False).items()}
    # Objects, such as a callback or the communicator itself, are shown with their address.
    compared = {name: value for name, value in parameters.items() if " at 0x" not in value}
    given = {name: "missing" if value is None else "given" for name, value in optional.items()}
    processes.compare({"samples seen before": getattr(estimator, "t_", 0), **compared, **given})
    return processes


def check_input_together(
    estimator: Any, processes: Any, source: Backend, X: Any, y: Any, sample_weight: Any, **settings: Any
) -> tuple[Any, Any, Any]:
    """Return this process's valid samples, targets and weights; classes and their weights are those of all labels.

    `settings` are those of the estimator's ``_check_input``.
    """
    labels: Any = None
    if is_classifier(estimator):
        if scipy.sparse.issparse(y):
            raise ValueError("y: sparse labels cannot be used with a communicator. Use y.toarray().")
        labels = np.asarray(to_host(y))
        processes.compare({"kind of labels": labels.dtype.kind, "axes of labels": labels.ndim})
        labels = processes.concatenate(labels)
        estimator._check_targets(labels, incremental=settings["incremental"])
    # Like validation samples, those of one process may lack classes.
    given = (source, X, y, sample_weight)
    x, targets, weight = processes.together(lambda: estimator._check_input(*given, **settings | {"incremental": None}))
    processes.compare({"features of X": x.shape[1], "dtype of X": dtype_name(x), "columns of y": targets.shape[1]})
    of_all = estimator._apply_class_weight(labels, None, dtype_name(x))
    if of_all is not None:
        own = source.asarray(of_all[processes.holder(np.arange(len(of_all))) == processes.rank], dtype_name(x))
        weight = own if weight is None else weight * own
    return x, targets, weight
