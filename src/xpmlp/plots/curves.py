"""Loss and accuracy by epoch, of one run and of several."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from .style import (
    BLUE,
    GREY,
    ORANGE,
    SEVERAL,
    Picture,
    house_style,
    margins,
    mark_epochs,
    new_figure,
    shortened,
    to_png,
    write_numbers,
)

# If the highest loss exceeds the median by this factor, the run diverged, and on a linear axis all other losses look
# like 0.
DIVERGING = 1000.0
LINE_STYLES = ("-", "--", ":")  # as colors repeat
MARKED_EPOCHS = 30  # of longer runs, only the line is drawn


@runtime_checkable
class Epoch(Protocol):
    """An epoch to draw, such as a row of a history."""

    @property
    def epoch(self) -> int:
        """Its number, from 1."""

    @property
    def train_loss(self) -> float:
        """Mean objective of its batches."""

    @property
    def test_loss(self) -> float | None:
        """Loss on the test rows after it."""

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test rows after it."""


@house_style()
def draw_curves(history: Sequence[Epoch], title: str, kept: int | None = None) -> Picture:
    """Draw loss and accuracy by epoch, side by side; the loss alone if there were no test rows.

    The history has at least one epoch; `kept` is the one whose weights the model has, by default the last.
    """
    kept_row = find_kept(history, kept)
    is_last = kept_row is history[-1]
    accuracies = [100.0 * row.test_accuracy for row in history if row.test_accuracy is not None]
    figure = new_figure(9.6 if accuracies else 5.6, 4.0, title, layout="none")
    epochs = [row.epoch for row in history]
    marker = "o" if len(epochs) <= MARKED_EPOCHS else None
    train_losses = [row.train_loss for row in history]
    test_losses = [row.test_loss for row in history if row.test_loss is not None]
    highest = max(*train_losses, *test_losses)
    is_diverging = highest > DIVERGING * statistics.median([*train_losses, *test_losses]) > 0.0
    left = 1.2 if is_diverging else 0.75  # for powers of ten in full
    grid = margins(figure, left=left, right=0.2, bottom=0.55, top=0.25, wspace=0.23)
    loss_axes, *others = figure.subplots(1, 2 if accuracies else 1, squeeze=False, gridspec_kw=grid)[0]
    loss_axes.plot(epochs, train_losses, color=ORANGE, marker=marker, ms=4, ls="--", label="train")
    if test_losses:
        loss_axes.plot(epochs, test_losses, color=BLUE, marker=marker, ms=4, label="test")
    loss_axes.set_ylabel("loss")
    if is_diverging:
        loss_axes.set_yscale("log")
        write_numbers(loss_axes.yaxis, most=8, log=True)
    else:
        loss_axes.set_ylim(0, 1.05 * highest or 1.0)
    loss_axes.legend(frameon=False)
    for axes in others:
        axes.plot(epochs, accuracies, color=BLUE, marker=marker, ms=4)
        reached = accuracies[-1] if kept_row.test_accuracy is None else 100.0 * kept_row.test_accuracy
        axes.axhline(reached, color=GREY, lw=0.8, ls=":")
        when = "after the last epoch" if is_last else f"after epoch {kept_row.epoch} (kept)"
        axes.set_title(f"{reached:.2f} % {when}", loc="right", fontsize="medium", color=GREY)
        limit_accuracy(axes)
    for axes in (loss_axes, *others):
        if not is_last:
            axes.axvline(kept_row.epoch, color=GREY, lw=0.8, ls=":")
        mark_epochs(axes, epochs)
    return to_png(figure)


@house_style()
def draw_comparison(
    runs: Mapping[str, Sequence[Epoch]], title: str, kept: Mapping[str, int | None] | None = None
) -> Picture:
    """Draw test loss and test accuracy of several runs by epoch; the training loss of a run without test rows.

    Under each run's name are its history, of at least one epoch, and the epoch whose weights its model has, by default
    the last.
    """
    rows = [row for history in runs.values() for row in history]
    has_accuracy = any(row.test_accuracy is not None for row in rows)
    is_tested = all(row.test_loss is not None for row in rows)
    width = 10.4 if has_accuracy else 6.2
    names = {name: label_run(name, find_kept(history, (kept or {}).get(name))) for name, history in runs.items()}
    columns = max(1, min(len(runs), int(width * 12 / (max(map(len, names.values())) + 8))))
    figure = new_figure(width, 4.1 + 0.22 * -(-len(runs) // columns), title)
    loss_axes, *others = figure.subplots(1, 2 if has_accuracy else 1, squeeze=False)[0]
    epochs = [row.epoch for row in rows]
    marker = "o" if max(epochs) <= MARKED_EPOCHS else None
    looks = itertools.cycle(itertools.product(LINE_STYLES, SEVERAL))
    highest = 0.0
    for (name, history), (style, color) in zip(runs.items(), looks, strict=False):
        losses = [row.train_loss if row.test_loss is None else row.test_loss for row in history]
        highest = max(highest, *losses)
        look: dict[str, Any] = {"color": color, "ls": style, "marker": marker, "ms": 3.5}
        loss_axes.plot([row.epoch for row in history], losses, label=names[name], **look)
        accuracies = [(row.epoch, 100.0 * row.test_accuracy) for row in history if row.test_accuracy is not None]
        if accuracies:
            others[0].plot(*zip(*accuracies, strict=True), **look)
    loss_axes.set(ylabel="test loss" if is_tested else "test loss, or training loss", ylim=(0, 1.05 * highest or 1.0))
    for axes in others:
        limit_accuracy(axes)
    for axes in (loss_axes, *others):
        mark_epochs(axes, epochs)
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize="medium")
    return to_png(figure)


def limit_accuracy(axes: Any) -> None:
    """Label an axis of accuracies, and limit it to possible values, with room for half a marker."""
    low, high = axes.get_ylim()
    low, high = max(low, -1.0), min(high, 100.0 + 0.02 * (100.0 - low))
    axes.set(ylabel="test accuracy (%)", ylim=(low, high))


def find_kept(history: Sequence[Epoch], kept: int | None) -> Epoch:
    """Return the epoch of that number, or the last one."""
    return next((row for row in history if row.epoch == kept), history[-1])


def label_run(name: str, row: Epoch) -> str:
    """Return a run's name and result, short enough for a legend."""
    if row.test_accuracy is not None:
        result = f"{100.0 * row.test_accuracy:.2f} %"
    else:
        result = f"{row.train_loss if row.test_loss is None else row.test_loss:.4g}"
    return f"{shortened(name, 44)}: {result}"
