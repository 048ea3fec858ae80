"""The form of training images, and pictures of all kinds brought to it."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from xpmlp.errors import DataError
from xpmlp.model.image_preprocessor import ImagePreprocessor, prepare_image

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

MNIST_FORM = ImagePreprocessor(height=28, width=28, background="dark", content_size=20 / 28, centering="mass")
# A figure without symmetry, so that a picture that was turned, flipped or inverted is told apart.
STROKES = (((0.1, 0.0), (0.35, 1.0)), ((0.1, 0.8), (1.0, 1.0)))


def drawing(height: int = 200, width: int = 300, top: int = 50, left: int = 120, size: int = 80) -> np.ndarray:
    """Ink from 0 to 1: a thick L of the given size, somewhere on a sheet."""
    ink = np.zeros((height, width))
    for (x0, y0), (x1, y1) in STROKES:
        rows = slice(top + round(y0 * size), top + round(y1 * size))
        ink[rows, left + round(x0 * size) : left + round(x1 * size)] = 1
    return ink


def grey_image(values: np.ndarray) -> Any:
    """A Pillow image from values of 0 (black) to 1 (white)."""
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def save(image: Any, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def prepared(
    image: Any, folder: Path, form: ImagePreprocessor = MNIST_FORM, suffix: str = "png", **options: Any
) -> np.ndarray:
    """What becomes of an image that is saved as a file of that suffix, as rows and columns."""
    pixels = prepare_image(save(image, folder / f"picture.{suffix}", **options), form)
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    return pixels.reshape(form.height, form.width)


def box_of(image: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what is lighter than a fifth."""
    rows, columns = np.nonzero(image > 0.2)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def center_of_mass(image: np.ndarray) -> np.ndarray:
    """Row and column of the center of mass, in pixels from the image's upper left corner."""
    rows, columns = image.sum(axis=1), image.sum(axis=0)
    return np.array([ink @ (np.arange(len(ink)) + 0.5) / ink.sum() for ink in (rows, columns)])


@pytest.fixture
def expected(tmp_path: Path) -> np.ndarray:
    """The drawing as the network wants it, from the plainest of pictures."""
    return prepared(grey_image(1 - drawing()), tmp_path)


# ---- measuring -------------------------------------------------------------------------------------------------------


def random_strokes(
    rng: np.random.Generator, content: int, side: int, corner: Callable[[np.ndarray], Any]
) -> np.ndarray:
    """An image with a lopsided figure of that size, placed where `corner` says."""
    figure = np.zeros((content, content), np.float32)
    figure[:, : rng.integers(2, 5)] = 1
    figure[rng.integers(0, content - 2) :][:2] = 0.9
    top, left = corner(figure)
    image = np.zeros((side, side), np.float32)
    image[top : top + content, left : left + content] = figure
    return image


def by_mass(figure: np.ndarray) -> tuple[int, int]:
    mass = figure.sum()
    return (
        round(15.5 - (figure.sum(axis=1) @ np.arange(len(figure)) / mass)),
        round(15.5 - (figure.sum(axis=0) @ np.arange(len(figure)) / mass)),
    )


@pytest.mark.parametrize("background", ["dark", "light"])
@pytest.mark.parametrize("centering", ["mass", "box", "none"])
def test_the_form_is_measured_from_the_images(background: str, centering: str) -> None:
    rng = np.random.default_rng(0)
    corners: dict[str, Callable[[np.ndarray], Any]] = {
        "mass": by_mass,
        "box": lambda figure: (9, 9),
        "none": lambda figure: rng.integers(0, 19, 2),
    }
    images = np.stack([random_strokes(rng, 14, 32, corners[centering]) for _ in range(200)])
    x = images.reshape(200, -1)
    form = ImagePreprocessor.measure(x if background == "dark" else 1 - x, (32, 32))
    assert form == ImagePreprocessor(32, 32, background, 14 / 32, centering)  # type: ignore[arg-type]


