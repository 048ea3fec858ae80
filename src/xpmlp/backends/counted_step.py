"""A static step whose batches are counted on the host, for a library whose arrays are there."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from xpmlp.backends.engine.captured_step import CapturedStep, overwrite


class CountedStep:
    """The part of a static step that depends on nothing but arrays, and the rest of it.

    Which batch is next, a device finds out by calls on arrays. The host does it in less time than it asks for them.

    Parameters
    ----------
    static
        Of NumPy's arrays.
    """

    def __init__(self, static: CapturedStep) -> None:
        self.static = static
        self.rows = np.array(static.batches[0])
        self.learning_rate = np.array(static.learning_rates[0])
        self.objective = np.array(static.objectives[..., 0])

    def map(self, function: Callable[[Any], Any]) -> "CountedStep":
        """Return the same step with each of its arrays replaced by what `function` makes of it."""
        mapped = copy.copy(self)
        mapped.static = self.static.map(function)
        for name in ("rows", "learning_rate", "objective"):
            setattr(mapped, name, function(getattr(self, name)))
        return mapped

    def relocate(self, place_of: Callable[[Any], Any]) -> None:
        """Put those of its arrays that a step writes to where `place_of` says; what is in them is there already."""
        self.static.relocate(place_of)
        self.objective = place_of(self.objective)

    def run(self) -> None:
        """Take the step of the rows that are in place: this is what can be recorded."""
        overwrite(self.objective, self.static.take(self.rows, self.learning_rate))

    def bind(self, take_step: Callable[[], None]) -> Callable[[], None]:
        """Return what takes the step of the next batch, by means of a function that does what `run` does.

        The arrays stay where they are from then on.
        """
        static = self.static
        # Python reads and writes a number of a memoryview in a tenth of the time that it takes through NumPy.
        next_batch, rows, batches = view(static.next), view(self.rows), view(static.batches.reshape(-1))
        learning_rate, learning_rates = view(self.learning_rate), view(static.learning_rates)
        objective, objectives = self.objective, np.moveaxis(static.objectives, -1, 0)
        if objective.ndim == 0:
            objective, objectives = view(objective), view(objectives)
        size = len(rows)

        def take_next() -> None:
            index = next_batch[0]
            rows[:] = batches[index * size : (index + 1) * size]
            learning_rate[()] = learning_rates[index]
            take_step()
            objectives[index] = objective[()]
            next_batch[0] = index + 1

        return take_next


def view(array: Any) -> Any:
    """Return a view of an array that is for Python's own numbers."""
    return memoryview(array)
