"""Training a population, part by part."""

import copy
import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from xpmlp.backends import Backend
from xpmlp.data.placement import move_samples
from xpmlp.nn.activations import Activations
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.optimizers import Optimizer
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState
from xpmlp.nn.tree import tree_map
from xpmlp.threads import limit_threads, threads_in_use, use_threads
from xpmlp.training.run import EpochRow

from .member import Grid, Member, arrange, check_members, split_members, steps_per_epoch
from .step import PopulationState, population_step, settings_of, split_settings
from .validation import ValidationRows

COMPACT_BELOW = 0.75  # fraction of places in use below which the members move closer together


class Plan(NamedTuple):
    """What all members have in common."""

    backend: Backend
    samples: Samples  # on the device; the last row is empty and has weight 0
    activation: Activations
    loss: Loss
    step: Step
    optimizer: Callable[..., Optimizer]
    varying: tuple[str, ...]  # settings in which members differ
    batch_size: int
    cancelled: threading.Event


def train_population(
    samples: Samples,
    members: Sequence[Member],
    *,
    activation: Activations,
    loss: Loss,
    optimizer: Callable[..., Optimizer],
    batch_size: int,
    backend: Backend,
    models_at_once: int | None = None,
) -> None:
    """Train each member to what `fit` would have made of it alone, up to rounding.

    The result is in the members. If it is interrupted by Ctrl-C or by an error of an `on_epoch_end`, the members that
    are done keep theirs.

    Parameters
    ----------
    samples
        Rows of all members, on the host or of the backend's library: they are moved to the device once.
    members
        Networks of the same layer sizes and dtype.
    optimizer
        ``optimizer(**member.optimizer)`` is a member's; one of `xpmlp.nn.optimizers`.
    batch_size
        Rows per step; each member's last batch of an epoch holds the remainder.
    models_at_once
        The most members to train at once; by default as many as memory is planned for.

    Raises
    ------
    SettingsError
        If a member has no rows or no epochs, or the members differ in what they must have in common.
    """
    if not members:
        return
    check_members(members, batch_size)
    parts = split_members(backend, members, batch_size, models_at_once)
    with backend.scope():
        samples = with_empty_row(backend, move_samples(backend, samples, members[0].dtype), parts)
    fixed, varying = split_settings(members)
    step = population_step(activation, loss, optimizer, fixed, varying)
    plan = Plan(backend, samples, activation, loss, step, optimizer, varying, batch_size, threading.Event())
    workers = min(len(parts), threads_in_use()) if backend.trains_in_threads else 1
    if workers == 1:
        try:
            for part in parts:
                train_part(plan, part, None)
        finally:
            backend.release_recordings()
        return
    # OpenBLAS takes its number of threads back only from the Python thread that set it: this one, which leaves last.
    with limit_threads(1), ThreadPoolExecutor(workers) as pool:
        try:
            for future in [pool.submit(train_part, plan, part, 1) for part in parts]:
                future.result()
        except BaseException:
            plan.cancelled.set()
            raise


def with_empty_row(backend: Backend, samples: Samples, parts: list[Grid]) -> Samples:
    """Append a row of zeros with weight 0, which fills up smaller batches, if any group needs it."""
    if all(len({len(row[0].rows.train) for row in part}) == 1 for part in parts):
        return samples
    xp, (x, targets, weight, divisor) = backend.xp, samples
    if weight is None:
        weight = xp.ones_like(targets[..., 0])
    x, targets, weight = (xp.concat([array, xp.zeros_like(array[:1, ...])], axis=0) for array in (x, targets, weight))
    return Samples(x, targets, weight, divisor)


def train_part(plan: Plan, grid: Grid, threads: int | None) -> None:
    """Train members whose epochs have equally many steps."""
    with use_threads(threads or threads_in_use()), plan.backend.scope():
        Part(plan, grid).train()