def test_blank_training_images_do_not_move_the_measure() -> None:
    rng = np.random.default_rng(0)
    images = np.stack([random_strokes(rng, 14, 32, lambda figure: (9, 9)) for _ in range(50)]).reshape(50, -1)
    with_blanks = np.concatenate([np.zeros((30, 1024), np.float32), images])
    assert ImagePreprocessor.measure(with_blanks, (32, 32)) == ImagePreprocessor.measure(images, (32, 32))


@pytest.mark.parametrize(("value", "background"), [(0, "dark"), (1, "light")])
def test_blank_training_images_alone_give_a_form_that_content_fills(value: float, background: Any) -> None:
    form = ImagePreprocessor.measure(np.full((7, 20), value, np.float32), (4, 5))
    assert form == ImagePreprocessor(4, 5, background, 1.0, "box")


def test_no_training_images_give_a_form_that_content_fills() -> None:
    assert ImagePreprocessor.measure(np.zeros((0, 20), np.float32), (4, 5)) == ImagePreprocessor(
        4, 5, "dark", 1.0, "box"
    )


def test_images_that_do_not_have_the_shape_are_refused() -> None:
    with pytest.raises(DataError, match="5 × 5 pixels need rows of 25 values, these have 20"):
        ImagePreprocessor.measure(np.zeros((3, 20), np.float32), (5, 5))


def test_the_form_of_scikit_learns_digits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    assert ImagePreprocessor.measure(digits[0], (8, 8)) == ImagePreprocessor(8, 8, "dark", 1.0, "box")


def test_the_form_of_mnist(mnist: tuple[np.ndarray, ...]) -> None:
    assert ImagePreprocessor.measure(mnist[0], (28, 28)) == MNIST_FORM


# ---- the model file's values -----------------------------------------------------------------------------------------


def test_a_form_survives_json() -> None:
    assert ImagePreprocessor.from_json(json.loads(json.dumps(MNIST_FORM.to_json()))) == MNIST_FORM


def test_a_whole_number_is_a_content_size() -> None:
    form = ImagePreprocessor.from_json({**MNIST_FORM.to_json(), "content_size": 1})
    assert type(form.content_size) is float


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("height", 0),
        ("height", 28.0),
        ("width", True),
        ("width", "28"),
        ("width", None),
        ("background", "grey"),
        ("background", ["dark"]),
        ("content_size", 0),
        ("content_size", 1.01),
        ("content_size", float("nan")),
        ("content_size", "1"),
        ("content_size", False),
        ("centering", "middle"),
        ("centering", {}),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"image form: {name} is .*expected"):
        ImagePreprocessor.from_json({**MNIST_FORM.to_json(), name: value})


def test_missing_and_unknown_values_are_refused_by_name() -> None:
    values = MNIST_FORM.to_json()
    with pytest.raises(ValueError, match="image form: unknown colour"):
        ImagePreprocessor.from_json({**values, "colour": "red"})
    del values["width"]
    with pytest.raises(ValueError, match="image form: width missing"):
        ImagePreprocessor.from_json(values)
    with pytest.raises(ValueError, match="not a table"):
        ImagePreprocessor.from_json([28, 28])


# ---- pictures of the form's own size ---------------------------------------------------------------------------------


@pytest.mark.parametrize("background", ["dark", "light"])
def test_a_picture_of_the_forms_size_is_taken_pixel_by_pixel(
    tmp_path: Path, background: Literal["dark", "light"], digits: tuple[np.ndarray, np.ndarray]
) -> None:
    # Grey levels that PNG holds exactly, on the one polarity and the other.
    form = ImagePreprocessor(8, 8, background, 1.0, "box")
    for row in digits[0][:20]:
        levels = np.rint(row * 255).astype(np.uint8).reshape(8, 8)
        training = levels.astype(np.float32) / 255
        training = training if background == "dark" else 1 - training
        for picture in (levels, 255 - levels):
            np.testing.assert_allclose(prepared(Image.fromarray(picture), tmp_path, form), training, atol=1e-7)
    in_color = Image.fromarray(np.repeat(levels[..., None], 3, axis=2))
    np.testing.assert_allclose(prepared(in_color, tmp_path, form), training, atol=1e-7)


