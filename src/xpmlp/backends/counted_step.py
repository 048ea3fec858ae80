"""A static step whose batches are counted on the host, for a library whose arrays are there."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from .static_step import StaticStep, overwrite


class CountedStep:
    """The part of a static step that depends on nothing but arrays, and the rest of it.

    Which batch is next, a device finds out by calls on arrays. The host does it in less time than it asks for them.

    Parameters
    ----------
    static
        Of NumPy's arrays.
    """

    def __init__(self, static: StaticStep) -> None:
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

    def count(self, take_step: Callable[[], None]) -> None:
        """Take the step of the next batch, by means of a function that does what `run` does."""
        static = self.static
        index = static.next.item()
        self.rows[...] = static.batches[index]
        self.learning_rate[...] = static.learning_rates[index]
        take_step()
        static.objectives[..., index] = self.objective
        static.next[0] = index + 1
