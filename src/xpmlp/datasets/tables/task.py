"""Whether whole numbers are classes or amounts."""

import numpy as np
from jaxtyping import Int64

from .options import Task

CLASSES = ((10, 1, 10), (20, 5, 10), (100, 5, 100))
"""At most so many different numbers are classes, if the rarest has so many rows and all have so many on average.

Few are classes however unequal, such as the grades of wine; many are if all have many rows, such as letters."""


def decide_task(name: str, values: Int64[np.ndarray, " rows"]) -> tuple[Task, str]:
    """Return the task for a target of whole numbers, and a note with the reason."""
    return decide_by_counts(name, np.unique(values, return_counts=True)[1].tolist())


def decide_by_counts(name: str, counts: list[int]) -> tuple[Task, str]:
    """Return the task for a target by how many rows each of its whole numbers has, and a note with the reason.

    Many numbers, some of them rare, are amounts: counts, ages, prices. Two are always classes.
    """
    distinct, rarest, mean = len(counts), min(counts, default=0), sum(counts) / max(len(counts), 1)
    is_class = distinct == 2 or any(
        distinct <= most and rarest >= rarest_needed and mean >= mean_needed
        for most, rarest_needed, mean_needed in CLASSES
    )
    task: Task = "classification" if is_class else "regression"
    other = "regression" if is_class else "classification"
    return task, (
        f"{name!r} has {distinct:,} different whole numbers, each in {mean:,.0f} rows on average, the rarest in "
        f"{rarest:,}: {task}; change it with --task {other}"
    )
