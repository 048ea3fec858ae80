"""Loss and accuracy by epoch, of one run and of several."""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import style

# If the highest loss exceeds the median by this factor, the run diverged, and on a linear axis all other losses look
# like 0.
DIVERGING = 1000.0
LINE_STYLES = ("-", "--", ":")  # as colors repeat
NARROW = (0.1, 1e3)  # other numbers need more room at an axis
MARKED_EPOCHS = 30  # of longer runs, only the line is drawn


@style.house_style()
def draw_curves(history: Sequence[Any], title: str, kept: int | None = None, loss: str = "loss") -> style.Picture:
    """Draw the losses and the held-out accuracy by epoch, side by side; the losses alone if there is no accuracy.

    If the history has them, RMSEs are drawn instead of losses.

    Parameters
    ----------
    history
        At least one row as of `xpmlp.training.EpochRow`.
    kept
        The epoch whose weights the model has; by default the last.
    loss
        The name of the loss and its unit.
    """
    kept_row = find_kept(history, kept)
    is_last = kept_row is history[-1]
    held_out = name_held_out(history)
    error = "loss" if history[0].train_rmse is None else "rmse"
    curves = {
        "train": (style.ORANGE, "--", points_of(history, f"train_{error}")),
        held_out: (style.BLUE, "-", points_of(history, f"held_out_{error}")),
    }
    if not curves["train"][2]:  # of a run of an earlier version
        curves["train, while learning, with penalty"] = (style.ORANGE, "--", points_of(history, "objective"))
    accuracies = points_of(history, "held_out_accuracy", 100.0)
    losses = [value for _, _, points in curves.values() for _, value in points]
    is_diverging = max(losses) > DIVERGING * statistics.median(losses) > 0.0
    figure = style.new_figure(9.6 if accuracies else 5.6, 4.0, title, layout="none")
    left = 0.75 if NARROW[0] <= max(losses) < NARROW[1] else 1.2
    grid = style.margins(figure, left=left, right=0.2, bottom=0.55, top=0.25, wspace=0.23)
    loss_axes, *others = figure.subplots(1, 2 if accuracies else 1, squeeze=False, gridspec_kw=grid)[0]
    marker = "o" if len(history) <= MARKED_EPOCHS else None
    for label, (color, line, points) in curves.items():
        if points:
            loss_axes.plot(*zip(*points, strict=True), color=color, marker=marker, ms=4, ls=line, label=label)
    loss_axes.set_ylabel(loss if error == "loss" else "RMSE, in the target's unit")
    if is_diverging:
        loss_axes.set_yscale("log")
    else:
        loss_axes.set_ylim(0, 1.05 * max(losses) or 1.0)
    style.write_numbers(loss_axes.yaxis, most=8)
    for axes in others:
        axes.plot(*zip(*accuracies, strict=True), color=style.BLUE, marker=marker, ms=4)
        reached = accuracies[-1][1] if kept_row.held_out_accuracy is None else 100.0 * kept_row.held_out_accuracy
        axes.axhline(reached, color=style.GREY, lw=0.8, ls=":")
        when = "after the last epoch" if is_last else f"after epoch {kept_row.epoch} (kept)"
        axes.set_title(f"{reached:.2f} % {when}", loc="right", fontsize="medium", color=style.GREY)
        limit_accuracy(axes, held_out)
    for axes in (loss_axes, *others):
        if not is_last:
            axes.axvline(kept_row.epoch, color=style.GREY, lw=1.0, ls=":", label=f"epoch {kept_row.epoch}, kept")
        style.mark_epochs(axes, [row.epoch for row in history])
    loss_axes.legend(frameon=False)
    return style.to_png(figure)


