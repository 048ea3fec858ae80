"""Trials: settings that are trained together, on one part of the training rows or on several folds."""

import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int64

from xpmlp.backends import Backend
from xpmlp.datasets import Dataset
from xpmlp.datasets.splitting import split_rows
from xpmlp.nn.activations import find_activation
from xpmlp.nn.initializers import INITIALIZERS, init_layers
from xpmlp.nn.loss_names import find_loss
from xpmlp.nn.samples import Samples
from xpmlp.training.cross_validation import split_rows_into_folds
from xpmlp.training.population import Member, Rows, train_population, with_largest_norm
from xpmlp.training.recipes import OPTIMIZERS, Recipe
from xpmlp.training.schedules import SCHEDULES
from xpmlp.training.targets import choose_loss
from xpmlp.training.train import layer_sizes

VALIDATION_FRACTION = 0.2  # of the training rows, without folds
TOGETHER = ("hidden_layer_sizes", "activation", "optimizer", "batch_size", "dtype")
"""Settings that all members of a population share."""

Split = tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " validation"]]


@dataclass(eq=False)
class Trial:
    """Settings, and how good the networks are that were trained with them.

    Attributes
    ----------
    number
        From 0, in the order in which they were proposed.
    settings
        The swept ones.
    score
        Mean over folds and seeds of the accuracy, or R², on the validation rows; None until it is finished, and if it
        has diverged.
    spread
        Standard deviation of the same; None for a single network.
    loss
        Mean loss on the validation rows.
    curve
        Mean score after each epoch.
    seconds
        Time of its population, divided by the number of its trials.
    state
        ``"running"``, ``"complete"``, ``"pruned"`` or ``"diverged"``.
    """

    number: int
    settings: Mapping[str, Any]
    score: float | None = None
    spread: float | None = None
    loss: float | None = None
    curve: list[float] = field(default_factory=list)
    seconds: float = 0.0
    state: str = "running"


def make_splits(dataset: Dataset, folds: int) -> list[Split]:
    """Return the training and validation rows of each fold; of a single split if there are no folds."""
    if folds > 1:
        return split_rows_into_folds(dataset, folds)
    return [split_rows(dataset.train.labels, VALIDATION_FRACTION, stratify=bool(dataset.classes))]


def share_out(trials: Sequence[Trial], recipe: Recipe, dataset: Dataset, processes: int) -> list[list[Trial]]:
    """Return each process's trials: the longest are given out first, each to the process with the least to do."""
    loss = choose_loss(dataset, recipe)

    def work(trial: Trial) -> int:
        own = replace(recipe, **trial.settings)
        return own.epochs * sum(inputs * outputs for inputs, outputs in pairwise(layer_sizes(dataset, own, loss)))

    parts: list[list[Trial]] = [[] for _ in range(processes)]
    works = {trial.number: work(trial) for trial in trials}
    for trial in sorted(trials, key=lambda trial: works[trial.number], reverse=True):
        min(parts, key=lambda part: sum(works[other.number] for other in part)).append(trial)
    return [sorted(part, key=lambda trial: trial.number) for part in parts]


