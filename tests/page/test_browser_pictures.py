"""Pages of picture models in a real browser, compared with Python."""

import base64
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from xpmlp.model.image_preprocessor import prepare_marks
from xpmlp.model.picture_resizer import PictureResizer
from xpmlp.page import PageContent

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

pytestmark = pytest.mark.slow

Point = tuple[float, float]
Stroke = list[Point]


def arc(x: float, y: float, width: float, height: float, start: float, end: float, points: int = 14) -> Stroke:
    """Return part of an ellipse around a center; angles in degrees, clockwise from the right."""
    angles = (math.radians(start + (end - start) * index / (points - 1)) for index in range(points))
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


# Two ways to write each digit.
DIGITS: dict[int, tuple[list[Stroke], list[Stroke]]] = {
    0: ([arc(0.5, 0.5, 0.24, 0.34, -90, 270, 24)], [arc(0.5, 0.5, 0.3, 0.32, -60, 300, 24)]),
    1: ([[(0.5, 0.15), (0.5, 0.85)]], [[(0.38, 0.3), (0.52, 0.15), (0.52, 0.85)]]),
    2: (
        [[*arc(0.48, 0.35, 0.22, 0.2, 190, 380), (0.6, 0.55), (0.3, 0.84), (0.74, 0.84)]],
        [[*arc(0.5, 0.33, 0.2, 0.17, 200, 400), (0.5, 0.62), (0.28, 0.8), (0.45, 0.78), (0.74, 0.84)]],
    ),
    3: (
        [[*arc(0.46, 0.33, 0.2, 0.17, 200, 450), *arc(0.46, 0.67, 0.23, 0.18, -90, 160)]],
        [[(0.3, 0.2), (0.66, 0.2), (0.46, 0.45), *arc(0.46, 0.65, 0.22, 0.2, -90, 150)]],
    ),
    4: (
        [[(0.34, 0.18), (0.28, 0.56), (0.72, 0.56)], [(0.64, 0.2), (0.62, 0.86)]],
        [[(0.36, 0.2), (0.3, 0.5), (0.68, 0.5)], [(0.7, 0.15), (0.64, 0.85)]],
    ),
    5: (
        [[(0.7, 0.18), (0.36, 0.18), (0.33, 0.47), *arc(0.46, 0.64, 0.23, 0.2, -110, 150)]],
        [[(0.36, 0.2), (0.32, 0.46), *arc(0.46, 0.63, 0.22, 0.2, -100, 140)], [(0.36, 0.2), (0.7, 0.17)]],
    ),
    6: (
        [[(0.6, 0.15), (0.42, 0.35), (0.33, 0.6), *arc(0.49, 0.67, 0.17, 0.17, 180, -180, 20)]],
        [[(0.55, 0.14), (0.36, 0.42), (0.32, 0.64), *arc(0.5, 0.68, 0.19, 0.16, 170, -170, 20)]],
    ),
    7: (
        [[(0.28, 0.2), (0.72, 0.2), (0.46, 0.85)]],
        [[(0.28, 0.22), (0.5, 0.2), (0.72, 0.2), (0.58, 0.5), (0.48, 0.85)]],
    ),
    8: (
        [[*arc(0.5, 0.33, 0.16, 0.16, 90, -270, 20)], [*arc(0.5, 0.67, 0.2, 0.18, -90, 270, 20)]],
        [
            [
                *arc(0.52, 0.32, 0.16, 0.16, 0, -230, 14),
                (0.58, 0.6),
                *arc(0.48, 0.68, 0.17, 0.16, -10, 230, 14),
                (0.66, 0.36),
            ]
        ],
    ),
    9: (
        [[*arc(0.48, 0.35, 0.18, 0.18, 0, -360, 20), (0.65, 0.5), (0.6, 0.85)]],
        [[*arc(0.48, 0.34, 0.17, 0.17, 10, -350, 20), (0.64, 0.6), (0.64, 0.85)]],
    ),
}


def drawings() -> list[tuple[int, int, list[Stroke]]]:
    """Return the digit, the brush's width and the strokes of each drawing: each way upright, and small and slanted."""
    found = []
    for digit, ways in DIGITS.items():
        for way in ways:
            found.append((digit, 15, way))
            found.append((digit, 11, [[slanted(point) for point in stroke] for stroke in way]))
    return found