def test_an_exported_mnist_image_gives_the_training_pixels(tmp_path: Path, mnist: tuple[np.ndarray, ...]) -> None:
    for row in mnist[2][:50]:
        image = Image.fromarray(np.rint(row * 255).astype(np.uint8).reshape(28, 28))
        assert prepared(image, tmp_path).ravel().tolist() == row.tolist()


# ---- where the ink goes ----------------------------------------------------------------------------------------------


def test_ink_is_scaled_to_the_content_size_and_centered_by_mass(expected: np.ndarray) -> None:
    top, left, bottom, right = box_of(expected)
    # The figure is 80 high and 72 wide: 20 by 18 pixels of 28.
    assert (bottom - top, right - left) == (20, 18)
    # The middle of pixel 14, as MNIST has it, to within the half pixel of a whole shift.
    np.testing.assert_allclose(center_of_mass(expected), 14.5, atol=0.51)
    assert expected.max() == 1
    assert expected[:, 0].max() == 0


def test_ink_is_centered_by_its_box(tmp_path: Path) -> None:
    form = replace(MNIST_FORM, centering="box")
    assert box_of(prepared(grey_image(1 - drawing()), tmp_path, form)) == (4, 5, 24, 23)


def test_a_form_that_is_not_square_holds_the_whole_ink(tmp_path: Path) -> None:
    form = ImagePreprocessor(height=12, width=40, background="dark", content_size=1.0, centering="box")
    top, left, bottom, right = box_of(prepared(grey_image(1 - drawing()), tmp_path, form))
    assert (top, bottom) == (0, 12)
    assert right - left == pytest.approx(12 * 72 / 80, abs=1.5)


def test_ink_whose_mass_is_at_one_end_stays_inside(tmp_path: Path) -> None:
    ink = np.zeros((300, 300))
    ink[20:280, 140:150] = 1
    ink[240:280, 100:200] = 1
    form = replace(MNIST_FORM, content_size=1.0)
    top, _, bottom, _ = box_of(prepared(grey_image(1 - ink), tmp_path, form))
    assert (top, bottom) == (0, 28)


def test_without_centering_the_whole_picture_is_fitted_in(tmp_path: Path) -> None:
    form = replace(MNIST_FORM, centering="none", content_size=0.3)
    # 280 × 280 pixels become 28 × 28: the figure is 8 pixels high, and stays where it is.
    sheet = drawing(280, 280, top=30, left=142)
    image = prepared(grey_image(1 - sheet), tmp_path, form)
    assert (box_of(image)[0], box_of(image)[2]) == (3, 11)
    np.testing.assert_allclose(center_of_mass(image), center_of_mass(sheet) / 10, atol=0.1)


def test_a_light_form_gets_dark_ink(tmp_path: Path, expected: np.ndarray) -> None:
    light = prepared(grey_image(1 - drawing()), tmp_path, replace(MNIST_FORM, background="light"))
    np.testing.assert_allclose(light, 1 - expected, atol=1e-6)


def test_dark_on_light_and_light_on_dark_are_the_same(tmp_path: Path, expected: np.ndarray) -> None:
    np.testing.assert_allclose(prepared(grey_image(drawing()), tmp_path), expected, atol=1e-5)


@pytest.mark.parametrize(("paper", "pen"), [(0.9, 0.7), (0.3, 0.12), (0.2, 0.35)])
def test_faint_ink_is_stretched_to_full_contrast(
    tmp_path: Path, expected: np.ndarray, paper: float, pen: float
) -> None:
    np.testing.assert_allclose(prepared(grey_image(paper + (pen - paper) * drawing()), tmp_path), expected, atol=0.03)


