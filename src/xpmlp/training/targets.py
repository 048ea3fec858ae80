"""The loss for a dataset's target, and how targets are scaled for training."""

import math
from typing import NamedTuple

import numpy as np

from xpmlp.datasets import Dataset
from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layer
from xpmlp.nn.loss_names import LossName
from xpmlp.nn.losses import REGRESSION_LOSSES

from .recipes import Recipe

SQUARED_ERROR = LossName("squared_error")
POSITIVE = ("poisson", "gamma")  # losses whose predictions are exponentials


def choose_loss(dataset: Dataset, recipe: Recipe) -> LossName:
    """Return the recipe's loss, or the usual one for the dataset's target.

    Raises
    ------
    SettingsError
        If it is not for this target: for numbers, but there are classes, or for numbers above 0.
    """
    if recipe.loss == "auto":
        return LossName("softmax_cross_entropy") if dataset.classes else SQUARED_ERROR
    loss = LossName.parse(recipe.loss)
    if loss.kind == "logistic_cross_entropy" or (loss.kind == "softmax_cross_entropy") != bool(dataset.classes):
        kinds = ["softmax_cross_entropy"] if dataset.classes else REGRESSION_LOSSES
        what = "classes" if dataset.classes else "a number"
        raise SettingsError(f"loss: {recipe.loss} is not for {what} to predict; use {', '.join(kinds)}.")
    if loss.kind in POSITIVE:
        lowest = min(float(np.min(part.labels)) for part in (dataset.train, dataset.test) if part.rows)
        lowest = lowest if dataset.stream is None else min(lowest, dataset.stream.lowest)
        if lowest < 0.0 or (lowest == 0.0 and loss.kind == "gamma"):
            above = "above 0" if loss.kind == "gamma" else "at least 0"
            raise SettingsError(f"loss: {loss.kind} is for targets {above}, but there is {lowest:g}. Use another loss.")
    return loss


class TargetScale(NamedTuple):
    """How targets are scaled for training: (y − center) / spread.

    Attributes
    ----------
    is_log
        Whether the outputs are the logarithms of the predictions.
    of_loss
        Factor between a loss of scaled and of unscaled targets.
    """

    center: float
    spread: float
    is_log: bool
    of_loss: float

    def undo(self, last: Layer) -> Layer:
        """Return the last layer with outputs in the target's own units."""
        weight, bias = last.weight.astype(np.float64), last.bias.astype(np.float64)
        if self.is_log:
            bias = bias + math.log(self.spread)
        else:
            weight, bias = weight * self.spread, bias * self.spread + self.center
        return Layer(weight.astype(last.weight.dtype), bias.astype(last.bias.dtype))


def target_scale(dataset: Dataset, loss: LossName = SQUARED_ERROR) -> TargetScale:
    """Return mean and standard deviation of the training targets; 0 and the mean if outputs are logarithms."""
    if dataset.stream is not None:
        mean, spread = dataset.stream.mean, dataset.stream.deviation
    else:
        mean, spread = float(np.mean(dataset.train.labels)), float(np.std(dataset.train.labels))
    if loss.output != "identity":  # the outputs have bounds of their own
        return TargetScale(0.0, 1.0, False, 1.0)
    if loss.kind in POSITIVE:
        mean = mean if mean > 0.0 else 1.0
        return TargetScale(0.0, mean, True, mean if loss.kind == "poisson" else 1.0)
    spread = spread if spread > 0.0 else 1.0
    return TargetScale(mean, spread, False, spread ** (2 if loss.kind in ("squared_error", "huber") else 1))
