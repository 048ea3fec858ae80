import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from xpmlp import plots
from xpmlp.plots.inputs import draw_inputs
from xpmlp.plots.style import GREY, ORANGE

TITLE = "digits: 96.94 % of 360 test rows right"


def gallery(
    rows: int, mistakes: int, *, shape: tuple[int, int] = (28, 28), classes: Sequence[int | str] = tuple(range(10))
) -> None:
    """Draw noise; the last few are predicted as the next class, the very last most confidently."""
    truth = np.arange(rows) % len(classes)
    predicted = np.where(np.arange(rows) >= rows - mistakes, (truth + 1) % len(classes), truth)
    names = np.array(classes, dtype=object)
    images = np.random.default_rng(0).random((rows, *shape)).astype(np.float32)
    plots.draw_gallery(images, names[truth], names[predicted], np.linspace(0.5, 0.999, rows), TITLE)


def texts(figure: Any, part: str) -> list[str]:
    (axes,) = figure.axes
    return [text.get_text() for text in axes.texts if text.get_gid() == part]


def shown_images(figure: Any, shape: tuple[int, int]) -> list[np.ndarray]:
    """The images of a figure, which must not be distorted."""
    for image in figure.axes[0].images:
        box = image.get_window_extent()
        assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=0.05)
    return [np.asarray(image.get_array())[:, :, 0] / 255 for image in figure.axes[0].images]


def test_a_gallery_shows_the_most_confident_mistakes_and_says_what_they_are(drawn: list[Any]) -> None:
    gallery(100, 40)
    figure = drawn[0]
    assert texts(figure, "heading") == [
        "The first 24 test images: prediction and confidence",
        "The 16 most confident of 40 mistakes in 100 test images",
    ]
    # Row 99 shows a 9 predicted as 0, row 98 an 8 predicted as 9, and so on.
    assert texts(figure, "predicted") == [
        *(str(index % 10) for index in range(24)),
        *(f"{(index + 1) % 10} (true: {index % 10})" for index in range(99, 83, -1)),
    ]
    # Only they stand out, by a frame and by their text.
    frames = [to_hex(frame.get_edgecolor()).upper() for frame in figure.axes[0].patches]
    colors = [text.get_color() for text in figure.axes[0].texts if text.get_gid() == "predicted"]
    assert frames == [GREY] * 24 + [ORANGE] * 16
    assert colors == ["black"] * 24 + [ORANGE] * 16


def test_a_gallery_of_few_images_or_mistakes_says_so_whatever_the_names(drawn: list[Any]) -> None:
    for rows, mistakes, headings in (
        (100, 0, ["The first 24 test images"]),
        (5, 2, ["The first 5 test images", "All 2 mistakes in 5 test images"]),
        (9, 1, ["The first 9 test images", "The only mistake in 9 test images"]),
        (1, 0, ["The first test image"]),
    ):
        gallery(rows, mistakes)
        headings[0] += ": prediction and confidence"
        assert texts(drawn[-1], "heading") == headings
        assert len(texts(drawn[-1], "predicted")) == min(rows, 24) + mistakes
    for classes in (("T-shirt/top", "a name that goes on and on and on"), ("cat", "dog"), (1, "one")):
        gallery(30, 20, classes=classes)  # mistakes among the first images, too
        assert len(texts(drawn[-1], "predicted")) == 24 + 16


def test_images_of_any_proportions_are_shown_undistorted_without_empty_space(drawn: list[Any]) -> None:
    for shape in ((40, 12), (1, 64), (10, 40), (28, 28)):
        gallery(40, 5, shape=shape)
        assert len(shown_images(drawn[-1], shape)) == 24 + 5
    wide, square = (figure.get_figheight() for figure in drawn[2:])
    assert wide < 0.6 * square


# Mistakes


@pytest.mark.parametrize("shape", [(10, 40), (40, 12)])
def test_the_worst_mistakes_come_first(drawn: list[Any], shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 47, 300)
    scores = np.exp(rng.standard_normal((300, 47)) + 2.0 * np.eye(47)[truth])
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    images = rng.random((300, *shape)).astype(np.float32)
    names = [f"class {index} with a long name" for index in range(47)]
    plots.draw_mistakes(images, truth, probabilities, names, TITLE)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != truth)
    worst = wrong[np.argsort(probabilities[wrong, truth[wrong]])][:12]
    assert f"The 12 worst of {len(wrong)} mistakes" in drawn[0].get_suptitle().replace("\n", " ")
    np.testing.assert_allclose(shown_images(drawn[0], shape), images[worst], atol=1 / 255)


def test_the_most_probable_classes_and_the_true_one_stand_beside_each_image(drawn: list[Any]) -> None:
    probabilities = np.array([[0.6, 0.25, 0.1499, 0.0001], [0.1, 0.2, 0.3, 0.4]])
    plots.draw_mistakes(np.zeros((2, 4, 4), np.float32), np.array([3, 2]), probabilities, list("abcd"), TITLE)
    written = texts(drawn[0], "probability")
    assert written[:3] == ["a   60.0 %", "b   25.0 %", "d   < 0.1 %"]
    assert written[3:] == ["d   40.0 %", "c   30.0 %", "b   20.0 %"]
    assert texts(drawn[0], "truth") == ["true: d", "true: c"]


def test_few_mistakes_are_all_shown_and_none_is_an_error(drawn: list[Any]) -> None:
    images, probabilities = np.zeros((10, 4, 4), np.float32), np.tile([0.7, 0.3], (10, 1))
    for mistakes, heading in ((1, "The only mistake: true"), (4, "All 4 mistakes: true")):
        plots.draw_mistakes(images, (np.arange(10) < mistakes).astype(np.int64), probabilities, (0, 1), TITLE)
        assert len(drawn[-1].axes[0].images) == mistakes
        assert heading in drawn[-1].get_suptitle()
    with pytest.raises(ValueError, match="no mistakes"):
        plots.draw_mistakes(images, np.zeros(10, np.int64), probabilities, (0, 1), TITLE)


def test_the_name_of_a_narrow_picture_is_whole() -> None:
    name, input_width = "a_name_that_is_longer.png", 168
    content = draw_inputs([name], lambda name: Image.new("L", (20, 20)), np.zeros((1, 8, 8), np.float32), np.array([1]))
    assert Image.open(io.BytesIO(content)).width >= 6 * len(name) + input_width  # of letters of six pixels