def slanted(point: Point) -> Point:
    """Return where a point of a smaller drawing lies that leans to the right and off the center."""
    x, y = point
    return 0.36 + 0.7 * (x - 0.5 - 0.18 * (y - 0.5)), 0.44 + 0.7 * (y - 0.5)


def test_pictures_of_every_kind_are_prepared_as_in_python(browser: Any, digits_model: Any) -> None:
    browser.open(digits_model)
    for picture in json.loads((Path(__file__).parent / "pictures.json").read_bytes()):
        prepared = browser.driver.execute_async_script(
            """
            const [png, form, done] = arguments;
            const file = new File([Uint8Array.from(atob(png), (each) => each.charCodeAt(0))], "a.png");
            readPicture(file).then(({ pixels }) => {
              const input = prepare(pixels, form);
              done(input && Array.from(input));
            });
            """,
            picture["png"],
            picture["form"],
        )
        if picture["prepared"] is None:
            assert prepared is None
        else:
            expected = np.frombuffer(base64.b64decode(picture["prepared"]), np.uint8) / 255
            assert np.abs(np.array(prepared) - expected).max() <= 1 / 255, picture["name"]


@pytest.mark.parametrize("channels", [1, 3])
def test_photos_are_resized_as_in_python_and_shown_in_color(
    browser: Any, make_model: Any, tmp_path: Path, channels: Literal[1, 3]
) -> None:
    rng = np.random.default_rng(0)
    form = PictureResizer(12, 16, channels)
    model = make_model(form=form, hidden=(2,), activation="relu", classes=("cat", "dog"))
    examples = np.rint(255 * rng.random((4, 192 * channels))).astype(np.float32) / 255
    content = PageContent("photos", examples=examples, labels=["cat", "dog", "dog", "cat"])
    browser.open(model, content)
    assert browser.messages() == []
    for size in ((16, 12), (120, 90), (31, 200), (5, 3), (300, 40)):
        colors = np.kron(rng.integers(0, 256, (size[1] // 3 + 1, size[0] // 5 + 1, 4)), np.ones((3, 5, 1)))
        picture = Image.fromarray(colors[: size[1], : size[0]].astype(np.uint8))
        if size != (120, 90):
            picture.putalpha(255)  # elsewhere a browser multiplies colors by their opacity, in bytes
        picture.save(tmp_path / "photo.png")
        browser.find("#file").send_keys(str(tmp_path / "photo.png"))
        browser.wait("return page.pad.items.length && !page.pad.items.at(-1).isWelcome && !page.pad.items.at(-1).seen")
        browser.settle()
        prepared = np.array(browser.run("page.pad.items.at(-1).seen = true; return Array.from(page.pad.input)"))
        difference = np.abs(prepared - prepare_marks(tmp_path / "photo.png", form)[0])
        assert difference.max() <= 3 / 255, size
    seen = browser.run("return Array.from(byId('seen').getContext('2d').getImageData(0, 0, 16, 12).data)")
    shown = np.array(seen).reshape(192, 4)[:, :3] if channels == 3 else np.array(seen).reshape(192, 4)[:, :1]
    np.testing.assert_allclose(shown.ravel(), 255 * prepared, atol=0.51)
    browser.run("byId('overlay').click()")
    browser.settle()
    assert browser.messages() == []


def test_drawings_are_prepared_as_in_python_and_recognised(browser: Any, mnist_model: Any, tmp_path: Path) -> None:
    browser.open(mnist_model)
    right = 0
    for digit, brush, strokes in drawings():
        browser.draw(strokes, brush)
        browser.settle()
        drawing = browser.drawing(tmp_path / "drawing.png")
        expected = prepare_marks(drawing, mnist_model.image_preprocessor, single=True)[0]
        prepared = np.array(browser.run("return Array.from(page.pad.input)"))
        assert np.abs(prepared - expected).max() <= 1 / 255
        right += browser.text("#best") == str(digit)
    assert right >= 38, right
