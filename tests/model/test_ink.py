"""What is ink in a picture and what is not; a trained classifier still recognizes what was found."""

import gzip
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


def box_of(image: np.ndarray) -> list[int]:
    """Top, left, bottom and right of what is lighter than a fifth."""
    rows, columns = np.nonzero(image > 0.2)
    return [int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1]


@pytest.mark.parametrize(("paper", "pen"), [(0.9, 0.7), (0.3, 0.12), (0.2, 0.35)])
def test_faint_ink_is_stretched_to_full_contrast(
    tmp_path: Path, expected: np.ndarray, paper: float, pen: float
) -> None:
    np.testing.assert_allclose(prepared(grey_image(paper + (pen - paper) * drawing()), tmp_path), expected, atol=0.03)


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
        pytest.param(lambda: grey_image(np.full((28, 28), 0.7)), id="of-the-right-size"),
        pytest.param(lambda: grey_image(noisy(0.6, 0.03)), id="paper-in-uneven-light"),
        pytest.param(lambda: Image.new("RGBA", (90, 90), (255, 0, 0, 0)), id="fully-transparent"),
        pytest.param(lambda: Image.fromarray(np.zeros((60, 50), np.uint16)), id="black-of-16-bits"),
    ],
)
def test_a_blank_picture_is_refused(tmp_path: Path, image: Callable[[], Any]) -> None:
    with pytest.raises(DataError, match=r"picture\.png: the picture is blank"):
        prepared(image(), tmp_path)


# Recognition


def read_digits() -> tuple[np.ndarray, ...]:
    """Return training images and labels, test images and labels, of scikit-learn's 8 × 8 digits."""
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(x))
    train, test = order[:1497], order[1497:1697]
    x = (x / 16).astype(np.float32)
    return x[train], labels[train], x[test], labels[test]


def read_mnist(folder: Path) -> tuple[np.ndarray, ...]:
    """Return the same of the first 5,000 and 60 images of MNIST."""

    def read(name: str, header: int, shape: tuple[int, ...]) -> np.ndarray:
        with gzip.open(folder / name) as file:
            return np.frombuffer(file.read(header + int(np.prod(shape)))[header:], np.uint8).reshape(shape)

    return (
        read("train-images-idx3-ubyte.gz", 16, (5000, 784)).astype(np.float32) / 255,
        read("train-labels-idx1-ubyte.gz", 8, (5000,)),
        read("t10k-images-idx3-ubyte.gz", 16, (60, 784)).astype(np.float32) / 255,
        read("t10k-labels-idx1-ubyte.gz", 8, (60,)),
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "kind", "suffix"),
    [
        ("digits", light_on_dark, "png"),
        ("digits", dark_on_light, "jpg"),
        ("digits", blue_on_cream, "jpg"),
        ("digits", photo, "jpg"),
        ("digits", transparent, "png"),
        ("mnist", dark_on_light, "jpg"),
        ("mnist", photo, "jpg"),
    ],
)
def test_images_in_awkward_pictures_are_recognized_as_before(
    tmp_path: Path, request: pytest.FixtureRequest, data: str, kind: Callable[..., Any], suffix: str
) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    side, factor = (8, 20) if data == "digits" else (28, 7)
    train_x, train_labels, x, labels = (
        read_digits() if data == "digits" else read_mnist(request.getfixturevalue("mnist_dir"))
    )
    preprocessor = ImagePreprocessor.measure(train_x, (side, side))
    generator, options = np.random.default_rng(0), {"quality": 50} if suffix == "jpg" else {}
    sheets = [on_a_sheet(image, factor, generator) for image in x.reshape(-1, side, side)]
    pictures = [prepared(kind(ink, generator), tmp_path, preprocessor, suffix, **options).ravel() for ink in sheets]
    classifier = KNeighborsClassifier(3).fit(train_x, train_labels)
    original, changed = classifier.score(x, labels), classifier.score(np.stack(pictures), labels)
    print(f"accuracy {original:.3f} of the original pixels, {changed:.3f} of the pictures")
    assert original > 0.9
    assert changed >= original - 0.035
    if data == "mnist":
        assert preprocessor == MNIST
