"""The format of training images is measured, and a trained classifier recognizes pictures that were prepared alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp.errors import DataError
from xpmlp.model.image_preprocessor import ImagePreprocessor, prepare_marks

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")


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
def test_blank_training_images_alone_give_content_that_fills_the_image(
    rows: int, value: float, background: Any
) -> None:
    measured = ImagePreprocessor.measure(np.full((rows, 20), value, np.float32), (4, 5))
    assert measured == ImagePreprocessor(4, 5, background, 1.0, "box")


def test_images_that_do_not_have_the_shape_are_refused() -> None:
    with pytest.raises(DataError, match="5 × 5 pixels need rows of 25 values, these have 20"):
        ImagePreprocessor.measure(np.zeros((3, 20), np.float32), (5, 5))


# Recognition


def grey_image(values: np.ndarray) -> Any:
    """A Pillow image from values of 0 (black) to 1 (white)."""
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


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
    from sklearn import datasets
    from sklearn.neighbors import KNeighborsClassifier

    x, labels = datasets.load_digits(return_X_y=True)
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
