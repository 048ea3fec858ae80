from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from xpmlp import plots
from xpmlp.plots.style import GREY, ORANGE

TITLE = "digits: 96.94 % of 360 test rows right"
CheckMargins = Callable[[bytes], np.ndarray]
CheckTexts = Callable[[Any], None]
Pixels = Callable[[bytes], np.ndarray]


def gallery(
    rows: int,
    mistakes: int,
    *,
    shape: tuple[int, int] = (28, 28),
    classes: Sequence[int | str] = tuple(range(10)),
    title: str = TITLE,
) -> bytes:
    """A gallery of noise, the last few of which are taken for the next class, the last one most surely."""
    rng = np.random.default_rng(0)
    truth = np.arange(rows) % len(classes)
    taken = np.where(np.arange(rows) >= rows - mistakes, (truth + 1) % len(classes), truth)
    names = np.asarray(classes)
    return plots.draw_gallery(
        rng.random((rows, *shape)).astype(np.float32),
        names[truth],
        names[taken],
        np.linspace(0.5, 0.999, rows).astype(np.float32),
        title,
    )


def texts(figure: Any) -> list[Any]:
    (axes,) = figure.axes
    return list(axes.texts)


def headings(figure: Any) -> list[str]:
    return [text.get_text() for text in texts(figure) if text.get_gid() == "heading"]


def titles(figure: Any) -> list[list[str]]:
    """What is written above each image, by section."""
    sections: list[list[str]] = []
    for text in texts(figure):
        if text.get_gid() == "heading":
            sections.append([])
        elif text.get_gid() == "taken for":
            sections[-1].append(text.get_text())
    return sections


def test_a_gallery_without_mistakes_has_one_part(drawn: list[Any], check_margins: CheckMargins) -> None:
    check_margins(gallery(100, 0))
    assert headings(drawn[0]) == ["The first 24 test images: what each was taken for, and how surely"]
    assert titles(drawn[0]) == [[str(index % 10) for index in range(24)]]


def test_a_gallery_shows_the_surest_mistakes_first_and_says_what_they_are(
    drawn: list[Any], check_margins: CheckMargins, check_texts_apart: CheckTexts
) -> None:
    check_margins(gallery(100, 40))
    figure = drawn[0]
    check_texts_apart(figure)
    assert headings(figure)[1] == "The 16 surest of all 40 mistakes in 100 test images"
    first, worst = titles(figure)
    assert len(first) == 24
    # Row 99 shows a 9 taken for a 0, row 98 an 8 taken for a 9, and so on.
    assert worst == [f"{(index + 1) % 10}, is {index % 10}" for index in range(99, 83, -1)]
    # They alone stand out, by a frame and by their text.
    frames = [to_hex(frame.get_edgecolor()).upper() for frame in figure.axes[0].patches]
    written = [text.get_color() for text in texts(figure) if text.get_gid() == "taken for"]
    assert frames == [GREY] * 24 + [ORANGE] * 16
    assert written == ["black"] * 24 + [ORANGE] * 16


@pytest.mark.parametrize(
    ("rows", "mistakes", "expected"),
    [
        (5, 2, ["The first 5 test images: what each was taken for, and how surely", "All 2 mistakes in 5 test images"]),
        (
            9,
            1,
            ["The first 9 test images: what each was taken for, and how surely", "The only mistake in 9 test images"],
        ),
        (1, 0, ["The first test image: what each was taken for, and how surely"]),
    ],
)
def test_a_gallery_of_few_images_leaves_places_empty(
    drawn: list[Any], rows: int, mistakes: int, expected: list[str], check_margins: CheckMargins
) -> None:
    check_margins(gallery(rows, mistakes))
    assert headings(drawn[0]) == expected
    shown = titles(drawn[0])
    assert len(shown[0]) == rows
    assert [len(part) for part in shown[1:]] == ([mistakes] if mistakes else [])


@pytest.mark.parametrize(
    "classes",
    [
        ("T-shirt/top", "Ankle boot"),
        ("a name that goes on and on and on", "another that is no shorter than it"),
        ("cat", "dog"),
    ],
)
def test_names_of_classes_do_not_run_into_each_other(
    drawn: list[Any], classes: tuple[str, ...], check_margins: CheckMargins, check_texts_apart: CheckTexts
) -> None:
    check_margins(gallery(60, 20, classes=classes))
    check_texts_apart(drawn[0])
    for _, worst in (titles(drawn[0]),):
        assert all(" is " in title.replace("\n", " ") for title in worst)


@pytest.mark.parametrize("shape", [(16, 40), (40, 12), (1, 64)])
def test_images_of_any_proportions_are_shown_undistorted(
    drawn: list[Any], shape: tuple[int, int], check_margins: CheckMargins, check_texts_apart: CheckTexts
) -> None:
    check_margins(gallery(40, 5, shape=shape))
    figure = drawn[0]
    check_texts_apart(figure)
    assert len(figure.axes[0].images) == 24 + 5
    for image in figure.axes[0].images:
        assert image.get_array().shape == shape
        box = image.get_window_extent()
        assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=0.05)


def test_rows_of_wide_images_do_not_leave_the_page_empty(pixels: Pixels) -> None:
    wide, square = (pixels(gallery(24, 0, shape=shape)) for shape in ((10, 40), (28, 28)))
    assert wide.shape[0] < 0.6 * square.shape[0]


def test_a_gallery_takes_labels_of_any_kind(drawn: list[Any], check_margins: CheckMargins) -> None:
    """Classes such as 1 and "one" together are an array of Python objects."""
    labels = np.array([1, "one", 1, "one"], dtype=object)
    images = np.random.default_rng(0).random((4, 8, 8)).astype(np.float32)
    png = plots.draw_gallery(images, labels, labels[::-1].copy(), np.full(4, 0.5, np.float32), TITLE)
    check_margins(png)
    assert titles(drawn[0])[1] == ["one, is 1", "1, is one", "one, is 1", "1, is one"]
