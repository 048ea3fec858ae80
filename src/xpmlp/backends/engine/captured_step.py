"""A step with fixed places in memory, so that a device can record it once and play it again."""

import copy
from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Integer

from xpmlp.nn.samples import Samples, make_batch, take_rows
from xpmlp.nn.step import Step, TrainingState
from xpmlp.nn.tree import tree_map


class CapturedStep:
    """One step of an epoch whose every input and output stays where it is.

    `run` takes no arguments and returns nothing: it reads which batch is next from an array, takes the step, and
    writes state, objective and the next batch's number over what was there. Nothing in it is decided on the host, so a
    recording of what it asks of the device, played once for each batch, is an epoch. It works, unrecorded, on any
    library whose arrays can be written to.

    Parameters
    ----------
    state
        Gives the shapes; it is copied, not written to.
    samples
        Are read where they are.
    batches
        Which rows make each batch; there may be fewer of them later, not more.
    """

    def __init__(
        self,
        xp: Any,
        step: Step,
        state: TrainingState,
        samples: Samples,
        batches: Integer[Any, "steps batch"],
        learning_rates: Float[Any, " steps"],
    ) -> None:
        self.xp = xp
        self.step = step
        self.samples = samples
        self.state = tree_map(lambda array: xp.asarray(array, copy=True), state)
        self.batches = xp.asarray(batches, copy=True)
        self.learning_rates = xp.asarray(learning_rates, copy=True)
        self.next = xp.zeros_like(batches[0, :1])
        weight = state.layers[0].weight
        steps = (*weight.shape[:-2], batches.shape[0])
        self.objectives = xp.zeros(steps, dtype=weight.dtype, device=weight.device)
        self.returned: TrainingState | None = None

    def load(
        self, state: TrainingState, batches: Integer[Any, "steps batch"], learning_rates: Float[Any, " steps"]
    ) -> None:
        """Start an epoch, or a part of one, from that state."""
        if state is not self.returned:  # else it is what is there
            tree_map(overwrite, self.state, state)
        self.returned = None
        self.batches[: batches.shape[0], ...] = batches
        self.learning_rates[: batches.shape[0]] = learning_rates
        self.rewind()

    def rewind(self) -> None:
        """Go back to the first batch."""
        self.next[...] = 0

    def map(self, function: Callable[[Any], Any]) -> "CapturedStep":
        """Return the same step with each of its arrays replaced by what `function` makes of it."""
        mapped = copy.copy(self)
        mapped.samples = self.samples.map(function)
        for name in ("state", "batches", "learning_rates", "next", "objectives"):
            setattr(mapped, name, tree_map(function, getattr(self, name)))
        return mapped

    def relocate(self, place_of: Callable[[Any], Any]) -> None:
        """Put those of its arrays that a step writes to where `place_of` says; what is in them is there already."""
        for name in ("state", "next", "objectives"):
            setattr(self, name, tree_map(place_of, getattr(self, name)))

    def run(self) -> None:
        """Take the step of the next batch."""
        xp = self.xp
        rows = xp.take(self.batches, self.next, axis=0)[0, ...]
        objective = self.take(rows, xp.take(self.learning_rates, self.next, axis=0)[0, ...])
        self.objectives[..., self.next] = objective[..., None]
        self.next[...] = self.next + 1

    def take(self, rows: Integer[Any, " batch"], learning_rate: Float[Any, ""]) -> Float[Any, "*models"]:
        """Take the step of those rows, and return the objective."""
        xp = self.xp
        batch = make_batch(xp, take_rows(xp, self.samples, rows))
        state, objective = self.step(xp, self.state, *batch, learning_rate)
        tree_map(overwrite, self.state, state)
        return objective

    def result(self, steps: int) -> tuple[TrainingState, Float[Any, "*models steps"]]:
        """Return copies of the state and of the first objectives: the next epoch will write over the originals."""
        self.returned = tree_map(lambda array: self.xp.asarray(array, copy=True), self.state)
        return self.returned, self.xp.asarray(self.objectives[..., :steps], copy=True)


def overwrite(place: Any, array: Any) -> Any:
    """Write an array over another of its shape."""
    place[...] = array
    return place
