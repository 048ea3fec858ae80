"""Validation of all members of a population after each epoch."""

from typing import Any

import numpy as np

from xpmlp.backends import Backend
from xpmlp.nn.activations import Activations
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.network import forward
from xpmlp.nn.samples import Samples, make_batch, take_rows
from xpmlp.nn.tree import tree_map

from .member import Member


class ValidationRows:
    """The validation rows of each group, on the device."""

    def __init__(
        self,
        backend: Backend,
        samples: Samples,
        grid: list[list[Member]],
        activation: Activations,
        loss: Loss,
        batch_size: int,
    ) -> None:
        self.backend, self.samples, self.batch_size = backend, samples, batch_size
        self.activation, self.loss = activation, loss
        indices: list[Any] = [row[0].rows.validation for row in grid]
        rows = np.zeros((len(grid), max(map(len, indices))), dtype=np.int64)
        counted = np.zeros(rows.shape)
        for row, index in enumerate(indices):
            rows[row, : len(index)], counted[row, : len(index)] = index, 1.0
        self.rows = backend.asarray(rows)
        self.counted = backend.asarray(counted[:, None, :], grid[0][0].dtype)
        self.variance: Any = None
        if loss.is_correct is None:
            _, targets, weight = make_batch(backend.xp, take_rows(backend.xp, self.samples, self.rows))
            counted = counted[:, None, :] if weight is None else counted[:, None, :] * backend.to_numpy(weight)
            truth, counted = backend.to_numpy(targets), counted[..., None]
            mean = np.sum(counted * truth, axis=-2, keepdims=True) / np.sum(counted, axis=-2, keepdims=True)
            self.variance = np.sum(counted * (truth - mean) ** 2, axis=-2)

    def score(self, layers: Layers) -> tuple[list[list[float]], list[list[float]]]:
        """Return the mean loss of each group's models, and their accuracy or R²; a batch of rows at a time."""
        backend, loss, xp = self.backend, self.loss, self.backend.xp
        sums: Any = None
        for start in range(0, self.rows.shape[-1], self.batch_size):
            stop = min(start + self.batch_size, self.rows.shape[-1])
            batch = make_batch(xp, take_rows(xp, self.samples, self.rows[:, start:stop]))
            weight = self.counted[..., start:stop]
            weight = weight if batch.weight is None else weight * batch.weight
            with backend.threads_for(layers, stop - start):
                _, logits = forward(xp, layers, batch.x, self.activation)
            losses, _ = loss.value_and_gradient(xp, logits, batch.targets)
            if loss.is_correct is not None:
                right = xp.astype(loss.is_correct(xp, logits, batch.targets), losses.dtype)
                of_score = xp.sum(right * weight, axis=-1)
            else:
                errors = loss.predict(xp, logits) - batch.targets
                of_score = xp.sum(weight[..., None] * errors * errors, axis=-2)
            part = (xp.sum(losses * weight, axis=-1), xp.sum(weight, axis=-1), of_score)
            sums = part if sums is None else tree_map(xp.add, sums, part)
        losses, total, scores = tree_map(backend.to_numpy, sums)
        if self.variance is None:
            return (losses / total).tolist(), (scores / total).tolist()
        constant = np.where(scores == 0.0, 1.0, 0.0)  # of constant targets, as in scikit-learn's r2_score
        r2 = np.where(self.variance > 0.0, 1.0 - scores / np.where(self.variance > 0.0, self.variance, 1.0), constant)
        return (losses / total).tolist(), np.mean(r2, axis=-1).tolist()
