"""What a solver is given: the samples, where to compute with them, and the processes that hold samples too."""

from typing import Any, NamedTuple

from sklearn.utils.validation import _num_samples

from xpmlp.backends import Backend
from xpmlp.nn.samples import Samples
from xpmlp.training.distributed import Communicator, OwnRows


class GivenRows(NamedTuple):
    """Samples, targets and weights as they were given."""

    X: Any
    y: Any
    sample_weight: Any


NO_ROWS = GivenRows(None, None, None)


class Problem(NamedTuple):
    """What to train on, and where."""

    given: GivenRows
    given_validation: GivenRows | None
    validation: Samples | None
    source: Backend  # of X, to which the trained network is moved
    backend: Backend  # computes
    samples: Samples  # arrays of `backend`, or of NumPy
    dtype: str  # to compute in
    processes: Communicator  # if there are several, `OwnRows`: each holds samples of its own


def connect_rows(estimator: Any, X: Any, **optional: Any) -> Communicator:
    """Return the processes that fit an estimator together, each on its rows.

    Raises
    ------
    ValueError
        In all processes, if one of them has no samples.
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
        return rows

    processes = OwnRows(communicator.mpi, communicator.together(count))
    parameters = {name: repr(value) for name, value in estimator.get_params(deep=False).items()}
    # Objects, such as a callback or the communicator itself, are shown with their address.
    compared = {name: value for name, value in parameters.items() if " at 0x" not in value}
    given = {name: "missing" if value is None else "given" for name, value in optional.items()}
    processes.compare({"samples seen before": getattr(estimator, "t_", 0), **compared, **given})
    return processes
