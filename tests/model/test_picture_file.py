"""Picture files of every kind, and files that are none."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp.errors import DataError
from xpmlp.model.image_preprocessor import ImagePreprocessor, prepare_image

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

MNIST = ImagePreprocessor(height=28, width=28, background="dark", content_size=20 / 28, centering="mass")


def drawing(height: int = 200, width: int = 300, top: int = 50, left: int = 120, size: int = 80) -> np.ndarray:
    """Ink from 0 to 1: a thick L, which looks different turned, flipped or inverted."""
    ink = np.zeros((height, width))
    ink[top : top + size, left + size // 10 : left + size * 35 // 100] = 1
    ink[top + size * 8 // 10 : top + size, left + size // 10 : left + size] = 1
    return ink


def grey_image(values: np.ndarray) -> Any:
    """A Pillow image from values of 0 (black) to 1 (white)."""
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def prepared(
    image: Any, folder: Path, preprocessor: ImagePreprocessor = MNIST, suffix: str = "png", **options: Any
) -> np.ndarray:
    """Save an image as a file of that suffix, prepare it, and return it as rows and columns."""
    path = folder / f"picture.{suffix}"
    image.save(path, **options)
    pixels = prepare_image(path, preprocessor)
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    return pixels.reshape(preprocessor.height, preprocessor.width)


@pytest.fixture
def expected(tmp_path: Path) -> np.ndarray:
    """The drawing prepared from the plainest of pictures."""
    return prepared(grey_image(1 - drawing()), tmp_path)


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
        prepare_image(path, MNIST)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_truncated_picture_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).random((120, 160))
    path = tmp_path / f"picture.{suffix}"
    grey_image(noise).save(path)
    content = path.read_bytes()
    for fraction in (0.05, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * fraction)])
        with pytest.raises(DataError, match=rf"picture\.{suffix}: (damaged or cut short|not a picture)"):
            prepare_image(path, MNIST)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_picture_with_damaged_bytes_never_fails_in_another_way(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / f"picture.{suffix}"
    grey_image(1 - drawing(60, 60, 10, 10, 40)).save(path)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(60):
        damaged = content.copy()
        # Headers are near the start, where damage does most.
        damaged[rng.integers(0, min(len(content), 200), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            pixels = prepare_image(path, MNIST)
        except DataError:
            refused += 1
        else:
            assert np.isfinite(pixels).all()
    assert refused > 0


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"seven\.png: no such file"):
        prepare_image(tmp_path / "seven.png", MNIST)
    with pytest.raises(DataError, match="a folder, not a picture"):
        prepare_image(tmp_path, MNIST)


def test_a_file_that_may_not_be_read_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    grey_image(drawing()).save(path)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # Whoever runs the tests as root may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"picture\.png: cannot be read \(Permission denied\)"):
        prepare_image(path, MNIST)


def test_a_pixel_limit_of_none_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert prepared(grey_image(drawing()), tmp_path).max() == 1