def test_a_picture_smaller_than_the_form_is_enlarged(tmp_path: Path, expected: np.ndarray) -> None:
    small = prepared(grey_image(1 - drawing(14, 20, top=2, left=5, size=10)), tmp_path)
    top, left, bottom, right = box_of(small)
    assert max(bottom - top, right - left) in (20, 21, 22)
    assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.85


def test_a_large_picture_gives_what_a_small_one_does(tmp_path: Path, expected: np.ndarray) -> None:
    large = np.kron(1 - drawing(), np.ones((16, 16)))
    np.testing.assert_allclose(prepared(grey_image(large), tmp_path), expected, atol=0.1)


# ---- what is not ink -------------------------------------------------------------------------------------------------


def test_paper_light_and_dust_are_not_ink(tmp_path: Path, expected: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:1:200j, 0:1:300j]
    shadow = 0.2 / (1 + np.exp(-20 * (x + y - 1.2)))
    sheet = (0.95 - 0.25 * x - shadow) * (1 - 0.8 * drawing()) + rng.normal(0, 0.02, y.shape)
    sheet[10:12, 280:282] = 0.1
    sheet[:, :4] = 0.05
    photo = prepared(grey_image(sheet), tmp_path, suffix="jpg", quality=60)
    assert np.abs(box_of(photo)[0] - np.array(box_of(expected)[0])) <= 1
    assert np.abs(photo - expected).mean() < 0.02


@pytest.mark.parametrize(
    ("paper", "pen"),
    [
        ((242, 230, 190), (25, 38, 153)),  # blue ink on cream
        ((255, 255, 255), (255, 235, 0)),  # yellow marker, nearly as light as the paper
        ((102, 166, 102), (242, 95, 128)),  # red on green of the same luminance
        ((30, 70, 50), (240, 240, 230)),  # chalk on a blackboard
    ],
)
def test_colored_ink_on_colored_paper_is_found(
    tmp_path: Path, expected: np.ndarray, paper: tuple[int, ...], pen: tuple[int, ...]
) -> None:
    ink = drawing()[..., None]
    image = Image.fromarray((np.array(paper) * (1 - ink) + np.array(pen) * ink).astype(np.uint8))
    np.testing.assert_allclose(prepared(image, tmp_path), expected, atol=0.02)


def noisy(level: float, sigma: float) -> np.ndarray:
    """Paper in light that falls off to a corner, with so much noise, and nothing on it."""
    noise = np.random.default_rng(0).normal(level, sigma, (150, 200))
    return noise + np.linspace(-0.1, 0.1, 200) - np.linspace(0, 0.1, 150)[:, None]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(lambda: grey_image(np.ones((60, 50))), id="white"),
        pytest.param(lambda: grey_image(np.zeros((60, 50))), id="black"),
        pytest.param(lambda: grey_image(np.full((1, 1), 0.3)), id="one-pixel"),
        pytest.param(lambda: grey_image(np.full((28, 28), 0.7)), id="of-the-forms-size"),
        pytest.param(lambda: grey_image(noisy(0.6, 0.03)), id="paper-in-uneven-light"),
        pytest.param(lambda: Image.new("RGBA", (90, 90), (255, 0, 0, 0)), id="fully-transparent"),
        pytest.param(lambda: Image.fromarray(np.zeros((60, 50), np.uint16)), id="black-of-16-bits"),
    ],
)
def test_a_blank_picture_is_refused(tmp_path: Path, image: Callable[[], Any]) -> None:
    with pytest.raises(DataError, match=r"picture\.png: a blank picture"):
        prepared(image(), tmp_path)


# ---- kinds of pictures -----------------------------------------------------------------------------------------------


def cmyk() -> Any:
    return grey_image(1 - drawing()).convert("RGB").convert("CMYK")


