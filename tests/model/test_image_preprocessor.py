"""Pictures of every kind become the same image; blank and damaged files, and other files, are refused by name.

The format of training images is measured, and a trained classifier recognizes pictures that were prepared alike.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from xpmlp.errors import DataError
from xpmlp.model.image_preprocessor import ImagePreprocessor, prepare_marks

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

MNIST = ImagePreprocessor(height=28, width=28, background="dark", content_size=20 / 28, centering="mass")
SUFFIXES = ("png", "jpg", "gif", "bmp", "tif", "webp")


def drawing(height: int = 200, width: int = 300, top: int = 50, left: int = 120, size: int = 80) -> np.ndarray:
    """Ink from 0 to 1: a thick L, which looks different turned, flipped or inverted."""
    ink = np.zeros((height, width))
    ink[top : top + size, left + size // 10 : left + size * 35 // 100] = 1
    ink[top + size * 8 // 10 : top + size, left + size // 10 : left + size] = 1
    return ink


def grey_image(values: np.ndarray) -> Any:
    """A Pillow image from values of 0 (black) to 1 (white)."""
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def black_on_white() -> Any:
    return grey_image(1 - drawing())


def prepared(
    image: Any, folder: Path, preprocessor: ImagePreprocessor = MNIST, suffix: str = "png", **options: Any
) -> np.ndarray:
    """Save an image as a file of that suffix, prepare it, and return it as rows and columns."""
    path = folder / f"picture.{suffix}"
    image.save(path, **options)
    (pixels,) = prepare_marks(path, preprocessor, single=True)
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    return np.reshape(pixels, (preprocessor.height, preprocessor.width))


@pytest.fixture
def expected(tmp_path: Path) -> np.ndarray:
    """The drawing prepared from the plainest of pictures."""
    return prepared(black_on_white(), tmp_path)


def box_of(image: np.ndarray) -> list[int]:
    """Bounds of the pixels lighter than a fifth: top, left, bottom, right."""
    rows, columns = np.nonzero(image > 0.2)
    return [int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1]


def center_of_mass(image: np.ndarray) -> np.ndarray:
    """Row and column of the center of mass, in pixels from the image's upper left corner."""
    rows, columns = image.sum(axis=1), image.sum(axis=0)
    return np.array([ink @ (np.arange(len(ink)) + 0.5) / ink.sum() for ink in (rows, columns)])


# Kinds of files


def palette() -> Any:
    return black_on_white().convert("RGB").quantize(4)


def transparent_palette() -> Any:
    image = Image.fromarray(drawing().astype(np.uint8))
    image.putpalette([255, 0, 255, 20, 20, 20])
    image.info["transparency"] = 0
    return image


def on_nothing(color: int, hidden: int) -> Any:
    """Opaque ink of one grey, and nothing around it, whatever grey the nothing has."""
    ink = drawing().astype(bool)
    pixels = [np.where(ink, inside, outside).astype(np.uint8) for inside, outside in ((color, hidden), (255, 0))]
    return Image.merge("LA", [Image.fromarray(values) for values in pixels])


def red_on_nothing() -> Any:
    ink = drawing().astype(bool)[..., None]
    return Image.fromarray(np.where(ink, (200, 30, 30, 255), (255, 255, 255, 0)).astype(np.uint8))


def sheet_with_transparent_margin() -> Any:
    pixels = np.zeros((300, 400, 4), np.uint8)
    pixels[40:240, 60:360, :3] = ((1 - drawing()) * 255)[..., None]
    pixels[40:240, 60:360, 3] = 255
    pixels[40, 60, 3] = pixels[239, 359, 3] = 0
    return Image.fromarray(pixels)


def deep(dtype: Any, white: float, black: float = 0) -> Any:
    return Image.fromarray((white + (black - white) * drawing()).astype(dtype))


def turned(turn: str) -> Any:
    return black_on_white().transpose(getattr(Image.Transpose, turn))


