"""Drawn without warnings, which are errors here; that nothing is cut off or overlaps is measured in the pictures."""

import io
import itertools
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib.style
import numpy as np
import pytest
from PIL import Image

from xpmlp import plots
from xpmlp.errors import MissingDependencyError
from xpmlp.training import EpochRow

TITLE = "digits: 96.94 % of 360 test rows right"
LONG_TITLE = "emnist-a-very-long-data-set-name that-someone-thought-of: 96.94 % of 116,323 test rows right"


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        return np.asarray(picture.convert("RGB"))


def check_margins(png: bytes) -> np.ndarray:
    """Nothing that is drawn reaches the picture's border: nothing is cut off."""
    picture = pixels(png)
    for border in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (border == 255).all()
    assert picture.std() > 5.0
    return picture


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were drawn, to ask matplotlib what is in them."""
    figures: list[Any] = []
    to_png = plots.to_png

    def keep(figure: Any) -> bytes:
        figures.append(figure)
        return to_png(figure)

    monkeypatch.setattr(plots, "to_png", keep)
    return figures


def visible_texts(figure: Any) -> list[Any]:
    """All texts of a figure, save the labels of ticks beyond the end of an axis, which are not drawn."""
    texts = [part._suptitle for part in (figure, *figure.subfigs)]
    for axes in figure.axes:
        if not axes.axison:
            continue
        texts += [axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
            texts += [label for place, label in ticks if min(low, high) <= place <= max(low, high)]
    return [text for text in texts if text is not None and text.get_text()]


def check_texts_apart(figure: Any) -> None:
    """No two texts overlap, and none reaches out of the figure."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in visible_texts(figure)]
    assert boxes
    for index, (name, box) in enumerate(boxes):
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= figure.bbox.x1, name
        assert box.y1 <= figure.bbox.y1, name
        for other, other_box in boxes[index + 1 :]:
            shared_width = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            shared_height = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            assert shared_width <= 1 or shared_height <= 1, f"{name!r} overlaps {other!r}"


# Curves


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
def test_curves_show_every_epoch(drawn: list[Any], epochs: int) -> None:
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


def test_curves_without_test_rows_are_the_training_loss_alone(drawn: list[Any]) -> None:
    check_margins(plots.draw_curves(history(5, test=False), TITLE))
    (axes,) = drawn[0].axes
    assert len(axes.lines) == 1
    assert axes.get_ylabel() == "loss"


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e24])
def test_losses_of_any_size_are_drawn(drawn: list[Any], scale: float) -> None:
    check_margins(plots.draw_curves(history(5, scale=scale), TITLE))
    check_texts_apart(drawn[0])


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


# Gallery


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


def headings(figure: Any) -> list[str]:
    return [part.get_suptitle() for part in figure.subfigs]


def titles(figure: Any) -> list[list[str]]:
    return [[axes.get_title() for axes in part.axes if axes.axison] for part in figure.subfigs]


def test_a_gallery_without_mistakes_has_one_part(drawn: list[Any]) -> None:
    check_margins(gallery(100, 0))
    assert headings(drawn[0]) == ["The first 24 test images: what each was taken for, and how surely"]
    assert titles(drawn[0]) == [[str(index % 10) for index in range(24)]]


def test_a_gallery_shows_the_surest_mistakes_first_and_says_what_they_are(drawn: list[Any]) -> None:
    check_margins(gallery(100, 40))
    figure = drawn[0]
    check_texts_apart(figure)
    assert headings(figure)[1] == "The 16 surest of all 40 mistakes in 100 test images"
    first, worst = titles(figure)
    assert len(first) == 24
    # Row 99 shows a 9 taken for a 0, row 98 an 8 taken for a 9, and so on.
    assert worst == [f"{(index + 1) % 10}, is {index % 10}" for index in range(99, 83, -1)]


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
    drawn: list[Any], rows: int, mistakes: int, expected: list[str]
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
def test_names_of_classes_do_not_run_into_each_other(drawn: list[Any], classes: tuple[str, ...]) -> None:
    check_margins(gallery(60, 20, classes=classes))
    check_texts_apart(drawn[0])
    for _, worst in (titles(drawn[0]),):
        assert all(" is " in title.replace("\n", " ") for title in worst)


@pytest.mark.parametrize("shape", [(16, 40), (40, 12), (1, 64)])
def test_images_of_any_proportions_are_shown_undistorted(drawn: list[Any], shape: tuple[int, int]) -> None:
    check_margins(gallery(40, 5, shape=shape))
    figure = drawn[0]
    check_texts_apart(figure)
    for axes in figure.axes:
        if axes.axison:
            (image,) = axes.images
            assert image.get_array().shape == shape
            box = axes.get_window_extent()
            assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=0.05)


