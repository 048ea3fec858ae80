"""Write pictures.json: pictures of many kinds, each with the input that Python prepares from it.

It is the specification that the page's own preparation is compared with. Run it after a change of `xpmlp.model.ink` or
`xpmlp.model.image_preprocessor`, and bring `ink.js` in line: python tests/page/make_pictures.py
"""

import base64
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from xpmlp.errors import DataError
from xpmlp.model import ImagePreprocessor
from xpmlp.model.image_preprocessor import prepare_marks

FILE = Path(__file__).with_name("pictures.json")
MNIST = {"height": 28, "width": 28, "background": "dark", "content_size": 20 / 28, "centering": "mass"}
FORMS: dict[str, dict[str, Any]] = {
    "mnist": MNIST,
    "digits": {"height": 8, "width": 8, "background": "dark", "content_size": 1.0, "centering": "box"},
    "scattered": MNIST | {"centering": "none", "background": "light"},
    "wide": {"height": 20, "width": 32, "background": "dark", "content_size": 0.8, "centering": "box"},
}


def paper(width: int, height: int, color: Any = "white", mode: str = "RGB") -> tuple[Any, Any]:
    """Return an empty picture and its pen."""
    picture = Image.new(mode, (width, height), color)
    return picture, ImageDraw.Draw(picture)


def three(pen: Any, left: float, top: float, size: float, width: int, color: Any = "black") -> None:
    """Draw a 3."""
    for row, (start, end) in enumerate(((200, 450), (250, 510))):
        y = top + row * 0.46 * size
        pen.arc((left, y, left + 0.6 * size, y + 0.54 * size), start, end, color, width)


def seven(pen: Any, left: float, top: float, size: float, width: int, color: Any = "black") -> None:
    """Draw a 7."""
    corners = [(left, top), (left + 0.55 * size, top), (left + 0.2 * size, top + size)]
    pen.line(corners, fill=color, width=width, joint="curve")


def shaded(picture: Any, rng: np.random.Generator, noise: float) -> Any:
    """Return a picture in uneven light and with noise, as a photo; in few grays, for a small file."""
    pixels = np.asarray(picture.convert("L"), np.float64)
    y, x = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]] / max(pixels.shape)
    light = 0.62 + 0.3 * x - 0.2 * y * y
    noisy = np.clip(pixels * light + rng.normal(0, noise, pixels.shape), 0, 255)
    return Image.fromarray((np.rint(noisy / 6) * 6).astype(np.uint8))