def orientation(number: int) -> Any:
    """The metadata of a photo that is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


SECOND: dict[str, Any] = {"save_all": True, "append_images": [grey_image(1 - drawing()[::-1, ::-1])]}  # frame
PICTURES: dict[str, tuple[Any, ...]] = {
    "cmyk-jpeg": ("jpg", lambda: black_on_white().convert("RGB").convert("CMYK")),
    "cmyk-tiff": ("tif", lambda: black_on_white().convert("RGB").convert("CMYK")),
    "ycbcr": ("jpg", lambda: black_on_white().convert("YCbCr")),
    "bmp": ("bmp", black_on_white),
    "palette": ("png", palette),
    "gif": ("gif", palette),
    "transparent-palette": ("png", transparent_palette),
    "1-bit": ("png", lambda: Image.fromarray(drawing() < 0.5)),
    "16-bit": ("png", lambda: deep(np.uint16, 65535)),
    "12-bit-in-16": ("tif", lambda: deep(np.uint16, 4095)),
    "32-bit": ("tif", lambda: deep(np.int32, 255)),
    "32-bit-wide": ("tif", lambda: deep(np.int32, 2**30)),
    "float": ("tif", lambda: deep(np.float32, 1)),
    "float-below-zero": ("tif", lambda: deep(np.float32, 2, -3)),
    "black-on-nothing": ("png", lambda: on_nothing(0, 0)),
    "white-on-nothing": ("png", lambda: on_nothing(255, 255).convert("RGBA")),
    "red-on-nothing": ("webp", red_on_nothing, {"lossless": True}),
    "sheet-with-transparent-margin": ("png", sheet_with_transparent_margin),
    "animated-gif": ("gif", black_on_white, SECOND),
    "animated-png": ("png", black_on_white, SECOND),
    **{
        f"turned-{turn}": ("jpg", lambda turn=turn: turned(turn), {"exif": orientation(number), "quality": 95})
        for number, turn in ((3, "ROTATE_180"), (6, "ROTATE_90"), (8, "ROTATE_270"))
    },
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_kind_of_picture_gives_the_same(tmp_path: Path, expected: np.ndarray, name: str) -> None:
    suffix, image, *options = PICTURES[name]
    found = prepared(image(), tmp_path, suffix=suffix, **(options[0] if options else {}))
    np.testing.assert_allclose(found, expected, atol=0.06)


# Placement


@pytest.mark.parametrize("background", ["dark", "light"])
def test_a_picture_of_the_right_size_is_taken_pixel_by_pixel(tmp_path: Path, background: Any) -> None:
    preprocessor = ImagePreprocessor(8, 8, background, 1.0, "box")
    levels = np.zeros((8, 8), np.uint8)
    levels[1:7, 2:6] = np.random.default_rng(0).integers(0, 256, (6, 4))
    dark = levels.astype(np.float32) / 255
    for picture in (levels, 255 - levels, np.repeat(levels[..., None], 3, axis=2)):
        pixels = prepared(Image.fromarray(picture), tmp_path, preprocessor)
        np.testing.assert_allclose(pixels, dark if background == "dark" else 1 - dark, atol=1e-7)


def test_ink_is_scaled_to_the_content_size_and_centered_by_mass(expected: np.ndarray) -> None:
    top, left, bottom, right = box_of(expected)
    # The figure is 80 high and 72 wide: 20 by 18 pixels of 28.
    assert (bottom - top, right - left) == (20, 18)
    # The middle of pixel 14, as in MNIST, to within the half pixel of a whole shift.
    np.testing.assert_allclose(center_of_mass(expected), 14.5, atol=0.51)
    assert expected.max() == 1
    assert expected[:, 0].max() == 0


def test_ink_is_centered_by_its_box(tmp_path: Path) -> None:
    assert box_of(prepared(black_on_white(), tmp_path, replace(MNIST, centering="box"))) == [4, 5, 24, 23]
    wide = ImagePreprocessor(height=12, width=40, background="dark", content_size=1.0, centering="box")
    top, left, bottom, right = box_of(prepared(black_on_white(), tmp_path, wide))
    assert (top, bottom) == (0, 12)
    assert right - left == pytest.approx(12 * 72 / 80, abs=1.5)


def test_ink_whose_mass_is_at_one_end_stays_inside(tmp_path: Path) -> None:
    ink = np.zeros((300, 300))
    ink[20:280, 140:150] = 1
    ink[240:280, 100:200] = 1
    top, _, bottom, _ = box_of(prepared(grey_image(1 - ink), tmp_path, replace(MNIST, content_size=1.0)))
    assert (top, bottom) == (0, 28)


def test_without_centering_the_whole_picture_is_kept(tmp_path: Path) -> None:
    # 280 × 280 pixels become 28 × 28: the figure is 8 pixels high, and keeps its position.
    sheet = drawing(280, 280, top=30, left=142)
    image = prepared(grey_image(1 - sheet), tmp_path, replace(MNIST, centering="none", content_size=0.3))
    assert box_of(image)[::2] == [3, 11]
    np.testing.assert_allclose(center_of_mass(image), center_of_mass(sheet) / 10, atol=0.1)


def test_polarity_is_that_of_the_training_images(tmp_path: Path, expected: np.ndarray) -> None:
    light = prepared(black_on_white(), tmp_path, replace(MNIST, background="light"))
    np.testing.assert_allclose(light, 1 - expected, atol=1e-6)
    np.testing.assert_allclose(prepared(grey_image(drawing()), tmp_path), expected, atol=1e-5)


def test_pictures_of_any_size_give_the_same(tmp_path: Path, expected: np.ndarray) -> None:
    large = np.kron(1 - drawing(), np.ones((8, 8)))
    np.testing.assert_allclose(prepared(grey_image(large), tmp_path), expected, atol=0.1)
    small = prepared(grey_image(1 - drawing(14, 20, top=2, left=5, size=10)), tmp_path)
    top, left, bottom, right = box_of(small)
    assert max(bottom - top, right - left) in (20, 21, 22)
    assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.85


# Finding the ink


@pytest.mark.parametrize(
    ("paper", "pen"),
    [
        ((242, 230, 190), (25, 38, 153)),  # blue ink on cream
        ((255, 255, 255), (255, 235, 0)),  # yellow marker, nearly as light as the paper
        ((102, 166, 102), (242, 95, 128)),  # red on green of the same luminance
        ((30, 70, 50), (240, 240, 230)),  # chalk on a blackboard
        (230, 178),
        (76, 31),
        (51, 89),
    ],
)
def test_colored_or_faint_ink_is_found(tmp_path: Path, expected: np.ndarray, paper: Any, pen: Any) -> None:
    ink = drawing()[..., None] if isinstance(pen, tuple) else drawing()
    image = Image.fromarray(np.where(ink > 0, pen, paper).astype(np.uint8))
    np.testing.assert_allclose(prepared(image, tmp_path), expected, atol=0.03)


def test_paper_light_and_dust_are_not_ink(tmp_path: Path, expected: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:1:200j, 0:1:300j]
    shadow = 0.2 / (1 + np.exp(-20 * (x + y - 1.2)))
    sheet = (0.95 - 0.25 * x - shadow) * (1 - 0.8 * drawing()) + rng.normal(0, 0.02, y.shape)
    sheet[10:12, 280:282] = 0.1
    sheet[:, :4] = 0.05
    photo = prepared(grey_image(sheet), tmp_path, suffix="jpg", quality=60)
    assert np.abs(np.subtract(box_of(photo), box_of(expected))).max() <= 1
    assert np.abs(photo - expected).mean() < 0.02


def noisy_paper() -> Any:
    """Paper in light that falls off to a corner, and nothing on it."""
    noise = np.random.default_rng(0).normal(0.6, 0.03, (150, 200))
    return grey_image(noise + np.linspace(-0.1, 0.1, 200) - np.linspace(0, 0.1, 150)[:, None])


BLANK: dict[str, Callable[[], Any]] = {
    "white": lambda: grey_image(np.ones((60, 50))),
    "black": lambda: grey_image(np.zeros((60, 50))),
    "one-pixel": lambda: grey_image(np.full((1, 1), 0.3)),
    "of-the-right-size": lambda: grey_image(np.full((28, 28), 0.7)),
    "paper-in-uneven-light": noisy_paper,
    "fully-transparent": lambda: Image.new("RGBA", (90, 90), (255, 0, 0, 0)),
    "black-of-16-bits": lambda: Image.fromarray(np.zeros((60, 50), np.uint16)),
}


@pytest.mark.parametrize("name", BLANK)
def test_a_blank_picture_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"picture\.png: the picture is blank"):
        prepared(BLANK[name](), tmp_path)


# Files that cannot be used


def png_claiming(width: int, height: int) -> bytes:
    """A PNG file that says that it has so many pixels, and holds none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"label,pixel\n1,2\n", "not a picture in a known format.*PNG, JPEG", id="text"),
        pytest.param(png_claiming(10_000, 10_000), "pixels, too large.*smaller copy", id="bomb-that-warns"),
        pytest.param(png_claiming(60_000, 60_000), "pixels, too large.*smaller copy", id="bomb"),
        pytest.param(png_claiming(0, 5), "not a picture|damaged|without pixels", id="no-pixels"),
        pytest.param(png_claiming(50, 50), "damaged or cut short", id="no-content"),
    ],
)
def test_a_file_that_holds_no_usable_picture_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"picture\.png: .*({complaint})"):
        prepare_marks(path, MNIST, single=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_picture_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    grey_image(np.random.default_rng(0).random((120, 160))).save(path)
    content = path.read_bytes()
    for fraction in (0.05, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * fraction)])
        with pytest.raises(DataError, match=rf"picture\.{suffix}: (damaged or cut short|not a picture)"):
            prepare_marks(path, MNIST, single=True)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"seven\.png: no such file"):
        prepare_marks(tmp_path / "seven.png", MNIST, single=True)
    with pytest.raises(DataError, match="a folder, not a picture"):
        prepare_marks(tmp_path, MNIST, single=True)
    for name in ("a\0b.png", "x" * 300):
        with pytest.raises(DataError, match=r"cannot be read \((embedded null byte|File name too long)\)"):
            prepare_marks(tmp_path / name, MNIST, single=True)
    path = tmp_path / "picture.png"
    grey_image(drawing()).save(path)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # Whoever runs the tests as root may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"picture\.png: cannot be read \(Permission denied\)"):
        prepare_marks(path, MNIST, single=True)


