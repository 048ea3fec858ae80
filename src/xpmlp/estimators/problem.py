"""What a solver is given: the samples, and where to compute with them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from xpmlp.backends import Backend
from xpmlp.nn.samples import Samples
from xpmlp.training.distributed import OwnRows


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
    processes: OwnRows | None = None  # that each hold samples of their own

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        return self.processes is None or self.processes.rank == 0

    def sum_numbers(self, *numbers: float) -> Sequence[float]:
        """Return the sums over all processes of some numbers."""
        return numbers if self.processes is None else self.processes.sum_numbers(*numbers)

    def of_all(self, array: Any) -> Any:
        """Return an array of all rows, of which each process has given its part."""
        return array if self.processes is None else self.processes.concatenate(array)
