from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xpmlp import plots
from xpmlp.training import EpochRow

CheckMargins = Callable[[bytes], np.ndarray]
CheckTexts = Callable[[Any], None]


def history(epochs: int, best: float = 0.97) -> list[EpochRow]:
    return [
        EpochRow(epoch, 2.0 / epoch, 1.5 / epoch, best - 0.5 / epoch, 0.1, 1.0, 1.0) for epoch in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_every_run_is_a_curve_with_its_name_and_its_end(
    drawn: list[Any], check_margins: CheckMargins, check_texts_apart: CheckTexts, count: int
) -> None:
    runs = {f"run {index}": history(3 + index, 0.99 - index / 100) for index in range(count)}
    check_margins(plots.draw_comparison(runs, f"{count} runs"))
    (figure,) = drawn
    check_texts_apart(figure)
    losses, accuracies = figure.axes
    for lines, name in ((losses.lines, "test_loss"), (accuracies.lines, "test_accuracy")):
        assert len(lines) == count
        scale = 100.0 if name == "test_accuracy" else 1.0
        for line, rows in zip(lines, runs.values(), strict=True):
            expected = [(row.epoch, scale * getattr(row, name)) for row in rows]
            np.testing.assert_allclose(line.get_xydata(), expected)
    # No two curves look the same.
    assert len({(line.get_color(), line.get_linestyle()) for line in losses.lines}) == count
    (legend,) = figure.legends
    ends = [f"{name}: {100 * rows[-1].test_accuracy:.2f} %" for name, rows in runs.items() if rows[-1].test_accuracy]
    assert [text.get_text() for text in legend.get_texts()] == ends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert all(box.y1 <= axes.get_window_extent().y0 for axes in figure.axes)


def test_a_run_is_labelled_by_the_epoch_whose_weights_were_kept(drawn: list[Any]) -> None:
    plots.draw_comparison({"a": history(4), "b": history(4)}, "two runs", {"a": 2, "b": None})
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["a: 72.00 %", "b: 84.50 %"]


def test_long_names_stay_in_the_picture(drawn: list[Any], check_margins: CheckMargins) -> None:
    names = [f"a run with a name that goes on and on and does not end before {index}" for index in range(5)]
    check_margins(plots.draw_comparison({name: history(5) for name in names}, "long names"))
    box = drawn[0].legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= drawn[0].bbox.x1


def test_runs_without_accuracy_or_test_rows_show_their_losses(drawn: list[Any], check_margins: CheckMargins) -> None:
    regression = [replace(row, test_accuracy=None) for row in history(4)]
    untested = [replace(row, test_loss=None) for row in regression]
    check_margins(plots.draw_comparison({"a": regression, "b": untested}, "regression"))
    (axes,) = drawn[0].axes
    assert axes.get_ylabel() == "loss (training, where no test)"
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [row.train_loss for row in untested])


def test_a_run_of_one_epoch_is_a_point(drawn: list[Any], check_margins: CheckMargins) -> None:
    check_margins(plots.draw_comparison({"a": history(1), "b": history(40)}, "one epoch"))
    drawn.clear()
    check_margins(plots.draw_comparison({"a": history(1)}, "one epoch"))
    assert drawn[0].axes[0].lines[0].get_marker() == "o"
