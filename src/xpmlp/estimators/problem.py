"""What a solver is given: the samples, and the loss as scikit-learn reports it.

scikit-learn clips probabilities to [eps, 1 − eps] of their dtype before it takes the logarithm, so no output of a
sample costs more than 36.04 in float64 or 15.94 in float32. It reports the squared error as a mean over the outputs,
but descends along the gradient of the sum. The loss curve, and therefore the stopping epoch, depend on both; the
gradients are those of `xpmlp.nn.losses`.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxtyping import Float

from xpmlp.backends import Backend
from xpmlp.nn.activations import Activations
from xpmlp.nn.losses import LOSSES, Loss, logistic, softmax_cross_entropy, squared_error
from xpmlp.nn.samples import Samples
from xpmlp.training.distributed import OwnRows


class Rows(NamedTuple):
    """Samples, targets and weights as they were given."""

    X: Any
    y: Any
    sample_weight: Any


NO_ROWS = Rows(None, None, None)


class Problem(NamedTuple):
    """What to minimize, and where."""

    given: Rows
    given_validation: Rows | None
    validation: Samples | None
    source: Backend  # of X, to which the trained network is moved
    backend: Backend  # computes
    samples: Samples  # arrays of `backend`, or of NumPy
    dtype: str  # to compute in
    activation: Activations
    loss: Loss
    l2: float | None  # the penalty λ
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


def clipped_softmax_cross_entropy(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute the cross-entropy of clipped class probabilities; `targets` are one-hot."""
    losses, gradient = softmax_cross_entropy(xp, logits, targets)
    eps = float(xp.finfo(logits.dtype).eps)
    return xp.minimum(xp.maximum(losses, -math.log1p(-eps)), -math.log(eps)), gradient


def clipped_logistic_cross_entropy(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute the cross-entropy of clipped probabilities; `targets` are 0 or 1.

    It is computed from the probability, like scikit-learn's, although few digits of 1 − p are left near p = 1.
    """
    predictions = logistic(xp, logits)
    eps = float(xp.finfo(logits.dtype).eps)
    clipped = xp.minimum(xp.maximum(predictions, eps), 1.0 - eps)
    losses = -xp.log(xp.where(targets > 0.5, clipped, 1.0 - clipped))
    return xp.sum(losses, axis=-1), predictions - targets


def mean_squared_error(
    xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch outputs"]
) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
    """Compute half the squared error's mean over the outputs, and the gradient of half its sum."""
    losses, gradient = squared_error(xp, logits, targets)
    return losses * (1.0 / logits.shape[-1]), gradient


REPORTED_LOSSES: dict[str, Loss] = {
    name: LOSSES[name]._replace(value_and_gradient=reported)
    for name, reported in {
        "softmax_cross_entropy": clipped_softmax_cross_entropy,
        "logistic_cross_entropy": clipped_logistic_cross_entropy,
        "squared_error": mean_squared_error,
        "poisson": LOSSES["poisson"].value_and_gradient,
    }.items()
}
"""scikit-learn's losses by the names in `xpmlp.nn.losses.LOSSES`."""