def pictures() -> dict[str, tuple[str, Any]]:
    """Return the pictures by name, each with the name of a form."""
    rng = np.random.default_rng(0)
    found: dict[str, tuple[str, Any]] = {}
    for name, form in (("mnist", "mnist"), ("digits", "digits"), ("scattered", "scattered"), ("wide", "wide")):
        picture, pen = paper(280, 280)
        three(pen, 90, 60, 170, 22)
        found[f"a drawing for {name}"] = form, picture
    picture, pen = paper(280, 280, "black")
    seven(pen, 30, 30, 120, 9, "white")
    found["light on dark, small, in a corner"] = "mnist", picture
    picture, pen = paper(90, 150, (250, 240, 180))
    three(pen, 20, 30, 80, 8, (200, 30, 40))
    found["red on yellow, too small to be smoothed"] = "mnist", picture
    picture, pen = paper(240, 180)
    seven(pen, 80, 30, 110, 12, (40, 40, 60))
    found["a photo in uneven light"] = "mnist", shaded(picture.filter(ImageFilter.GaussianBlur(1.5)), rng, 4.0)
    picture, pen = paper(400, 300, (0, 0, 0, 0), "RGBA")
    three(pen, 130, 40, 220, 26, (20, 90, 200, 255))
    found["ink on nothing"] = "mnist", picture
    picture, pen = paper(300, 300, (0, 0, 0, 0), "RGBA")
    pen.rounded_rectangle((40, 40, 260, 260), 30, fill=(235, 235, 225, 255))
    seven(pen, 100, 80, 140, 16, (10, 10, 10, 255))
    found["a sheet with round corners on nothing"] = "mnist", picture
    picture, pen = paper(320, 320)
    three(pen, 120, 60, 180, 20)
    pen.rectangle((0, 0, 8, 320), fill="black")
    pen.point([(30, 30), (40, 300)], fill="black")
    found["a scan with a dark edge and dust"] = "mnist", picture
    picture, pen = paper(28, 28, "black")
    seven(pen, 8, 4, 18, 3, "white")
    found["an image of the right size"] = "mnist", picture
    found["an image of the right size, inverted"] = "mnist", Image.eval(picture, lambda value: 255 - value)
    picture, pen = paper(2100, 700)
    seven(pen, 900, 100, 480, 50)
    found["a picture that is reduced first"] = "mnist", picture
    picture, pen = paper(320, 240, (96, 72, 48))
    pen.rectangle((60, 24, 270, 215), fill=(246, 244, 238))
    three(pen, 120, 60, 120, 12, (30, 30, 60))
    found["a sheet on a table"] = "mnist", picture
    picture, pen = paper(300, 300)
    for y in range(20, 300, 40):
        pen.line([(0, y), (300, y)], fill=(190, 205, 235), width=2)
    seven(pen, 100, 60, 170, 16)
    found["ruled paper"] = "mnist", picture
    picture, pen = paper(200, 200)
    seven(pen, 60, -12, 230, 20)
    found["ink cut by the border"] = "mnist", picture
    picture, pen = paper(400, 200)
    three(pen, 60, 40, 110, 12)
    seven(pen, 220, 40, 110, 12)
    pen.ellipse((370, 170, 380, 180), fill="black")
    pen.ellipse((150, 60, 158, 68), fill="black")
    found["two marks and specks"] = "mnist", picture
    found["nothing"] = "mnist", paper(200, 200)[0]
    found["one gray"] = "mnist", paper(28, 28, (90, 90, 90))[0]
    return found


def odd_files() -> dict[str, tuple[str, bytes]]:
    """Return files of other formats and modes by name, each with the name of a form."""
    gray, color = paper(200, 160, 235, "L")[0], paper(200, 160, (250, 240, 200))[0]
    seven(ImageDraw.Draw(gray), 60, 30, 90, 14, 20)
    seven(ImageDraw.Draw(color), 60, 30, 90, 14, (40, 60, 160))
    turned = Image.Exif()
    turned[0x112] = 6
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 250 + 7)
    few = color.quantize(8)
    saved: dict[str, tuple[Any, str, dict[str, Any]]] = {
        "a photo that is turned": (gray, "JPEG", {"exif": turned}),
        "a JPEG in four printing colors": (color.convert("CMYK"), "JPEG", {}),
        "an animation": (gray, "GIF", {"save_all": True, "append_images": [paper(200, 160, 90, "L")[0]]}),
        "a palette with a transparent color": (few, "PNG", {"transparency": few.getpixel((0, 0))}),
        "sixteen bits of gray": (deep, "PNG", {}),
        "a single pixel": (paper(1, 1, 0, "L")[0], "PNG", {}),
    }
    found = {}
    for name, (picture, kind, options) in saved.items():
        content = io.BytesIO()
        picture.save(content, kind, **options)
        found[name] = "mnist", content.getvalue()
    return found


def to_png(picture: Any) -> bytes:
    """Return a picture as a PNG file."""
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()


def main() -> None:
    """Write the file."""
    described = []
    drawn = {name: (form, to_png(picture)) for name, (form, picture) in pictures().items()}
    for name, (form, content) in (drawn | odd_files()).items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.png"
            path.write_bytes(content)
            try:
                prepared = prepare_marks(path, ImagePreprocessor(**FORMS[form]), single=True)[0]
                text = base64.b64encode(np.rint(255 * prepared).astype(np.uint8).tobytes()).decode()
            except DataError:
                text = None
        png = base64.b64encode(content).decode()
        described.append({"name": name, "form": FORMS[form], "png": png, "prepared": text})
    FILE.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
