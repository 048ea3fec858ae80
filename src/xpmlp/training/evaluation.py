"""How good a network is on rows that it was not trained on."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float

from xpmlp.backends import Backend
from xpmlp.data import StreamedSamples
from xpmlp.data.placement import rows_on_device
from xpmlp.errors import DataError
from xpmlp.nn.activations import Activation
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.network import forward
from xpmlp.nn.samples import Samples

ROWS_AT_A_TIME = 4096  # Bounds the memory that the hidden layers take, whatever the number of rows.


@dataclass(frozen=True)
class Evaluation:
    """Mean loss over the rows, and the part of them answered right (None where the loss knows no right)."""

    loss: float
    accuracy: float | None


def evaluate(
    backend: Backend, layers: Layers, samples: Samples | StreamedSamples, *, activation: Activation, loss: Loss
) -> Evaluation:
    """Compute mean loss and accuracy; rows count by their weight.

    Parameters
    ----------
    layers, samples
        Arrays of `backend`, or samples that it holds on the host. Nothing is read back until all rows are through.

    Raises
    ------
    DataError
        Where there are no rows, or all of them weigh 0.
    """
    xp = backend.xp
    loss_sums, hit_sums, weight_sums = [], [], []
    for start in range(0, samples.rows, ROWS_AT_A_TIME):
        x, targets, weight = rows_on_device(backend, samples, start, start + ROWS_AT_A_TIME)
        with backend.threads_for(layers, x.shape[-2]):
            _, logits = forward(xp, layers, x, activation)
        losses, _ = loss.value_and_gradient(xp, logits, targets)
        weight = xp.ones_like(losses) if weight is None else weight
        loss_sums.append(xp.sum(losses * weight))
        weight_sums.append(xp.sum(weight))
        if loss.is_correct is not None:
            hit_sums.append(xp.sum(xp.astype(loss.is_correct(xp, logits, targets), losses.dtype) * weight))
    total = sum(float(part) for part in weight_sums)
    if total == 0.0:
        raise DataError("There is nothing to evaluate on: no rows, or rows that all weigh 0.")
    return Evaluation(
        loss=sum(float(part) for part in loss_sums) / total,
        accuracy=sum(float(part) for part in hit_sums) / total if hit_sums else None,
    )


def predict_outputs(
    backend: Backend, layers: Layers, x: Float[Any, "rows features"], *, activation: Activation, loss: Loss
) -> Float[Any, "rows outputs"]:
    """Compute the network's predictions, such as the probability of each class.

    Parameters
    ----------
    layers, x
        Arrays of `backend`; so is what is returned.
    """
    xp = backend.xp
    rows = x.shape[0]
    with backend.threads_for(layers, min(rows, ROWS_AT_A_TIME)):
        return xp.concat(
            [
                loss.predict(xp, forward(xp, layers, x[start : min(start + ROWS_AT_A_TIME, rows), :], activation)[1])
                for start in range(0, max(rows, 1), ROWS_AT_A_TIME)  # no rows are one chunk, of none
            ],
            axis=0,
        )
