"""The curves of several runs in one picture."""

import itertools
from collections.abc import Mapping, Sequence

from .curves import Epoch, find_kept
from .style import SEVERAL, house_style, mark_epochs, new_figure, shortened, to_png, wrapped

STYLES = ("-", "--", ":")  # as colors begin again


@house_style()
def draw_comparison(
    runs: Mapping[str, Sequence[Epoch]], title: str, kept: Mapping[str, int | None] | None = None
) -> bytes:
    """Draw test loss and test accuracy of several runs by epoch; of a run without test rows the training loss.

    Parameters
    ----------
    runs
        The history of each run, of at least one epoch, by the run's name.
    kept
        The epoch whose weights a run's model has, by the run's name; the last where nothing is said.
    """
    rows = [row for history in runs.values() for row in history]
    has_accuracy = any(row.test_accuracy is not None for row in rows)
    is_tested = all(row.test_loss is not None for row in rows)
    width = 10.4 if has_accuracy else 6.2
    names = label_runs(runs, kept or {})
    columns = max(1, min(len(runs), int(width * 12 / (max(map(len, names.values())) + 8))))
    lines = -(-len(runs) // columns)
    figure = new_figure(width, 4.1 + 0.22 * lines)
    figure.suptitle(wrapped(title, width))
    loss_axes, *others = figure.subplots(1, 2 if has_accuracy else 1, squeeze=False)[0]
    epochs = [row.epoch for row in rows]
    marker = "o" if max(epochs) <= 30 else None
    looks = itertools.cycle(itertools.product(STYLES, SEVERAL))
    highest = 0.0
    for (name, history), (style, color) in zip(runs.items(), looks, strict=False):
        losses = [row.train_loss if row.test_loss is None else row.test_loss for row in history]
        highest = max(highest, *losses)
        steps = [row.epoch for row in history]
        loss_axes.plot(steps, losses, color=color, ls=style, marker=marker, ms=3.5, label=names[name])
        accuracies = [(row.epoch, 100.0 * row.test_accuracy) for row in history if row.test_accuracy is not None]
        if accuracies:
            others[0].plot(*zip(*accuracies, strict=True), color=color, ls=style, marker=marker, ms=3.5)
    loss_axes.set(
        ylabel="test loss" if is_tested else "loss (training, where no test)", ylim=(0, 1.05 * highest or 1.0)
    )
    for axes in others:
        low, high = axes.get_ylim()
        low, high = max(low, -1.0), min(high, 100.0 + 0.02 * (100.0 - low))
        axes.set(ylabel="test accuracy (%)", ylim=(low, high))
    for axes in (loss_axes, *others):
        mark_epochs(axes, epochs)
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize="medium")
    return to_png(figure)


def label_runs(runs: Mapping[str, Sequence[Epoch]], kept: Mapping[str, int | None]) -> dict[str, str]:
    """Return the name of each run with what it came to, both short enough for a legend."""
    labels = {}
    for name, history in runs.items():
        row = find_kept(history, kept.get(name))
        if row.test_accuracy is not None:
            end = f"{100.0 * row.test_accuracy:.2f} %"
        else:
            end = f"{row.train_loss if row.test_loss is None else row.test_loss:.4g}"
        labels[name] = f"{shortened(name, 44)}: {end}"
    return labels
