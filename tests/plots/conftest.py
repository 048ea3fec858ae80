"""Drawn without warnings, which are errors here; that nothing is cut off or overlaps is measured in the pictures."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pixels() -> Callable[[bytes], np.ndarray]:
    """A function that returns a picture's pixels."""

    def read(png: bytes) -> np.ndarray:
        assert png.startswith(b"\x89PNG")
        with Image.open(io.BytesIO(png)) as picture:
            picture.load()
            return np.asarray(picture.convert("RGB"))

    return read


@pytest.fixture
def check_margins(pixels: Callable[[bytes], np.ndarray]) -> Callable[[bytes], np.ndarray]:
    """A function that sees that nothing that is drawn reaches the picture's border: nothing is cut off."""

    def check(png: bytes) -> np.ndarray:
        picture = pixels(png)
        for border in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
            assert (border == 255).all()
        assert picture.std() > 5.0
        return picture

    return check


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were drawn, to ask matplotlib what is in them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figures: list[Any] = []
    draw: Any = FigureCanvasAgg.draw

    def keep(canvas: Any) -> None:
        figures.append(canvas.figure)
        draw(canvas)

    monkeypatch.setattr(FigureCanvasAgg, "draw", keep)
    return figures


def visible_texts(figure: Any) -> list[Any]:
    """All texts of a figure, save the labels of ticks beyond the end of an axis, which are not drawn."""
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


@pytest.fixture
def check_texts_apart() -> Callable[[Any], None]:
    """A function that sees that no two texts of a figure overlap, and that none reaches out of it."""

    def check(figure: Any) -> None:
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

    return check
