"""The format of training images, and where ink goes in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from msgspec.structs import replace

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


def box_of(image: np.ndarray) -> list[int]:
    """Top, left, bottom and right of what is lighter than a fifth."""
    rows, columns = np.nonzero(image > 0.2)
    return [int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1]


def center_of_mass(image: np.ndarray) -> np.ndarray:
    """Row and column of the center of mass, in pixels from the image's upper left corner."""
    rows, columns = image.sum(axis=1), image.sum(axis=0)
    return np.array([ink @ (np.arange(len(ink)) + 0.5) / ink.sum() for ink in (rows, columns)])


@pytest.fixture
def expected(tmp_path: Path) -> np.ndarray:
    """The drawing prepared from the plainest of pictures."""
    return prepared(grey_image(1 - drawing()), tmp_path)


# Measuring


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
    top, left = (round(16 - center) for center in center_of_mass(figure))
    return top, left


@pytest.mark.parametrize("background", ["dark", "light"])
@pytest.mark.parametrize("centering", ["mass", "box", "none"])
def test_the_form_is_measured_from_the_images(background: str, centering: str) -> None:
    generator = np.random.default_rng(0)
    corners: dict[str, Callable[[np.ndarray], Any]] = {
        "mass": by_mass,
        "box": lambda figure: (9, 9),
        "none": lambda figure: generator.integers(0, 19, 2),
    }
    images = np.stack([random_strokes(generator, 14, 32, corners[centering]) for _ in range(200)])
    x = images.reshape(200, -1)
    form = ImagePreprocessor.measure(x if background == "dark" else 1 - x, (32, 32))
    assert form == ImagePreprocessor(32, 32, background, 14 / 32, centering)  # type: ignore[arg-type]


def test_blank_training_images_do_not_move_the_measure() -> None:
    generator = np.random.default_rng(0)
    images = np.stack([random_strokes(generator, 14, 32, lambda figure: (9, 9)) for _ in range(50)]).reshape(50, -1)
    with_blanks = np.concatenate([np.zeros((30, 1024), np.float32), images])
    assert ImagePreprocessor.measure(with_blanks, (32, 32)) == ImagePreprocessor.measure(images, (32, 32))


@pytest.mark.parametrize(("rows", "value", "background"), [(7, 0, "dark"), (7, 1, "light"), (0, 0, "dark")])
def test_blank_training_images_alone_give_content_that_fills_the_image(
    rows: int, value: float, background: Any
) -> None:
    measured = ImagePreprocessor.measure(np.full((rows, 20), value, np.float32), (4, 5))
    assert measured == ImagePreprocessor(4, 5, background, 1.0, "box")


def test_images_that_do_not_have_the_shape_are_refused() -> None:
    with pytest.raises(DataError, match="5 × 5 pixels need rows of 25 values, these have 20"):
        ImagePreprocessor.measure(np.zeros((3, 20), np.float32), (5, 5))


def test_the_format_of_scikit_learns_digits(digits: np.ndarray) -> None:
    assert ImagePreprocessor.measure(digits, (8, 8)) == ImagePreprocessor(8, 8, "dark", 1.0, "box")


# Pictures of the right size


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """scikit-learn's 8 × 8 digits, from 0 to 1."""
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().data / 16, np.float32)


@pytest.mark.parametrize("background", ["dark", "light"])
def test_a_picture_of_the_right_size_is_taken_pixel_by_pixel(
    tmp_path: Path, background: Literal["dark", "light"], digits: np.ndarray
) -> None:
    form = ImagePreprocessor(8, 8, background, 1.0, "box")
    for row in digits[:20]:
        levels = np.rint(row * 255).astype(np.uint8).reshape(8, 8)
        training = levels.astype(np.float32) / 255
        training = training if background == "dark" else 1 - training
        for picture in (levels, 255 - levels):
            np.testing.assert_allclose(prepared(Image.fromarray(picture), tmp_path, form), training, atol=1e-7)
    in_color = Image.fromarray(np.repeat(levels[..., None], 3, axis=2))
    np.testing.assert_allclose(prepared(in_color, tmp_path, form), training, atol=1e-7)


# Placement


def test_ink_is_scaled_to_the_content_size_and_centered_by_mass(expected: np.ndarray) -> None:
    top, left, bottom, right = box_of(expected)
    # The figure is 80 high and 72 wide: 20 by 18 pixels of 28.
    assert (bottom - top, right - left) == (20, 18)
    # The middle of pixel 14, as in MNIST, to within the half pixel of a whole shift.
    np.testing.assert_allclose(center_of_mass(expected), 14.5, atol=0.51)
    assert expected.max() == 1
    assert expected[:, 0].max() == 0


def test_ink_is_centered_by_its_box(tmp_path: Path) -> None:
    image = grey_image(1 - drawing())
    assert box_of(prepared(image, tmp_path, replace(MNIST, centering="box"))) == [4, 5, 24, 23]
    wide = ImagePreprocessor(height=12, width=40, background="dark", content_size=1.0, centering="box")
    top, left, bottom, right = box_of(prepared(image, tmp_path, wide))
    assert (top, bottom) == (0, 12)
    assert right - left == pytest.approx(12 * 72 / 80, abs=1.5)


def test_ink_whose_mass_is_at_one_end_stays_inside(tmp_path: Path) -> None:
    ink = np.zeros((300, 300))
    ink[20:280, 140:150] = 1
    ink[240:280, 100:200] = 1
    top, _, bottom, _ = box_of(prepared(grey_image(1 - ink), tmp_path, replace(MNIST, content_size=1.0)))
    assert (top, bottom) == (0, 28)


def test_without_centering_the_whole_picture_is_kept(tmp_path: Path) -> None:
    # 280 × 280 pixels become 28 × 28: the figure is 8 pixels high, and stays where it is.
    sheet = drawing(280, 280, top=30, left=142)
    image = prepared(grey_image(1 - sheet), tmp_path, replace(MNIST, centering="none", content_size=0.3))
    assert box_of(image)[::2] == [3, 11]
    np.testing.assert_allclose(center_of_mass(image), center_of_mass(sheet) / 10, atol=0.1)


def test_polarity_is_that_of_the_training_images(tmp_path: Path, expected: np.ndarray) -> None:
    light = prepared(grey_image(1 - drawing()), tmp_path, replace(MNIST, background="light"))
    np.testing.assert_allclose(light, 1 - expected, atol=1e-6)
    np.testing.assert_allclose(prepared(grey_image(drawing()), tmp_path), expected, atol=1e-5)


def test_pictures_of_any_size_give_the_same(tmp_path: Path, expected: np.ndarray) -> None:
    large = np.kron(1 - drawing(), np.ones((16, 16)))
    np.testing.assert_allclose(prepared(grey_image(large), tmp_path), expected, atol=0.1)
    small = prepared(grey_image(1 - drawing(14, 20, top=2, left=5, size=10)), tmp_path)
    top, left, bottom, right = box_of(small)
    assert max(bottom - top, right - left) in (20, 21, 22)
    assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.85
