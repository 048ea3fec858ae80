"""A step whose inputs and outputs stay where they are, so that it can be captured once and executed again."""

import copy
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Integer

from xpmlp.nn.samples import Samples, make_batch, take_rows
from xpmlp.nn.step import State, Step
from xpmlp.nn.tree import tree_map

from .buffers import aligned_copy


class CapturedStep:
    """A training step between fixed buffers.

    `run` takes no arguments and returns nothing. What it asks of the library can be captured, as a trace or as a CUDA
    graph; executing that once for each batch is an epoch.

    Parameters
    ----------
    state
        Gives the shapes; it is copied, not written to.
    samples
        Are read where they are.
    batches
        Which rows make each batch.
    learning_rates
        One for each batch: a number, or an array of shape ``(*models, 1, 1)``.
    """

    buffers: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        xp: Any,
        step: Step,
        state: State,
        samples: Samples,
        batches: Integer[Any, "steps *groups batch"],
        learning_rates: Float[Any, "steps ..."],
    ) -> None:
        self.xp = xp
        self.step = step
        self.samples = samples
        self.state = tree_map(self.copy, state)
        self.steps = batches.shape[0]
        self.returned: State | None = None

    def map_buffers(self, function: Callable[[Any], Any]) -> Any:
        """Return the same step with `function` applied to each of its buffers, samples included."""
        mapped = copy.copy(self)
        mapped.samples = self.samples.map(function)
        for name in self.buffers:
            setattr(mapped, name, tree_map(function, getattr(self, name)))
        return mapped

    def load_state(self, state: State) -> None:
        """Write a state into the buffers, unless it is the one that was copied from them last."""
        if state is not self.returned:
            tree_map(overwrite, self.state, state)
        self.returned = None

    def copy_state(self) -> State:
        """Return a copy of the state in the buffers."""
        self.returned = tree_map(functools.partial(self.xp.asarray, copy=True), self.state)
        return self.returned

    def take_step(self, rows: Integer[Any, "*groups batch"], learning_rate: Float[Any, "..."]) -> Float[Any, "*models"]:
        """Take the step of the given rows, and return the objective."""
        batch = make_batch(self.xp, take_rows(self.xp, self.samples, rows))
        state, objective = self.step(self.xp, self.state, *batch, learning_rate)
        tree_map(overwrite, self.state, state)
        return objective

    def copy(self, array: Any) -> Any:
        """Return a copy of an array."""
        return self.xp.asarray(array, copy=True)


class DeviceStep(CapturedStep):
    """A step for a device that the host does not wait for: it finds the next batch, and advances the index, by itself.

    It has room for as many batches as it is made with.
    """

    buffers = ("state", "batches", "learning_rates", "next", "objectives")

    def __init__(self, xp: Any, step: Step, state: Any, samples: Samples, batches: Any, learning_rates: Any) -> None:
        super().__init__(xp, step, state, samples, batches, learning_rates)
        self.batches, self.learning_rates = self.copy(batches), self.copy(learning_rates)
        self.next = xp.zeros_like(xp.reshape(batches[0, ...], (-1,))[:1])
        weight = state.layers[0].weight
        self.objectives = xp.zeros((*weight.shape[:-2], self.steps), dtype=weight.dtype, device=weight.device)

    def run(self) -> None:
        """Take the step of the next batch."""
        xp = self.xp
        rows = xp.take(self.batches, self.next, axis=0)[0, ...]
        objective = self.take_step(rows, xp.take(self.learning_rates, self.next, axis=0)[0, ...])
        self.objectives[..., self.next] = objective[..., None]
        self.next[...] = self.next + 1

    def rewind(self) -> None:
        """Return to the first batch."""
        self.next[...] = 0

    def execute(self, execute_step: Callable[[], None], batches: Any, learning_rates: Any) -> Any:
        """Execute the captured step once for each batch; return the objectives."""
        steps = batches.shape[0]
        self.batches[:steps, ...] = batches
        self.learning_rates[:steps, ...] = learning_rates
        self.rewind()
        for _ in range(steps):
            execute_step()
        return self.copy(self.objectives[..., :steps])


class HostStep(CapturedStep):
    """A step on NumPy arrays: the host writes rows and learning rate into buffers, quicker than looking them up.

    It has room for any number of batches.
    """

    buffers = ("state", "rows", "learning_rate", "objective")

    def __init__(self, xp: Any, step: Step, state: Any, samples: Samples, batches: Any, learning_rates: Any) -> None:
        super().__init__(xp, step, state, samples, batches, learning_rates)
        weight = state.layers[0].weight
        self.rows, self.learning_rate = np.array(batches[0]), np.array(learning_rates[0])
        self.objective = np.zeros(weight.shape[:-2], weight.dtype)
        self.steps = float("inf")

    def run(self) -> None:
        """Take the step of the rows in place."""
        overwrite(self.objective, self.take_step(self.rows, self.learning_rate))

    def execute(self, execute_step: Callable[[], None], batches: Any, learning_rates: Any) -> Any:
        """Execute the captured step once for each batch; return the objectives."""
        objectives = np.empty((len(batches), *self.objective.shape), self.objective.dtype)
        for index, (rows, learning_rate) in enumerate(zip(batches, learning_rates, strict=True)):
            self.rows[...] = rows
            self.learning_rate[...] = learning_rate
            execute_step()
            objectives[index] = self.objective
        return np.moveaxis(objectives, 0, -1)

    def copy(self, array: Any) -> Any:
        """Return a copy of an array, aligned."""
        return aligned_copy(np.asarray(array))  # a count may be a NumPy scalar


def overwrite(buffer: Any, array: Any) -> Any:
    """Write an array into a buffer of its shape."""
    buffer[...] = array
    return buffer