def palette() -> Any:
    return grey_image(1 - drawing()).convert("RGB").quantize(4)


def transparent_palette() -> Any:
    image = Image.fromarray(drawing().astype(np.uint8))
    image.putpalette([255, 0, 255, 20, 20, 20])
    image.info["transparency"] = 0
    return image


def with_alpha(color: tuple[int, int, int], hidden: tuple[int, int, int]) -> Any:
    """Ink of one color, opaque, and nothing around it, whatever color the nothing has."""
    ink = drawing().astype(bool)
    pixels = np.empty((*ink.shape, 4), np.uint8)
    pixels[..., :3] = np.where(ink[..., None], color, hidden)
    pixels[..., 3] = np.where(ink, 255, 0)
    return Image.fromarray(pixels)


def sheet_with_transparent_margin() -> Any:
    pixels = np.zeros((300, 400, 4), np.uint8)
    pixels[40:240, 60:360, :3] = ((1 - drawing()) * 255)[..., None]
    pixels[40:240, 60:360, 3] = 255
    pixels[40, 60, 3] = pixels[239, 359, 3] = 0
    return Image.fromarray(pixels)


def deep(dtype: Any, white: float) -> Callable[[], Any]:
    return lambda: Image.fromarray(((1 - drawing()) * white).astype(dtype))


@pytest.mark.parametrize(
    ("image", "suffix"),
    [
        pytest.param(cmyk, "jpg", id="cmyk-jpeg"),
        pytest.param(cmyk, "tif", id="cmyk-tiff"),
        pytest.param(palette, "png", id="palette"),
        pytest.param(palette, "gif", id="gif"),
        pytest.param(transparent_palette, "png", id="transparent-palette"),
        pytest.param(lambda: Image.fromarray(drawing() < 0.5), "png", id="1-bit"),
        pytest.param(deep(np.uint16, 65535), "png", id="16-bit"),
        pytest.param(deep(np.uint16, 4095), "tif", id="12-bit-in-16"),
        pytest.param(deep(np.int32, 255), "tif", id="32-bit"),
        pytest.param(deep(np.int32, 2**30), "tif", id="32-bit-wide"),
        pytest.param(deep(np.float32, 1), "tif", id="float"),
        pytest.param(lambda: Image.fromarray((2 - 5 * drawing()).astype(np.float32)), "tif", id="float-below-zero"),
        pytest.param(lambda: with_alpha((0, 0, 0), (0, 0, 0)), "png", id="black-on-nothing"),
        pytest.param(lambda: with_alpha((255, 255, 255), (255, 255, 255)), "png", id="white-on-nothing"),
        pytest.param(lambda: with_alpha((200, 30, 30), (255, 255, 255)), "webp", id="red-on-nothing"),
        pytest.param(lambda: with_alpha((0, 0, 0), (0, 0, 0)).convert("LA"), "png", id="grey-with-alpha"),
        pytest.param(sheet_with_transparent_margin, "png", id="sheet-with-transparent-margin"),
        pytest.param(lambda: grey_image(1 - drawing()).convert("YCbCr"), "jpg", id="ycbcr"),
        pytest.param(lambda: grey_image(1 - drawing()), "bmp", id="bmp"),
    ],
)
def test_every_kind_of_picture_gives_the_same(
    tmp_path: Path, expected: np.ndarray, image: Callable[[], Any], suffix: str
) -> None:
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    np.testing.assert_allclose(prepared(image(), tmp_path, suffix=suffix, **options), expected, atol=0.06)


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_the_first_frame_of_an_animated_picture_counts(tmp_path: Path, expected: np.ndarray, suffix: str) -> None:
    first, second = grey_image(1 - drawing()), grey_image(1 - drawing()[::-1, ::-1])
    image = prepared(first, tmp_path, suffix=suffix, save_all=True, append_images=[second])
    np.testing.assert_allclose(image, expected, atol=0.02)