@style.house_style()
def draw_comparison(
    runs: Mapping[str, Sequence[Any]], title: str, kept: Mapping[str, int | None] | None = None
) -> style.Picture:
    """Draw held-out loss and accuracy of several runs by epoch; the training loss of a run without held-out rows.

    If all histories have them, RMSEs are drawn instead of losses.

    Under each run's name are its history, of at least one epoch, and the epoch whose weights its model has, by default
    the last.
    """
    rows = [row for history in runs.values() for row in history]
    has_accuracy = any(row.held_out_accuracy is not None for row in rows)
    held_out = " or ".join(sorted({name_held_out(history) for history in runs.values()}))
    is_tested = all(row.held_out_loss is not None for row in rows)
    width = 10.4 if has_accuracy else 6.2
    error = "loss" if any(row.train_rmse is None for row in rows) else "RMSE"
    names = {name: label_run(name, find_kept(history, (kept or {}).get(name)), error) for name, history in runs.items()}
    columns = max(1, min(len(runs), int(width * 12 / (max(map(len, names.values())) + 8))))
    figure = style.new_figure(width, 4.1 + 0.22 * -(-len(runs) // columns), title)
    loss_axes, *others = figure.subplots(1, 2 if has_accuracy else 1, squeeze=False)[0]
    epochs = [row.epoch for row in rows]
    marker = "o" if max(epochs) <= MARKED_EPOCHS else None
    looks = itertools.cycle(itertools.product(LINE_STYLES, style.SEVERAL))
    highest = 0.0
    for (name, history), (line, color) in zip(runs.items(), looks, strict=False):
        losses = [result_error(row, error) for row in history]
        highest = max(highest, *losses)
        look: dict[str, Any] = {"color": color, "ls": line, "marker": marker, "ms": 3.5}
        loss_axes.plot([row.epoch for row in history], losses, label=names[name], **look)
        if accuracies := points_of(history, "held_out_accuracy", 100.0):
            others[0].plot(*zip(*accuracies, strict=True), **look)
    label = f"{held_out} {error}" if is_tested else f"{held_out} {error}, or training {error}"
    loss_axes.set(ylabel=label, ylim=(0, 1.05 * highest or 1.0))
    style.write_numbers(loss_axes.yaxis, most=8)
    for axes in others:
        limit_accuracy(axes, held_out)
    for axes in (loss_axes, *others):
        style.mark_epochs(axes, epochs)
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize="medium")
    return style.to_png(figure)


def points_of(history: Sequence[Any], name: str, factor: float = 1.0) -> list[tuple[int, float]]:
    """Return the epochs that have a value of that name, and the values, times a factor."""
    return [(row.epoch, factor * getattr(row, name)) for row in history if getattr(row, name) is not None]


def name_held_out(history: Iterable[Any]) -> str:
    """Return which rows a history was evaluated on."""
    return "validation" if any(row.validation_loss is not None for row in history) else "test"


def limit_accuracy(axes: Any, held_out: str) -> None:
    """Label an axis of accuracies, and limit it to possible values, with room for half a marker."""
    low, high = axes.get_ylim()
    low, high = max(low, -1.0), min(high, 100.0 + 0.02 * (100.0 - low))
    axes.set(ylabel=f"{held_out} accuracy (%)", ylim=(low, high))


def find_kept(history: Sequence[Any], kept: int | None) -> Any:
    """Return the epoch of that number, or the last one."""
    return next((row for row in history if row.epoch == kept), history[-1])


def result_error(row: Any, error: str) -> float:
    """Return the most informative loss or RMSE of an epoch: of held-out rows, of training rows, or the objective."""
    losses = (row.held_out_loss, row.train_loss, row.objective)
    found = losses if error == "loss" else (row.held_out_rmse, row.train_rmse)
    return next((value for value in found if value is not None), math.nan)


def label_run(name: str, row: Any, error: str) -> str:
    """Return a run's name and result, short enough for a legend."""
    accuracy = row.held_out_accuracy
    value = result_error(row, error)
    result = style.number(value, 4 if abs(value) < 1e4 else 6) if accuracy is None else f"{100.0 * accuracy:.2f} %"
    return f"{style.shortened(name, 44)}: {result}"
