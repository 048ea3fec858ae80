"""How the learning rate goes over a run.

A schedule is a function ``schedule(step, steps)`` that gives the learning rate of step number `step`, from 0, of
`steps` in the whole run.
"""

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]


def constant(learning_rate: float) -> Schedule:
    """Return the same learning rate at every step."""
    return lambda step, steps: learning_rate


def warmup_cosine(learning_rate: float, *, warmup: float = 0.1) -> Schedule:
    """Return a rate that rises in a straight line over the first part of the run, then falls to 0 as half a cosine.

    The rise keeps the first steps, taken from random weights, small; the fall lets the weights settle (Loshchilov and
    Hutter 2017). PyTorch users know the same shape as ``OneCycleLR``.

    Parameters
    ----------
    learning_rate
        The highest, reached at the end of the rise.
    warmup
        The part of all steps that the rise takes, from 0 to below 1.
    """

    def schedule(step: int, steps: int) -> float:
        rise = warmup * steps
        if step < rise:
            return learning_rate * (step + 1) / (math.floor(rise) + 1)
        return learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - rise) / (steps - rise)))

    return schedule


SCHEDULES: dict[str, Callable[[float], Schedule]] = {"constant": constant, "warmup_cosine": warmup_cosine}
