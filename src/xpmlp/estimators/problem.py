"""What a solver is handed."""

from typing import Any, NamedTuple

from xpmlp.backends import Backend
from xpmlp.nn.activations import Activation
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.samples import Samples


class Problem(NamedTuple):
    """A network, what it is to learn, and where.

    Attributes
    ----------
    backend
        Where to compute.
    samples
        What to learn from, as arrays of `backend` or of the host.
    layers
        The network to start from, as arrays of `backend`.
    loss
        As scikit-learn reports it; see `losses`.
    penalty
        λ, None for none.
    """

    backend: Backend
    samples: Samples
    layers: Layers
    activation: Activation
    loss: Loss
    penalty: float | None

    @property
    def xp(self) -> Any:
        """The namespace."""
        return self.backend.xp
