from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from xpmlp import plots
from xpmlp.plots.calibration import wilson

CheckMargins = Callable[[bytes], np.ndarray]
CheckTexts = Callable[[Any], None]


@pytest.mark.parametrize("rows", [3, 400, 30_000])
def test_points_are_scikit_learns_and_counts_are_written(
    drawn: list[Any], check_margins: CheckMargins, check_texts_apart: CheckTexts, rows: int
) -> None:
    rng = np.random.default_rng(0)
    confidence = rng.beta(4.0, 1.0, rows)
    right = rng.random(rows) < confidence**2
    check_margins(plots.draw_calibration(confidence, right, "digits: 96.94 % of 360 test rows right"))
    (figure,) = drawn
    check_texts_apart(figure)
    axes, count_axes = figure.axes
    part, said = calibration_curve(right, confidence, n_bins=10)
    np.testing.assert_allclose(axes.lines[1].get_xydata(), np.array([said, part]).T)
    counts = np.histogram(confidence, bins=10, range=(0.0, 1.0))[0]
    assert [text.get_text() for text in count_axes.texts] == [f"{count:,}" for count in counts if count]
    weights = counts[counts > 0] / rows
    assert axes.get_title(loc="right") == f"expected calibration error {100 * np.sum(weights * abs(said - part)):.2f} %"


@pytest.mark.parametrize(("confidence", "right"), [(1.0, True), (1.0, False), (0.05, False), (0.0, True)])
def test_one_row_is_drawn(check_margins: CheckMargins, confidence: float, right: bool) -> None:
    check_margins(plots.draw_calibration(np.array([confidence]), np.array([right]), "one row"))


@pytest.mark.parametrize(("hits", "rows"), [(0, 5), (5, 5), (3, 10), (480, 500)])
def test_the_interval_is_wilsons(hits: int, rows: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(hits / rows, rows), (expected.low, expected.high), atol=1e-4)


def test_the_legend_covers_no_point(drawn: list[Any]) -> None:
    """Of a network that is far too modest, all points lie where the legend usually stands."""
    confidence = np.linspace(0.05, 0.95, 1000)
    plots.draw_calibration(confidence, np.random.default_rng(0).random(1000) < confidence**0.1, "modest")
    axes = drawn[0].axes[0]
    box = axes.get_legend().get_window_extent()
    points = axes.transData.transform(axes.lines[1].get_xydata())
    assert not any(box.contains(x, y) for x, y in points)
