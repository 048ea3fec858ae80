from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xpmlp import plots
from xpmlp.training import EpochRow

TITLE = "digits: 96.94 % of 360 test rows right"


def history(epochs: int, *, scale: float = 1.0, best: float = 0.97, test: bool = True) -> list[EpochRow]:
    rows = []
    for epoch, part in enumerate(np.exp(-np.arange(epochs) / 5).tolist(), start=1):
        loss, accuracy = (scale * (0.1 + 1.5 * part), best - 0.4 * part) if test else (None, None)
        rows.append(EpochRow(epoch, scale * (0.05 + 2 * part), loss, accuracy, 0.1, 1.0, 1.0))
    return rows


def assert_shows(line: Any, rows: list[EpochRow], name: str, scale: float = 1.0) -> None:
    """Check that a line shows one number of every epoch."""
    np.testing.assert_allclose(line.get_xydata(), [(row.epoch, scale * getattr(row, name)) for row in rows])


@pytest.mark.parametrize("epochs", [1, 50])
def test_curves_show_every_epoch(drawn: list[Any], epochs: int) -> None:
    rows = history(epochs)
    plots.draw_curves(rows, TITLE)
    loss_axes, accuracy_axes = drawn[0].axes
    assert_shows(loss_axes.lines[0], rows, "train_loss")
    assert_shows(loss_axes.lines[1], rows, "test_loss")
    assert_shows(accuracy_axes.lines[0], rows, "test_accuracy", 100.0)
    # Everything drawn lies within the axes, and the ticks are whole epochs.
    for axes in drawn[0].axes:
        low, high = axes.get_ylim()
        assert all(low <= y <= high for line in axes.lines for y in np.atleast_1d(line.get_ydata()))
        left, right = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
        assert ticks
        assert all(tick == round(tick) for tick in ticks)
    assert [text.get_text() for text in loss_axes.get_legend().get_texts()] == ["train", "test"]
    assert accuracy_axes.get_title(loc="right") == f"{100 * (rows[-1].test_accuracy or 0):.2f} % after the last epoch"


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 1e24])
def test_losses_of_any_size_are_drawn_and_alone_without_test_rows(drawn: list[Any], scale: float) -> None:
    plots.draw_curves(history(5, scale=scale), TITLE)
    plots.draw_curves(history(5, scale=scale, test=False), TITLE)
    (axes,) = drawn[1].axes
    assert (len(drawn[0].axes), len(axes.lines), axes.get_ylabel()) == (2, 1, "loss")


@pytest.mark.parametrize("factor", [1e3, 1e8])
def test_the_epochs_before_a_run_diverged_can_be_told_apart(drawn: list[Any], factor: float) -> None:
    losses = [factor**power for power in range(5)]
    plots.draw_curves([EpochRow(epoch, loss, loss, 0.1, 0.1, 1.0, 1.0) for epoch, loss in enumerate(losses, 1)], TITLE)
    axes = drawn[0].axes[0]
    low, high = axes.get_ylim()
    assert low < losses[0] < losses[-1] < high
    assert np.all(np.diff(axes.transData.transform([(1, loss) for loss in losses])[:, 1]) > 20)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) > 2
    assert not any("$" in label for label in labels)


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_an_accuracy_axis_ends_where_accuracies_do(drawn: list[Any], accuracy: float) -> None:
    plots.draw_curves([EpochRow(epoch, 0.5, 0.4, accuracy, 0.1, 1.0, 1.0) for epoch in (1, 2, 3)], TITLE)
    low, high = drawn[0].axes[1].get_ylim()
    assert -2.0 <= low <= 100.0 * accuracy <= high <= 102.0


def test_validation_rows_are_named_and_old_histories_say_what_their_loss_is(drawn: list[Any]) -> None:
    rows = [replace(row, validation_loss=0.5, validation_accuracy=0.75, test_loss=None) for row in history(3)]
    plots.draw_curves(rows, TITLE, loss="loss: half the squared error")
    loss_axes, accuracy_axes = drawn[0].axes
    assert [text.get_text() for text in loss_axes.get_legend().get_texts()] == ["train", "validation"]
    assert accuracy_axes.get_ylabel() == "validation accuracy (%)"
    assert loss_axes.get_ylabel() == "loss: half the squared error"
    assert_shows(accuracy_axes.lines[0], rows, "validation_accuracy", 100.0)
    old = [replace(row, train_loss=None, objective=row.train_loss) for row in history(3)]
    plots.draw_curves(old, TITLE)
    labels = [text.get_text() for text in drawn[1].axes[0].get_legend().get_texts()]
    assert labels == ["test", "train, while learning, with penalty"]
    assert_shows(drawn[1].axes[0].lines[1], old, "objective")


