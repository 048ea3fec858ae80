from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpmlp import plots

TITLE = "digits: 96.94 % of 360 test rows right"
CheckMargins = Callable[[bytes], np.ndarray]
CheckTexts = Callable[[Any], None]


def case(rows: int, classes: int, shape: tuple[int, int] = (8, 8)) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, rows)
    scores = np.exp(rng.standard_normal((rows, classes)) + 2.0 * np.eye(classes)[truth])
    return rng.random((rows, *shape)).astype(np.float32), truth, scores / scores.sum(axis=1, keepdims=True)


def shown_images(figure: Any) -> list[Any]:
    (axes,) = figure.axes
    return list(axes.images)


def texts(figure: Any, part: str) -> list[str]:
    (axes,) = figure.axes
    return [text.get_text() for text in axes.texts if text.get_gid() == part]


@pytest.mark.parametrize("shape", [(8, 8), (10, 40), (40, 12)])
@pytest.mark.parametrize("names", [list(range(47)), [f"class {index} with a long name" for index in range(47)]])
def test_the_mistakes_that_cost_most_come_first(
    drawn: list[Any],
    check_margins: CheckMargins,
    check_texts_apart: CheckTexts,
    shape: tuple[int, int],
    names: list[Any],
) -> None:
    images, truth, probabilities = case(300, 47, shape)
    check_margins(plots.draw_mistakes(images, truth, probabilities, names, TITLE))
    (figure,) = drawn
    check_texts_apart(figure)
    of_truth = probabilities[np.arange(300), truth]
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != truth)
    worst = wrong[np.argsort(of_truth[wrong])][:12]
    assert f"The 12 worst of {len(wrong)} mistakes" in figure.get_suptitle()
    for image, index in zip(shown_images(figure), worst, strict=True):
        np.testing.assert_array_equal(image.get_array(), images[index])
        box = image.get_window_extent()
        assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=0.05)


def test_the_likeliest_classes_and_the_true_one_stand_beside_each_image(drawn: list[Any]) -> None:
    probabilities = np.array([[0.6, 0.25, 0.1499, 0.0001], [0.1, 0.2, 0.3, 0.4]])
    plots.draw_mistakes(np.zeros((2, 4, 4), np.float32), np.array([3, 2]), probabilities, list("abcd"), TITLE)
    written = texts(drawn[0], "probability")
    assert written[:3] == ["a   60.0 %", "b   25.0 %", "d   < 0.1 %"]
    assert written[3:] == ["d   40.0 %", "c   30.0 %", "b   20.0 %"]
    assert texts(drawn[0], "truth") == ["is d", "is c"]


@pytest.mark.parametrize("mistakes", [1, 2, 4])
def test_few_mistakes_are_all_shown(drawn: list[Any], check_margins: CheckMargins, mistakes: int) -> None:
    probabilities = np.tile([0.7, 0.3], (10, 1))
    truth = (np.arange(10) < mistakes).astype(np.int64)
    check_margins(plots.draw_mistakes(np.zeros((10, 4, 4), np.float32), truth, probabilities, (0, 1), TITLE))
    assert len(shown_images(drawn[0])) == mistakes
    expected = "The only mistake: what it is" if mistakes == 1 else f"All {mistakes} mistakes: what each is"
    assert expected in drawn[0].get_suptitle()


def test_without_mistakes_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no mistakes"):
        plots.draw_mistakes(np.zeros((1, 4, 4), np.float32), np.array([0]), np.array([[0.7, 0.3]]), (0, 1), TITLE)
