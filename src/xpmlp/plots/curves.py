"""Loss and accuracy by epoch."""

import statistics
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from .style import BLUE, GREY, ORANGE, house_style, mark_epochs, new_figure, to_png, wrapped, write_powers

# Where the highest loss is so many times the median, the run diverged, and on a linear axis the other epochs are all 0.
DIVERGING = 1000.0


@runtime_checkable
class Epoch(Protocol):
    """What is drawn of an epoch; a row of a history is one."""

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
        """Accuracy there."""


@house_style()
def draw_curves(history: Sequence[Epoch], title: str, kept: int | None = None) -> bytes:
    """Draw loss and accuracy by epoch, side by side; the loss alone where there were no test rows.

    Parameters
    ----------
    history
        At least one epoch.
    kept
        The epoch whose weights the model has, one of the history's; by default the last.
    """
    kept_row = find_kept(history, kept)
    is_last = kept_row is history[-1]
    accuracies = [100.0 * row.test_accuracy for row in history if row.test_accuracy is not None]
    width = 9.6 if accuracies else 5.6
    figure = new_figure(width, 4.0)
    figure.suptitle(wrapped(title, width))
    loss_axes, *others = figure.subplots(1, 2 if accuracies else 1, squeeze=False)[0]
    epochs = [row.epoch for row in history]
    marker = "o" if len(epochs) <= 30 else None
    train_losses = [row.train_loss for row in history]
    test_losses = [row.test_loss for row in history if row.test_loss is not None]
    loss_axes.plot(epochs, train_losses, color=ORANGE, marker=marker, ms=4, ls="--", label="train")
    if test_losses:
        loss_axes.plot(epochs, test_losses, color=BLUE, marker=marker, ms=4, label="test")
    highest = max(*train_losses, *test_losses)
    if highest > DIVERGING * statistics.median([*train_losses, *test_losses]) > 0.0:
        loss_axes.set(ylabel="loss", yscale="log")
        write_powers(loss_axes.yaxis, most=8)
    else:
        loss_axes.set(ylabel="loss", ylim=(0, 1.05 * highest or 1.0))
    loss_axes.legend(frameon=False)
    for accuracy_axes in others:
        accuracy_axes.plot(epochs, accuracies, color=BLUE, marker=marker, ms=4)
        reached = accuracies[-1] if kept_row.test_accuracy is None else 100.0 * kept_row.test_accuracy
        accuracy_axes.axhline(reached, color=GREY, lw=0.8, ls=":")
        when = "at the end" if is_last else f"after epoch {kept_row.epoch}, which was kept"
        accuracy_axes.set_title(f"{reached:.2f} % {when}", loc="right", fontsize="medium", color=GREY)
        low, high = accuracy_axes.get_ylim()
        # No axis goes beyond what an accuracy can be, but for half a marker.
        low, high = max(low, -1.0), min(high, 100.0 + 0.02 * (100.0 - low))
        accuracy_axes.set(ylabel="test accuracy (%)", ylim=(low, high))
    for axes in (loss_axes, *others):
        if not is_last:
            axes.axvline(kept_row.epoch, color=GREY, lw=0.8, ls=":")
        mark_epochs(axes, epochs)
    return to_png(figure)


def find_kept(history: Sequence[Epoch], kept: int | None) -> Epoch:
    """Return the epoch of that number; the last one where there is none."""
    return next((row for row in history if row.epoch == kept), history[-1])
