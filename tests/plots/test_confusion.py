import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpmlp import plots

TITLE = "digits: 96.94 % of 360 test rows right"
CheckMargins = Callable[[bytes], np.ndarray]
CheckTexts = Callable[[Any], None]


def confusion(classes: int, right: int = 1000) -> np.ndarray:
    counts = np.random.default_rng(0).integers(0, 5, (classes, classes)).astype(np.int64)
    counts[np.arange(classes), np.arange(classes)] += right
    return counts


@pytest.mark.parametrize("classes", [2, 10, 62])
def test_a_confusion_matrix_names_every_class_and_counts_where_there_is_room(
    drawn: list[Any], classes: int, check_margins: CheckMargins
) -> None:
    counts = confusion(classes)
    check_margins(plots.draw_confusion(counts, list(range(classes)), TITLE))
    figure = drawn[0]
    axes = figure.axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "taken for")
    for axis in (axes.xaxis, axes.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == [str(label) for label in range(classes)]
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        along = [(box.x0, box.x1) for box in boxes] if axis is axes.xaxis else [(-box.y1, -box.y0) for box in boxes]
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(along))
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}
    expected = {tuple(place): str(counts[tuple(place)]) for place in np.argwhere(counts > 0).tolist()}
    assert written == (expected if classes <= plots.COUNTS_SHOWN_UP_TO else {})


@pytest.mark.parametrize(("classes", "right"), [(2, 100_000_000), (10, 100_000), (30, 100_000)])
def test_counts_fit_into_their_cells(drawn: list[Any], classes: int, right: int) -> None:
    plots.draw_confusion(confusion(classes, right), list(range(classes)), TITLE)
    axes = drawn[0].axes[0]
    cell = axes.get_window_extent().width / classes
    assert all(text.get_window_extent().width < cell for text in axes.texts)


@pytest.mark.parametrize("classes", [2, 10])
def test_long_names_are_shortened_and_leave_room_for_the_matrix(
    drawn: list[Any], classes: int, check_margins: CheckMargins, check_texts_apart: CheckTexts
) -> None:
    names = [f"{index} is a very long class name that goes on" for index in range(classes)]
    check_margins(plots.draw_confusion(confusion(classes), names, TITLE))
    figure = drawn[0]
    check_texts_apart(figure)
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert all(len(label) <= 24 and label.endswith("…") for label in labels)
    cell = axes.get_window_extent().width / classes
    assert all(text.get_window_extent().width < cell for text in axes.texts)


def test_a_class_without_rows_is_an_empty_row(drawn: list[Any], check_margins: CheckMargins) -> None:
    counts = confusion(5)
    counts[2] = 0
    check_margins(plots.draw_confusion(counts, list("abcde"), TITLE))
    axes = drawn[0].axes[0]
    shares = np.asarray(axes.images[0].get_array())
    assert (shares[2] == 0.0).all()
    np.testing.assert_allclose(shares.sum(axis=1), [1, 1, 0, 1, 1])
    assert not any(round(text.get_position()[1]) == 2 for text in axes.texts)


def test_counts_are_readable_on_light_and_on_dark(drawn: list[Any]) -> None:
    plots.draw_confusion(np.array([[90, 10], [60, 40]]), [0, 1], TITLE)
    colors = {text.get_text(): text.get_color() for text in drawn[0].axes[0].texts}
    assert colors == {"90": "white", "10": "black", "60": "white", "40": "white"}