def test_an_earlier_epoch_whose_weights_were_kept_is_marked(drawn: list[Any]) -> None:
    for kept in (2, 5):
        plots.draw_curves(history(5), TITLE, kept)
    loss_axes, accuracy_axes = drawn[0].axes
    assert accuracy_axes.get_title(loc="right") == "64.25 % after epoch 2 (kept)"
    _, level, upright = accuracy_axes.lines
    np.testing.assert_allclose(level.get_ydata(), 100.0 * (history(5)[1].test_accuracy or 0.0))
    np.testing.assert_array_equal(upright.get_xdata(), [2, 2])
    np.testing.assert_array_equal(loss_axes.lines[-1].get_xdata(), [2, 2])
    assert len(drawn[1].axes[0].lines) == 2  # the last epoch needs no mark


# Comparison


@pytest.mark.parametrize(
    ("count", "name"), [(1, "run"), (20, "run"), (20, "a run with a name that goes on and on and does not end before")]
)
def test_every_run_is_a_curve_with_its_name_and_its_result(drawn: list[Any], count: int, name: str) -> None:
    runs = {f"{name} {index}": history(3 + index, best=0.99 - index / 100) for index in range(count)}
    plots.draw_comparison(runs, f"{count} runs")
    losses, accuracies = drawn[0].axes
    for loss, accuracy, rows in zip(losses.lines, accuracies.lines, runs.values(), strict=True):
        assert_shows(loss, rows, "test_loss")
        assert_shows(accuracy, rows, "test_accuracy", 100.0)
    # No two curves look the same.
    assert len({(line.get_color(), line.get_linestyle()) for line in losses.lines}) == count
    (legend,) = drawn[0].legends
    results = [
        f"{plots.shortened(name, 44)}: {100 * (rows[-1].test_accuracy or 0):.2f} %" for name, rows in runs.items()
    ]
    assert [text.get_text() for text in legend.get_texts()] == results
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= drawn[0].bbox.x1
    assert all(box.y1 <= axes.get_window_extent().y0 for axes in drawn[0].axes)
    plots.draw_comparison({"a": history(4), "b": history(4)}, "two runs", {"a": 2, "b": None})
    kept = [text.get_text() for text in drawn[1].legends[0].get_texts()]
    assert kept == ["a: 64.25 %", "b: 75.05 %"]  # a's is that of the epoch whose weights were kept


@pytest.mark.parametrize(("rmse", "written"), [(2e5, "400,000"), (3e-6, "6e−06")])
def test_runs_of_squared_errors_are_compared_by_rmse_in_full_numbers(
    drawn: list[Any], rmse: float, written: str
) -> None:
    rows = [replace(row, test_accuracy=None, train_rmse=rmse, test_rmse=2 * rmse) for row in history(4, scale=1e10)]
    plots.draw_comparison({"a": rows, "b": rows}, "regression")
    (axes,) = drawn[0].axes
    assert axes.get_ylabel() == "test RMSE"
    assert_shows(axes.lines[0], rows, "test_rmse")
    assert axes.yaxis.get_offset_text().get_text() == ""
    assert drawn[0].legends[0].get_texts()[0].get_text() == f"a: {written}"


def test_runs_without_accuracy_or_test_rows_show_their_losses(drawn: list[Any]) -> None:
    regression = [replace(row, test_accuracy=None) for row in history(4)]
    plots.draw_comparison({"a": regression, "b": history(1, test=False)}, "regression")
    (axes,) = drawn[0].axes
    assert axes.get_ylabel() == "test loss, or training loss"
    assert_shows(axes.lines[0], regression, "test_loss")
    assert_shows(axes.lines[1], history(1), "train_loss")
    assert axes.lines[1].get_marker() == "o"  # a line of one epoch is invisible