@pytest.mark.parametrize(("orientation", "undo"), [(3, "ROTATE_180"), (6, "ROTATE_90"), (8, "ROTATE_270")])
def test_a_photo_taken_sideways_is_turned_upright(
    tmp_path: Path, expected: np.ndarray, orientation: int, undo: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = grey_image(1 - drawing()).transpose(getattr(Image.Transpose, undo))
    turned = prepared(image, tmp_path, suffix="jpg", exif=exif, quality=95)
    np.testing.assert_allclose(turned, expected, atol=0.06)


# ---- files that cannot be used ---------------------------------------------------------------------------------------


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
        pytest.param(b"label,pixel\n1,2\n", "not a picture.*PNG, JPEG", id="text"),
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
        prepare_image(path, MNIST_FORM)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_truncated_picture_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).random((120, 160))
    path = save(grey_image(noise), tmp_path / f"picture.{suffix}")
    content = path.read_bytes()
    for fraction in (0.05, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * fraction)])
        with pytest.raises(DataError, match=rf"picture\.{suffix}: (damaged or cut short|not a picture)"):
            prepare_image(path, MNIST_FORM)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_picture_with_damaged_bytes_never_fails_in_another_way(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(1)
    path = save(grey_image(1 - drawing(60, 60, 10, 10, 40)), tmp_path / f"picture.{suffix}")
    content = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(60):
        damaged = content.copy()
        # Headers are near the start, where damage does most.
        damaged[rng.integers(0, min(len(content), 200), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            pixels = prepare_image(path, MNIST_FORM)
        except DataError:
            refused += 1
        else:
            assert np.isfinite(pixels).all()
    assert refused > 0


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"seven\.png: no such file"):
        prepare_image(tmp_path / "seven.png", MNIST_FORM)
    with pytest.raises(DataError, match="a folder, not a picture"):
        prepare_image(tmp_path, MNIST_FORM)


def test_a_file_that_may_not_be_read_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(grey_image(drawing()), tmp_path / "picture.png")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # Whoever runs the tests as root may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"picture\.png: cannot be read \(Permission denied\)"):
        prepare_image(path, MNIST_FORM)


def test_a_pixel_limit_of_none_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert prepared(grey_image(drawing()), tmp_path).max() == 1


# ---- a trained network still recognizes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 8 × 8 digits, from 0 to 1, and their labels, in a mixed order."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(1).permutation(len(bunch.target))
    return (bunch.data[order] / 16).astype(np.float32), bunch.target[order]


@pytest.fixture(scope="module")
def mnist(mnist_dir: Path) -> tuple[np.ndarray, ...]:
    """Training images and labels, test images and labels, of the real MNIST: the first 5,000 and 300."""

    def read(name: str, header: int, count: int) -> np.ndarray:
        with gzip.open(mnist_dir / name) as file:
            return np.frombuffer(file.read(header + count)[header:], np.uint8)

    return (
        read("train-images-idx3-ubyte.gz", 16, 5000 * 784).reshape(5000, 784).astype(np.float32) / 255,
        read("train-labels-idx1-ubyte.gz", 8, 5000),
        read("t10k-images-idx3-ubyte.gz", 16, 300 * 784).reshape(300, 784).astype(np.float32) / 255,
        read("t10k-labels-idx1-ubyte.gz", 8, 300),
    )


def on_a_sheet(image: np.ndarray, factor: int, rng: np.random.Generator) -> np.ndarray:
    """The image enlarged, somewhere on a sheet nearly twice as high and more than twice as wide."""
    height, width = image.shape[0] * factor, image.shape[1] * factor
    sheet = np.zeros((round(1.8 * height), round(2.4 * width)))
    top, left = rng.integers(0, sheet.shape[0] - height), rng.integers(0, sheet.shape[1] - width)
    large = grey_image(image).resize((width, height), Image.Resampling.BICUBIC)
    sheet[top : top + height, left : left + width] = np.asarray(large) / 255
    return sheet


def light_on_dark(ink: np.ndarray, rng: np.random.Generator) -> Any:
    return grey_image(ink)


def dark_on_light(ink: np.ndarray, rng: np.random.Generator) -> Any:
    return grey_image(1 - ink)


def blue_on_cream(ink: np.ndarray, rng: np.random.Generator) -> Any:
    paper, pen = np.array([0.95, 0.9, 0.75]), np.array([0.1, 0.15, 0.6])
    return grey_image(paper * (1 - ink[..., None]) + pen * ink[..., None])


def photo(ink: np.ndarray, rng: np.random.Generator) -> Any:
    """Light that falls off to a corner, the soft edge of a shadow, and the camera's noise."""
    y, x = np.mgrid[0 : 1 : ink.shape[0] * 1j, 0 : 1 : ink.shape[1] * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    distance = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    light = 0.95 - 0.2 * x - 0.1 * y - 0.12 / (1 + np.exp(-14 * distance))
    return grey_image(light * (1 - 0.75 * ink) + rng.normal(0, 0.02, ink.shape))


def transparent(ink: np.ndarray, rng: np.random.Generator) -> Any:
    return Image.merge("LA", (Image.new("L", ink.shape[::-1], 0), grey_image(ink)))


KINDS = [
    pytest.param(light_on_dark, "png", id="light-on-dark"),
    pytest.param(dark_on_light, "jpg", id="dark-on-light-jpeg"),
    pytest.param(blue_on_cream, "jpg", id="blue-on-cream-jpeg"),
    pytest.param(photo, "jpg", id="photo"),
    pytest.param(transparent, "png", id="transparent"),
]


def awkward(
    images: np.ndarray,
    side: int,
    factor: int,
    kind: Callable[..., Any],
    suffix: str,
    form: ImagePreprocessor,
    folder: Path,
) -> np.ndarray:
    """The images as rows, after each was made an awkward picture, saved, and prepared."""
    rng = np.random.default_rng(0)
    options = {"quality": 50} if suffix == "jpg" else {}
    sheets = [on_a_sheet(image, factor, rng) for image in images.reshape(-1, side, side)]
    return np.stack([prepared(kind(ink, rng), folder, form, suffix, **options).ravel() for ink in sheets])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "suffix"), KINDS)
def test_digits_in_awkward_pictures_are_recognized_as_before(
    tmp_path: Path, digits: tuple[np.ndarray, np.ndarray], kind: Callable[..., Any], suffix: str
) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    x, labels = digits
    classifier = KNeighborsClassifier(3).fit(x[:1497], labels[:1497])
    pictures = awkward(x[1497:], 8, 20, kind, suffix, ImagePreprocessor.measure(x[:1497], (8, 8)), tmp_path)
    original, changed = classifier.score(x[1497:], labels[1497:]), classifier.score(pictures, labels[1497:])
    print(f"accuracy {original:.3f} of the original pixels, {changed:.3f} of the pictures")
    assert original > 0.97
    assert changed >= original - 0.035


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "suffix"), KINDS)
def test_mnist_in_awkward_pictures_is_recognized_as_before(
    tmp_path: Path, mnist: tuple[np.ndarray, ...], kind: Callable[..., Any], suffix: str
) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    train_x, train_labels, test_x, test_labels = mnist
    classifier = KNeighborsClassifier(3).fit(train_x, train_labels)
    pictures = awkward(test_x, 28, 7, kind, suffix, ImagePreprocessor.measure(train_x, (28, 28)), tmp_path)
    original, changed = classifier.score(test_x, test_labels), classifier.score(pictures, test_labels)
    print(f"accuracy {original:.3f} of the original pixels, {changed:.3f} of the pictures")
    assert original > 0.9
    assert changed >= original - 0.035
