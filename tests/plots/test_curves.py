from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpmlp import plots
from xpmlp.training import EpochRow

TITLE = "digits: 96.94 % of 360 test rows right"
CheckMargins = Callable[[bytes], np.ndarray]
CheckTexts = Callable[[Any], None]


def history(epochs: int, *, test: bool = True, scale: float = 1.0) -> list[EpochRow]:
    decay = np.exp(-np.arange(epochs) / 5)
    return [
        EpochRow(
            epoch=index + 1,
            train_loss=scale * float(0.05 + 2 * part),
            test_loss=scale * float(0.1 + 1.5 * part) if test else None,
            test_accuracy=float(0.97 - 0.4 * part) if test else None,
            learning_rate=0.1,
            seconds=1.0,
            samples_per_second=1.0,
        )
        for index, part in enumerate(decay)
    ]


@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_curves_show_every_epoch(
    drawn: list[Any], epochs: int, check_margins: CheckMargins, check_texts_apart: CheckTexts
) -> None:
    rows = history(epochs)
    check_margins(plots.draw_curves(rows, TITLE))
    (figure,) = drawn
    check_texts_apart(figure)
    loss_axes, accuracy_axes = figure.axes
    train, test = loss_axes.lines
    np.testing.assert_allclose(train.get_xydata(), [(row.epoch, row.train_loss) for row in rows])
    np.testing.assert_allclose(test.get_xydata(), [(row.epoch, row.test_loss or 0.0) for row in rows])
    np.testing.assert_allclose(
        accuracy_axes.lines[0].get_xydata(), [(row.epoch, 100.0 * (row.test_accuracy or 0.0)) for row in rows]
    )
    # All that is drawn lies within the axes, and the marks on the axis are whole epochs.
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert all(low <= y <= high for line in axes.lines for y in np.atleast_1d(line.get_ydata()))
        left, right = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
        assert ticks
        assert all(tick == round(tick) for tick in ticks)
    assert [text.get_text() for text in loss_axes.get_legend().get_texts()] == ["train", "test"]


def test_curves_without_test_rows_are_the_training_loss_alone(drawn: list[Any], check_margins: CheckMargins) -> None:
    check_margins(plots.draw_curves(history(5, test=False), TITLE))
    (axes,) = drawn[0].axes
    assert len(axes.lines) == 1
    assert axes.get_ylabel() == "loss"


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e24])
def test_losses_of_any_size_are_drawn(
    drawn: list[Any], scale: float, check_margins: CheckMargins, check_texts_apart: CheckTexts
) -> None:
    check_margins(plots.draw_curves(history(5, scale=scale), TITLE))
    check_texts_apart(drawn[0])


@pytest.mark.parametrize("factor", [1e3, 1e8])
def test_the_epochs_before_a_run_diverged_can_be_told_apart(
    drawn: list[Any], factor: float, check_margins: CheckMargins, check_texts_apart: CheckTexts
) -> None:
    losses = [factor**power for power in range(5)]
    rows = [EpochRow(epoch, loss, loss, 0.1, 0.1, 1.0, 1.0) for epoch, loss in enumerate(losses, start=1)]
    check_margins(plots.draw_curves(rows, TITLE))
    check_texts_apart(drawn[0])
    axes = drawn[0].axes[0]
    low, high = axes.get_ylim()
    assert low < losses[0] < losses[-1] < high
    heights = axes.transData.transform([(1, loss) for loss in losses])[:, 1]
    assert np.all(np.diff(heights) > 20)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) > 2
    assert not any("$" in label for label in labels)


def test_an_accuracy_axis_ends_where_accuracies_do(drawn: list[Any]) -> None:
    for accuracy in (0.0, 1.0):
        plots.draw_curves([EpochRow(epoch, 0.5, 0.4, accuracy, 0.1, 1.0, 1.0) for epoch in (1, 2, 3)], TITLE)
        low, high = drawn.pop().axes[1].get_ylim()
        assert -2.0 <= low <= 100.0 * accuracy <= high <= 102.0


def test_the_last_accuracy_is_written_where_it_covers_no_curve(drawn: list[Any]) -> None:
    plots.draw_curves(history(2), TITLE)
    axes = drawn[0].axes[1]
    title = axes.get_title(loc="right")
    assert title == "64.25 % at the end"


def test_an_earlier_epoch_whose_weights_were_kept_is_marked(
    drawn: list[Any], check_margins: CheckMargins, check_texts_apart: CheckTexts
) -> None:
    check_margins(plots.draw_curves(history(5), TITLE, 2))
    check_texts_apart(drawn[0])
    loss_axes, accuracy_axes = drawn[0].axes
    assert accuracy_axes.get_title(loc="right") == "64.25 % after epoch 2, which was kept"
    _, level, upright = accuracy_axes.lines
    np.testing.assert_allclose(level.get_ydata(), 100.0 * (history(5)[1].test_accuracy or 0.0))
    np.testing.assert_array_equal(upright.get_xdata(), [2, 2])
    np.testing.assert_array_equal(loss_axes.lines[-1].get_xdata(), [2, 2])
    plots.draw_curves(history(5), TITLE, 5)
    assert len(drawn[1].axes[0].lines) == 2  # the last epoch needs no mark
