"""What a solver is given: the samples, and where to compute with them."""

from typing import Any, NamedTuple

from xpmlp.backends import Backend
from xpmlp.nn.samples import Samples
from xpmlp.training.distributed import Communicator


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