def test_a_pixel_limit_of_none_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert prepared(grey_image(drawing()), tmp_path).max() == 1


# Measuring


def random_strokes(rng: np.random.Generator, centering: str) -> np.ndarray:
    """An image of 32 × 32 with a lopsided figure of 14 × 14, placed by its center of mass, its box, or at random."""
    figure = np.zeros((14, 14), np.float32)
    figure[:, : rng.integers(2, 5)] = 1
    figure[rng.integers(0, 12) :][:2] = 0.9
    if centering == "mass":
        sums = figure.sum(axis=1), figure.sum(axis=0)
        top, left = (round(float(16 - ink @ (np.arange(14) + 0.5) / ink.sum())) for ink in sums)
    else:
        top, left = (9, 9) if centering == "box" else rng.integers(0, 19, 2)
    image = np.zeros((32, 32), np.float32)
    image[top : top + 14, left : left + 14] = figure
    return image


def drawings(centering: str, count: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.stack([random_strokes(generator, centering).ravel() for _ in range(count)])


@pytest.mark.parametrize("background", ["dark", "light"])
@pytest.mark.parametrize("centering", ["mass", "box", "none"])
def test_the_format_is_measured_from_the_images(background: Any, centering: Any) -> None:
    x = drawings(centering, 200)
    measured = ImagePreprocessor.measure(x if background == "dark" else 1 - x, (32, 32))
    assert measured == ImagePreprocessor(32, 32, background, 14 / 32, centering)


def test_blank_training_images_do_not_move_the_measure() -> None:
    images = drawings("box", 50)
    with_blanks = np.concatenate([np.zeros((30, 1024), np.float32), images])
    assert ImagePreprocessor.measure(with_blanks, (32, 32)) == ImagePreprocessor.measure(images, (32, 32))


@pytest.mark.parametrize(("rows", "value", "background"), [(7, 0, "dark"), (7, 1, "light"), (0, 0, "dark")])
def test_blank_training_images_alone_give_content_that_fills_it(rows: int, value: float, background: Any) -> None:
    measured = ImagePreprocessor.measure(np.full((rows, 20), value, np.float32), (4, 5))
    assert measured == ImagePreprocessor(4, 5, background, 1.0, "box")


# Recognition


def on_a_sheet(image: np.ndarray, factor: int, rng: np.random.Generator) -> np.ndarray:
    """The image enlarged, somewhere on a sheet nearly twice as high and more than twice as wide."""
    height, width = image.shape[0] * factor, image.shape[1] * factor
    sheet = np.zeros((round(1.8 * height), round(2.4 * width)))
    top, left = rng.integers(0, sheet.shape[0] - height), rng.integers(0, sheet.shape[1] - width)
    large = grey_image(image).resize((width, height), Image.Resampling.BICUBIC)
    sheet[top : top + height, left : left + width] = np.asarray(large) / 255
    return sheet


def photo(ink: np.ndarray, rng: np.random.Generator) -> Any:
    """Light that falls off to a corner, the soft edge of a shadow, and the camera's noise."""
    y, x = np.mgrid[0 : 1 : ink.shape[0] * 1j, 0 : 1 : ink.shape[1] * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    distance = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    light = 0.95 - 0.2 * x - 0.1 * y - 0.12 / (1 + np.exp(-14 * distance))
    return grey_image(light * (1 - 0.75 * ink) + rng.normal(0, 0.02, ink.shape))


def blue_on_cream(ink: np.ndarray, rng: np.random.Generator) -> Any:
    paper, pen = np.array([0.95, 0.9, 0.75]), np.array([0.1, 0.15, 0.6])
    return grey_image(paper * (1 - ink[..., None]) + pen * ink[..., None])


KINDS: dict[str, Callable[..., Any]] = {
    "light-on-dark": lambda ink, rng: grey_image(ink),
    "dark-on-light": lambda ink, rng: grey_image(1 - ink),
    "blue-on-cream": blue_on_cream,
    "photo": photo,
    "transparent": lambda ink, rng: Image.merge("LA", (Image.new("L", ink.shape[::-1], 0), grey_image(ink))),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_images_in_awkward_pictures_are_recognized_as_before(tmp_path: Path, kind: str) -> None:
    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(x))
    x, labels = (x[order] / 16).astype(np.float32), labels[order]
    trained, tested = slice(1497), slice(1497, 1697)
    preprocessor = ImagePreprocessor.measure(x[trained], (8, 8))
    assert preprocessor == ImagePreprocessor(8, 8, "dark", 1.0, "box")
    suffix = "jpg" if kind in ("dark-on-light", "blue-on-cream", "photo") else "png"

    path, pictures = tmp_path / f"picture.{suffix}", []
    generator, options = np.random.default_rng(0), {"quality": 50} if suffix == "jpg" else {}
    for image in x[tested].reshape(-1, 8, 8):
        KINDS[kind](on_a_sheet(image, 20, generator), generator).save(path, **options)
        pictures.append(prepare_marks(path, preprocessor, single=True)[0])
    classifier = KNeighborsClassifier(3).fit(x[trained], labels[trained])
    original, changed = (
        classifier.score(x[tested], labels[tested]),
        classifier.score(np.stack(pictures), labels[tested]),
    )
    print(f"accuracy {original:.3f} of the original pixels, {changed:.3f} of the pictures")
    assert original > 0.9
    assert changed >= original - 0.035