def test_rows_of_wide_images_do_not_leave_the_page_empty() -> None:
    wide, square = (pixels(gallery(24, 0, shape=shape)) for shape in ((10, 40), (28, 28)))
    assert wide.shape[0] < 0.6 * square.shape[0]


def test_a_gallery_takes_labels_of_any_kind(drawn: list[Any]) -> None:
    """Classes such as 1 and "one" together are an array of Python objects."""
    labels = np.array([1, "one", 1, "one"], dtype=object)
    images = np.random.default_rng(0).random((4, 8, 8)).astype(np.float32)
    png = plots.draw_gallery(images, labels, labels[::-1].copy(), np.full(4, 0.5, np.float32), TITLE)
    check_margins(png)
    assert titles(drawn[0])[1] == ["one, is 1", "1, is one", "one, is 1", "1, is one"]


# Confusion matrix


def confusion(classes: int, right: int = 1000) -> np.ndarray:
    counts = np.random.default_rng(0).integers(0, 5, (classes, classes)).astype(np.int64)
    counts[np.arange(classes), np.arange(classes)] += right
    return counts


@pytest.mark.parametrize("classes", [2, 10, 62])
def test_a_confusion_matrix_names_every_class_and_counts_where_there_is_room(drawn: list[Any], classes: int) -> None:
    counts = confusion(classes)
    check_margins(plots.draw_confusion(counts, list(range(classes)), TITLE))
    figure = drawn[0]
    axes = figure.axes[0]
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
def test_long_names_are_shortened_and_leave_room_for_the_matrix(drawn: list[Any], classes: int) -> None:
    names = [f"{index} is a very long class name that goes on" for index in range(classes)]
    check_margins(plots.draw_confusion(confusion(classes), names, TITLE))
    figure = drawn[0]
    check_texts_apart(figure)
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert all(len(label) <= 24 and label.endswith("…") for label in labels)
    cell = axes.get_window_extent().width / classes
    assert all(text.get_window_extent().width < cell for text in axes.texts)


def test_a_class_without_rows_is_an_empty_row(drawn: list[Any]) -> None:
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


# Whatever a name is made of


@pytest.mark.parametrize("name", ["$x_$ \\frac$", "50% & more #1 {x}"])
def test_names_are_drawn_as_they_are(drawn: list[Any], name: str) -> None:
    title = f"{name}: 96.94 % of 360 test rows right"
    check_margins(plots.draw_curves(history(3), title))
    check_margins(plots.draw_confusion(confusion(2), [name, "b"], title))
    check_margins(gallery(10, 3, classes=[name, "b"], title=title))
    assert [figure.get_suptitle().replace("\n", " ") for figure in drawn] == [title.replace("\n", " ")] * 3


def test_characters_that_the_font_lacks_raise_no_warning() -> None:
    """They are drawn as boxes."""
    for png in (plots.draw_curves(history(3), "🚀 数字"), gallery(10, 3, classes=["🚀", "数"], title="🚀 数字")):
        check_margins(png)
    check_margins(plots.draw_confusion(confusion(2), ["🚀 数字", "数"], "🚀 数字"))


def test_a_long_title_goes_over_several_lines(drawn: list[Any]) -> None:
    plots.draw_curves(history(3), LONG_TITLE)
    plots.draw_confusion(confusion(2), [0, 1], LONG_TITLE)
    gallery(10, 3, title=LONG_TITLE)
    for figure in drawn:
        assert figure.get_suptitle().replace("\n", " ").replace("- ", "-") == LONG_TITLE
        check_texts_apart(figure)


def test_the_users_own_style_changes_nothing() -> None:
    """It may ask for LaTeX, which takes seconds and stumbles over %."""
    plain = plots.draw_curves(history(3), TITLE)
    with matplotlib.style.context({"text.usetex": True, "font.size": 30, "axes.facecolor": "black"}):
        assert plots.draw_curves(history(3), TITLE) == plain
        assert matplotlib.rcParams["font.size"] == 30
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert plots.draw_curves(history(3), TITLE) == plain


@pytest.mark.parametrize("missing", ["matplotlib.style", "matplotlib.figure"])
def test_without_matplotlib_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r'Drawing pictures needs matplotlib.*pip install "xpmlp\[cli\]"'):
        plots.draw_curves(history(3), TITLE)
