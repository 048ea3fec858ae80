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


def test_curves_without_test_rows_are_the_training_loss_alone(drawn: list[Any]) -> None:
    plots.draw_curves(history(5, test=False), TITLE)
    (axes,) = drawn[0].axes
    assert len(axes.lines) == 1
    assert axes.get_ylabel() == "loss"


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e24])
def test_losses_of_any_size_are_drawn(scale: float) -> None:
    plots.draw_curves(history(5, scale=scale), TITLE)


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


@pytest.mark.parametrize("count", [1, 20])
def test_every_run_is_a_curve_with_its_name_and_its_result(drawn: list[Any], count: int) -> None:
    runs = {f"run {index}": history(3 + index, best=0.99 - index / 100) for index in range(count)}
    plots.draw_comparison(runs, f"{count} runs")
    losses, accuracies = drawn[0].axes
    for loss, accuracy, rows in zip(losses.lines, accuracies.lines, runs.values(), strict=True):
        assert_shows(loss, rows, "test_loss")
        assert_shows(accuracy, rows, "test_accuracy", 100.0)
    # No two curves look the same.
    assert len({(line.get_color(), line.get_linestyle()) for line in losses.lines}) == count
    (legend,) = drawn[0].legends
    results = [f"{name}: {100 * (rows[-1].test_accuracy or 0):.2f} %" for name, rows in runs.items()]
    assert [text.get_text() for text in legend.get_texts()] == results
    assert all(legend.get_window_extent().y1 <= axes.get_window_extent().y0 for axes in drawn[0].axes)


def test_a_run_is_labelled_by_the_epoch_whose_weights_were_kept(drawn: list[Any]) -> None:
    plots.draw_comparison({"a": history(4), "b": history(4)}, "two runs", {"a": 2, "b": None})
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["a: 64.25 %", "b: 75.05 %"]


@pytest.mark.parametrize("name", ["run", "a run with a name that goes on and on and does not end before"])
def test_the_legend_of_many_runs_stays_in_the_picture(drawn: list[Any], name: str) -> None:
    plots.draw_comparison({f"{name} {index}": history(5) for index in range(20)}, "names")
    box = drawn[0].legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= drawn[0].bbox.x1


@pytest.mark.parametrize("rmse", [2e5, 3e-6])
def test_runs_of_squared_errors_are_compared_by_rmse_in_full_numbers(drawn: list[Any], rmse: float) -> None:
    rows = [replace(row, test_accuracy=None, train_rmse=rmse, test_rmse=2 * rmse) for row in history(4, scale=1e10)]
    plots.draw_comparison({"a": rows, "b": rows}, "regression")
    (axes,) = drawn[0].axes
    assert axes.get_ylabel() == "test RMSE"
    assert_shows(axes.lines[0], rows, "test_rmse")
    assert axes.yaxis.get_offset_text().get_text() == ""
    assert drawn[0].legends[0].get_texts()[0].get_text() == f"a: {'400,000' if rmse > 1 else '6e−06'}"


def test_runs_without_accuracy_or_test_rows_show_their_losses(drawn: list[Any]) -> None:
    regression = [replace(row, test_accuracy=None) for row in history(4)]
    plots.draw_comparison({"a": regression, "b": history(1, test=False)}, "regression")
    (axes,) = drawn[0].axes
    assert axes.get_ylabel() == "test loss, or training loss"
    assert_shows(axes.lines[0], regression, "test_loss")
    assert_shows(axes.lines[1], history(1), "train_loss")
    assert axes.lines[1].get_marker() == "o"  # a line of one epoch is invisible