def train_trials(
    trials: Sequence[Trial],
    recipe: Recipe,
    dataset: Dataset,
    samples: Samples,
    rows: Mapping[tuple[int, int], Rows],
    backend: Backend,
    *,
    should_prune: Callable[[Trial, int], bool] | None = None,
    on_finish: Callable[[Trial], None],
) -> None:
    """Train the networks of all trials, those of one architecture at once.

    Parameters
    ----------
    recipe
        The settings that are not swept.
    samples
        All training rows.
    should_prune
        Asked after each epoch that all networks of a trial have trained, with the trial, whose curve has that epoch,
        and the epoch's number.
    on_finish
        Called with each trial as soon as all its networks are done; one call at a time.
    """
    lock = threading.Lock()
    loss = choose_loss(dataset, recipe)
    groups: dict[Any, list[tuple[Trial, Recipe]]] = {}
    for trial in trials:
        own = replace(recipe, **trial.settings)
        kind = (own.max_grad_norm is None, *(getattr(own, name) for name in TOGETHER))
        groups.setdefault(kind, []).append((trial, own))
    for group in groups.values():
        followed = [(Followed(trial, len(group), should_prune, on_finish, lock), own) for trial, own in group]
        members = [
            make_member(own, layer_sizes(dataset, own, loss), seed, part, trial)
            for trial, own in followed
            for (seed, _), part in rows.items()
        ]
        shared = group[0][1]
        optimizer = OPTIMIZERS[shared.optimizer]
        train_population(
            samples,
            members,
            activation=find_activation(shared.activation),
            loss=find_loss(str(loss)),
            optimizer=optimizer if shared.max_grad_norm is None else with_largest_norm(optimizer),
            batch_size=shared.batch_size,
            backend=backend,
        )
        for each, _ in followed:
            with lock:
                each.finish()


def make_member(recipe: Recipe, sizes: tuple[int, ...], seed: int, rows: Rows, followed: "Followed") -> Member:
    """Return a network with layers of these sizes to train, and add it to its trial."""
    generator = np.random.default_rng(seed)
    layers = init_layers(np, generator, sizes, INITIALIZERS[recipe.initializer](), dtype=getattr(np, recipe.dtype))
    settings = {"weight_decay": recipe.penalty} if recipe.optimizer == "adamw" else {}
    if recipe.max_grad_norm is not None:
        settings["max_grad_norm"] = recipe.max_grad_norm
    member = Member(
        layers=layers,
        rows=rows,
        schedule=SCHEDULES[recipe.schedule](recipe.learning_rate),
        epochs=recipe.epochs,
        l2=recipe.l2 or 0.0,
        dropout=recipe.dropout,
        dropout_key=int(generator.integers(2**31)) if recipe.dropout else 0,
        optimizer=settings,
        on_epoch_end=followed.on_epoch_end,
    )
    followed.members.append(member)
    return member


@dataclass(eq=False)
class Followed:
    """A trial while its networks are trained."""

    trial: Trial
    together: int  # the number of trials that are trained at once
    should_prune: Callable[[Trial, int], bool] | None
    on_finish: Callable[[Trial], None]
    lock: threading.Lock
    started: float = field(default_factory=time.perf_counter)
    members: list[Member] = field(default_factory=list)
    scores: dict[int, list[float]] = field(default_factory=dict)
    pruned: bool = False

    def on_epoch_end(self, member: Member) -> None:
        """Note an epoch of one network; it may be called from several threads."""
        with self.lock:
            epoch = len(member.history)
            scores = self.scores.setdefault(epoch, [])
            scores.append(math.nan if member.score is None else member.score)
            if len(scores) == len(self.members) and epoch == len(self.trial.curve) + 1:
                self.trial.curve.append(statistics.fmean(scores))
                if self.should_prune is not None and epoch < member.epochs:
                    self.pruned = self.pruned or self.should_prune(self.trial, epoch)
            if self.pruned:
                member.stop("pruned")
            if all(each.is_done for each in self.members):
                self.finish()

    def finish(self) -> None:
        """Work out the score, once all networks are done, and report the trial, once."""
        trial, members = self.trial, self.members
        if trial.state != "running":
            return
        scores = [math.nan if member.score is None or member.diverged else member.score for member in members]
        losses = [row.held_out_loss for member in members for row in member.history[-1:]]
        trial.seconds = (time.perf_counter() - self.started) / self.together
        trial.state = "pruned" if self.pruned else "complete"
        if any(member.diverged for member in members) or not all(map(math.isfinite, scores)):
            trial.state = "diverged"
        else:
            trial.score = statistics.fmean(scores)
            trial.spread = statistics.stdev(scores) if len(scores) > 1 else None
            trial.loss = statistics.fmean(loss for loss in losses if loss is not None)
        self.on_finish(trial)
