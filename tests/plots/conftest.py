"""Every picture is checked as it is drawn: nothing is cut off, no texts overlap, and a warning is an error."""

from typing import Any

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures drawn so far, to ask matplotlib what is in them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figures: list[Any] = []
    draw: Any = FigureCanvasAgg.draw

    def draw_and_check(canvas: Any) -> None:
        draw(canvas)
        check_margins(np.asarray(canvas.buffer_rgba())[..., :3])
        check_texts(canvas.figure)
        figures.append(canvas.figure)

    monkeypatch.setattr(FigureCanvasAgg, "draw", draw_and_check)
    return figures


def check_margins(pixels: np.ndarray) -> None:
    """Check that a picture is not blank, and that nothing reaches its border."""
    for border in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (border == 255).all()
    assert pixels.std() > 5.0


def check_texts(figure: Any) -> None:
    """Check that no two texts of a figure overlap, and that none reaches out of it."""
    texts = visible_texts(figure)
    boxes = np.array([text.get_window_extent().extents for text in texts])
    starts, ends = boxes[:, :2], boxes[:, 2:]
    outside = (starts < 0).any(axis=1) | (ends > figure.bbox.extents[2:]).any(axis=1)
    assert not outside.any(), texts[outside.argmax()].get_text()
    shared = np.minimum(ends[:, None], ends) - np.maximum(starts[:, None], starts)
    overlap = np.argwhere(np.triu((shared > 1).all(axis=2), 1))
    assert not len(overlap), [texts[index].get_text() for index in overlap[0]]


def visible_texts(figure: Any) -> list[Any]:
    """Return all texts of a figure but the labels of ticks beyond the end of an axis, which are not drawn."""
    texts = [figure._suptitle]
    for axes in figure.axes:
        texts += [axes.title, axes._left_title, axes._right_title, *axes.texts]
        if not axes.axison:
            continue
        texts += [axes.xaxis.label, axes.yaxis.label]
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = [(tick.get_loc(), tick.label1) for tick in axis.get_major_ticks() if tick.label1.get_visible()]
            texts += [label for place, label in ticks if min(low, high) <= place <= max(low, high)]
    return [text for text in texts if text is not None and text.get_text()]
