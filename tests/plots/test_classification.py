import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from xpmlp import plots
from xpmlp.plots.classification import COUNTS_SHOWN_UP_TO, wilson

TITLE = "digits: 96.94 % of 360 test rows right"


def draw(drawn: list[Any], names: list[Any], right: int = 1000) -> tuple[Any, np.ndarray]:
    """The axes of a confusion matrix, in which every number fits into its cell, and the numbers."""
    counts = np.random.default_rng(0).integers(0, 5, (len(names), len(names))).astype(np.int64)
    counts[np.arange(len(names)), np.arange(len(names))] += right
    plots.draw_confusion(counts, names, TITLE)
    axes, bar = drawn[-1].axes
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")
    assert bar.get_ylabel() == "share of true class"
    cell = axes.get_window_extent().width / len(names)
    assert all(text.get_window_extent().width < cell for text in axes.texts)
    return axes, counts


@pytest.mark.parametrize("classes", [2, 62])
def test_a_confusion_matrix_names_every_class_and_counts_where_there_is_room(drawn: list[Any], classes: int) -> None:
    axes, counts = draw(drawn, list(range(classes)))
    for axis in (axes.xaxis, axes.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == [str(label) for label in range(classes)]
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        along = [(box.x0, box.x1) for box in boxes] if axis is axes.xaxis else [(-box.y1, -box.y0) for box in boxes]
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(along))
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}
    expected = {tuple(place): str(counts[tuple(place)]) for place in np.argwhere(counts > 0).tolist()}
    assert written == (expected if classes <= COUNTS_SHOWN_UP_TO else {})


@pytest.mark.parametrize(("classes", "right"), [(2, 100_000_000), (30, 100_000)])
def test_large_counts_fit_beside_long_names_which_are_shortened(drawn: list[Any], classes: int, right: int) -> None:
    axes, _ = draw(drawn, [f"{index} is a very long class name that goes on" for index in range(classes)], right)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert all(len(label) <= 24 and label.endswith("…") for label in labels)


def test_cells_are_shares_of_their_true_class_with_readable_counts(drawn: list[Any]) -> None:
    plots.draw_confusion(np.array([[90, 10, 0], [60, 40, 0], [0, 0, 0]]), [0, 1, 2], TITLE)
    axes = drawn[0].axes[0]
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares, [[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.0, 0.0, 0.0]])
    colors = {text.get_text(): text.get_color() for text in axes.texts}
    assert colors == {"90": "white", "10": "black", "60": "white", "40": "white"}


@pytest.mark.parametrize("rows", [1, 3, 30_000])
def test_calibration_is_scikit_learns_and_rows_are_counted(drawn: list[Any], rows: int) -> None:
    rng = np.random.default_rng(0)
    confidence = rng.beta(4.0, 1.0, rows)
    right = rng.random(rows) < confidence**2
    confidence[-1], right[-1] = 0.0, True
    confidence[0], right[0] = 1.0, False
    plots.draw_calibration(confidence, right, TITLE)
    axes, count_axes = drawn[0].axes
    assert (axes.get_ylabel(), count_axes.get_xlabel()) == ("fraction correct", "predicted probability")
    fraction, predicted = calibration_curve(right, confidence, n_bins=10)
    np.testing.assert_allclose(axes.lines[1].get_xydata(), np.array([predicted, fraction]).T)
    counts = np.histogram(confidence, bins=10, range=(0.0, 1.0))[0]
    assert [text.get_text() for text in count_axes.texts] == [f"{count:,}" for count in counts if count]
    error = np.sum(counts[counts > 0] / rows * abs(predicted - fraction))
    assert axes.get_title(loc="right") == f"expected calibration error {100 * error:.2f} %"
    # Points can be anywhere in the axes, but not in the legend.
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


@pytest.mark.parametrize(("hits", "rows"), [(0, 5), (5, 5), (3, 10), (480, 500)])
def test_the_interval_is_wilsons(hits: int, rows: int) -> None:
    expected = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(hits / rows, rows), (expected.low, expected.high), atol=1e-4)