class Part:
    """Members in training, and their state on the device.

    Attributes
    ----------
    grid
        The member at each place.
    place
        Each member's place, by its id.
    state, best
        Of all places: after the last epoch; the weights that members keep.
    """

    def __init__(self, plan: Plan, grid: Grid) -> None:
        self.plan = plan
        self.members = list({id(member): member for row in grid for member in row}.values())
        self.steps = steps_per_epoch(self.members[0], plan.batch_size)
        self.shufflers = {id(member.rows): copy.deepcopy(member.rows.shuffler) for member in self.members}
        self.seat(grid)
        self.state: Any = self.initial_state()
        self.best: Layers | None = None

    def seat(self, grid: Grid) -> None:
        """Give each member its place."""
        self.grid = grid
        self.place = {id(m): (row, column) for row, ms in enumerate(grid) for column, m in reversed([*enumerate(ms)])}
        plan, has_none = self.plan, grid[0][0].rows.validation is None
        self.validation = (
            None
            if has_none
            else ValidationRows(plan.backend, plan.samples, grid, plan.activation, plan.loss, plan.batch_size)
        )

    def initial_state(self) -> PopulationState:
        """Return the state before the first step."""
        plan, backend = self.plan, self.plan.backend

        def stack(*arrays: Any) -> Any:
            stacked = np.stack(arrays)
            return backend.asarray(stacked.reshape(len(self.grid), -1, *stacked.shape[1:]), everyone[0].dtype)

        everyone = [member for row in self.grid for member in row]
        layers = tree_map(stack, everyone[0].layers, *(member.layers for member in everyone[1:]))
        settings = {name: stack(*([[settings_of(m)[name]]] for m in everyone)) for name in plan.varying}
        own = {name: settings.get(name, value) for name, value in everyone[0].optimizer.items()}
        keys = np.asarray([[member.dropout_key for member in row] for row in self.grid])
        return PopulationState(
            layers=layers,
            optimizer=plan.optimizer(**own).init(backend.xp, layers),
            dropout=backend.asarray(keys) if "dropout" in plan.varying or everyone[0].dropout > 0.0 else (),
            settings=tuple(settings.values()),
        )

    def train(self) -> None:
        """Train until every member is done."""
        active = self.members
        while active and not self.plan.cancelled.is_set():
            if len(active) < COMPACT_BELOW * sum(map(len, self.grid)):
                self.compact(active)
            before = self.state
            self.train_epoch(active)
            done = [member for member in active if member.is_done]
            self.release(done, before)
            active = [member for member in active if not member.is_done]

    def train_epoch(self, active: list[Member]) -> None:
        """Train all places for an epoch, and let the active members look at it."""
        plan, backend = self.plan, self.plan.backend
        xp, started = backend.xp, time.perf_counter()
        epoch = len(active[0].history)
        rates = self.learning_rates(epoch)
        order = self.draw_order(active)
        self.state, objectives = backend.run_epoch(
            plan.step,
            self.state,
            plan.samples,
            backend.asarray(order),
            backend.asarray(rates[..., None, None], active[0].dtype),
            plan.batch_size,
        )
        sums = [xp.sum(a, axis=(-2, -1)) for layer in self.state.layers for a in layer]
        finite = backend.to_numpy(xp.isfinite(functools.reduce(xp.add, sums)))
        objectives = backend.to_numpy(objectives)
        seconds = time.perf_counter() - started
        scores = None if self.validation is None else self.validation.score(self.state.layers)
        keeps = np.zeros((len(self.grid), len(self.grid[0]), 1, 1), bool)
        counts = np.asarray([[len(row[0].rows.train)] for row in self.grid])
        last = counts - (self.steps - 1) * plan.batch_size  # rows in the last batch, which counts by its size
        totals = np.sum(objectives[..., :-1], axis=-1) * plan.batch_size + objectives[..., -1] * last
        objective, mean_rates = (totals / counts).tolist(), np.mean(rates, axis=0).tolist()
        finite = (finite & np.isfinite(totals)).tolist()
        for member in active:
            row, column = place = self.place[id(member)]
            member.objective = objective[row][column]
            if not finite[row][column]:
                member.diverged = True
                member.stop("diverged")
                continue
            loss, member.score = (None, None) if scores is None else (part[row][column] for part in scores)
            member.history.append(
                EpochRow(
                    epoch=epoch + 1,
                    train_loss=None,
                    test_loss=None,
                    test_accuracy=None,
                    learning_rate=mean_rates[row][column],
                    seconds=seconds,
                    samples_per_second=len(member.rows.train) / seconds,
                    objective=member.objective,
                    validation_loss=loss,
                    validation_accuracy=None if plan.loss.is_correct is None else member.score,
                )
            )
            if member.on_epoch_end is not None:
                member.on_epoch_end(member)
            keeps[place] = member.kept_epoch == epoch + 1
        if np.any(keeps):
            mask = backend.asarray(keeps)
            old = self.best or self.state.layers
            self.best = tree_map(functools.partial(xp.where, mask), self.state.layers, old)

    def learning_rates(self, epoch: int) -> Float[np.ndarray, "steps groups models"]:
        """Return the learning rate of each step of an epoch."""
        steps = range(epoch * self.steps, (epoch + 1) * self.steps)
        rates = {id(m): [m.schedule(step, m.epochs * self.steps) for step in steps] for m in self.members}
        return np.asarray([[rates[id(m)] for m in row] for row in self.grid]).transpose(2, 0, 1)

    def draw_order(self, active: list[Member]) -> Int64[np.ndarray, "groups rows"]:
        """Return an epoch's rows for each group, filled up with the empty row."""
        counts = [len(row[0].rows.train) for row in self.grid]
        order = np.full((len(self.grid), max(counts)), self.plan.samples.rows - 1, dtype=np.int64)
        drawn: dict[int, Any] = {}
        for row, places in enumerate(self.grid):
            rows = places[0].rows
            if id(rows) not in drawn:
                drawn[id(rows)] = rows.train[self.shufflers[id(rows)].permutation(len(rows.train))]
            order[row, : counts[row]] = drawn[id(rows)]
        return order

    def compact(self, active: list[Member]) -> None:
        """Move the active members closer together."""
        xp, backend = self.plan.backend.xp, self.plan.backend
        width, before = len(self.grid[0]), self.place
        (grid,) = arrange(active)
        places = [before[id(member)] for row in grid for member in row]
        index = backend.asarray(np.asarray([row * width + column for row, column in places]))

        def move(array: Any) -> Any:
            if array.ndim < 2:  # the number of steps, which all members share
                return array
            flat = xp.reshape(array, (-1, *array.shape[2:]))
            return xp.reshape(xp.take(flat, index, axis=0), (len(grid), len(grid[0]), *array.shape[2:]))

        self.state = tree_map(move, self.state)
        self.best = None if self.best is None else tree_map(move, self.best)
        self.seat(grid)

    def release(self, done: list[Member], before: Any) -> None:
        """Give the members that are done their results."""
        if not done:
            return
        to_numpy = self.plan.backend.to_numpy
        after = tree_map(to_numpy, self.state)
        before = tree_map(to_numpy, before) if any(member.diverged for member in done) else after
        best = None if self.best is None else tree_map(to_numpy, self.best)
        for member in done:
            place = self.place[id(member)]

            def take(array: Any, place: tuple[int, int] = place) -> Any:
                return np.array(array[place] if array.ndim >= 2 else array)

            state = before if member.diverged else after
            member.state = tree_map(take, TrainingState(*state[:3]))
            if member.kept_epoch and best is not None:
                member.state = member.state._replace(layers=tree_map(take, best))
            member.kept_epoch = member.kept_epoch or len(member.history)
            member.layers = member.state.layers
