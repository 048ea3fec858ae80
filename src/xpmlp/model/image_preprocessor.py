"""Pictures of any kind, brought to the form of the images that a network was trained on.

A network knows one kind of image: one size, ink of one polarity and extent, placed in one way. `ImagePreprocessor`
measures that kind from the training images. `prepare_image` finds the ink in a photo, scan or drawing, on the one
background that reaches the picture's border, and gives it that form.
"""

import contextlib
import math
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped

from xpmlp.errors import DataError
from xpmlp.optional_imports import import_optional

# A pixel belongs to the ink's bounding box where it stands out by this fraction of full ink. Training images and
# pictures are measured alike, or the same digit would come out larger from one than from the other.
BOX_THRESHOLD = 0.2
# Ink that differs from its background by less than this, of 0 (black) to 1 (white), is taken for none.
FAINTEST_INK = 0.06
# Placements that scatter by more than this fraction of the image's longest side are not centered.
WIDEST_SCATTER = 0.1
MEASURED_IMAGES = 5000
# Larger pictures are reduced to about this many pixels a side first, which also averages out noise and texture.
WORKING_SIDE = 1024
# What Pillow's decoders are known to raise on damaged files.
DECODING_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class ImagePreprocessor:
    """What the images that a network was trained on have in common.

    Attributes
    ----------
    height, width
        In pixels.
    background
        ``"dark"`` where the ink is lighter than what is around it, ``"light"`` where it is darker.
    content_size
        The usual longest side of the ink's bounding box, as a fraction of the image's longest side: above 0, up to 1.
    centering
        What lies at the image's center: the ink's center of ``"mass"``, the center of its bounding ``"box"``, or
        neither (``"none"``).

    Raises
    ------
    ValueError
        Where a value is of another type or out of range.
    """

    height: int
    width: int
    background: Literal["dark", "light"]
    content_size: float
    centering: Literal["mass", "box", "none"]

    def __post_init__(self) -> None:
        for name, side in (("height", self.height), ("width", self.width)):
            if side < 1:
                raise ValueError(f"image form: {name} is {side}, expected at least 1 pixel")
        if not 0 < self.content_size <= 1:
            raise ValueError(f"image form: content_size is {self.content_size}, expected above 0 and at most 1")

    def to_json(self) -> dict[str, Any]:
        """The form as plain values that JSON can hold."""
        return asdict(self)

    @staticmethod
    def from_json(values: Any) -> "ImagePreprocessor":
        """The form that `to_json` gave, from values that anything may have happened to.

        Raises
        ------
        ValueError
            Where a value is missing, unknown, of another type or out of range.
        """
        expected = {
            "height": "a whole number of pixels",
            "width": "a whole number of pixels",
            "background": '"dark" or "light"',
            "content_size": "a number above 0 and at most 1",
            "centering": '"mass", "box" or "none"',
        }
        if not isinstance(values, Mapping):
            raise ValueError(f"image form: {values!r} is not a table of {', '.join(expected)}")
        if missing := [name for name in expected if name not in values]:
            raise ValueError(f"image form: {', '.join(missing)} missing")
        if unknown := [str(name) for name in values if name not in expected]:
            raise ValueError(f"image form: unknown {', '.join(unknown)}, expected only {', '.join(expected)}")
        valid = {
            "height": is_whole(values["height"]),
            "width": is_whole(values["width"]),
            "background": values["background"] in ("dark", "light"),
            "content_size": is_whole(values["content_size"]) or isinstance(values["content_size"], float),
            "centering": values["centering"] in ("mass", "box", "none"),
        }
        for name, is_valid in valid.items():
            if not is_valid:
                raise ValueError(f"image form: {name} is {values[name]!r}, expected {expected[name]}")
        return ImagePreprocessor(
            height=values["height"],
            width=values["width"],
            background=values["background"],
            content_size=float(values["content_size"]),
            centering=values["centering"],
        )

    @staticmethod
    def measure(x: Float32[np.ndarray, "rows features"], input_shape: tuple[int, int]) -> "ImagePreprocessor":
        """Measure the form of training images.

        Blank images tell nothing and are left out; where all are blank, the form is that of images filled by their
        content.

        Parameters
        ----------
        x
            The images, a row each, from 0 (black) to 1 (white). Of many, some thousands are measured.
        input_shape
            Height and width in pixels, whose product is the number of features.

        Raises
        ------
        DataError
            Where the rows do not hold images of that shape.
        """
        height, width = input_shape
        if height < 1 or width < 1 or height * width != x.shape[1]:
            message = (
                f"images of {height} × {width} pixels need rows of {height * width} values, these have {x.shape[1]}"
            )
            raise DataError(message)
        images = x[measured_rows(len(x))].reshape(-1, height, width)
        border = images[:, border_mask(height, width)]
        background: Literal["dark", "light"] = "light" if border.size and np.median(border) > 0.5 else "dark"
        ink = images if background == "dark" else 1 - images
        full = ink.max(axis=(1, 2))
        ink, full = ink[full >= FAINTEST_INK], full[full >= FAINTEST_INK]
        if len(ink) == 0:
            return ImagePreprocessor(height, width, background, 1.0, "box")

        marked = ink > BOX_THRESHOLD * full[:, None, None]
        (top, bottom), (left, right) = spans(marked.any(axis=2)), spans(marked.any(axis=1))
        longest = max(height, width)
        content_size = float(np.median(np.maximum(bottom - top, right - left))) / longest

        mass = ink.sum(axis=(1, 2), dtype=np.float64)
        mass_y = ink.sum(axis=2, dtype=np.float64) @ (np.arange(height) + 0.5) / mass
        mass_x = ink.sum(axis=1, dtype=np.float64) @ (np.arange(width) + 0.5) / mass
        by_mass = np.median(np.hypot(mass_y - height / 2, mass_x - width / 2))
        by_box = np.median(np.hypot((top + bottom) / 2 - height / 2, (left + right) / 2 - width / 2))
        centering: Literal["mass", "box", "none"] = "mass" if by_mass < by_box else "box"
        if min(by_mass, by_box) > WIDEST_SCATTER * longest:
            centering = "none"
        return ImagePreprocessor(height, width, background, content_size, centering)


def measured_rows(rows: int) -> slice:
    """Which of so many images are measured: evenly spaced, since they may be stored class by class."""
    return slice(None, None, math.ceil(rows / MEASURED_IMAGES) or 1)


def prepare_image(path: Path, form: ImagePreprocessor) -> Float32[np.ndarray, " features"]:
    """Read a picture file and give it the form that a network was trained on.

    A picture that already has the form's size is only made grey, and inverted where its background is not the
    form's. Of any other, the ink is found, cut out, scaled, stretched to full contrast and placed as in training.

    Parameters
    ----------
    path
        A picture in any format that Pillow reads, of any size, in color or grey, with or without transparency. Of
        an animated one, the first frame counts.
    form
        The form of the training images.

    Returns
    -------
    pixels
        The image row by row, from 0 (black) to 1 (white).

    Raises
    ------
    DataError
        Where the file is missing, not a picture, damaged, too large, or blank.
    MissingDependencyError
        Where Pillow is not installed.
    """
    picture = without_transparency(read_picture(path))
    if picture.size == (form.width, form.height):
        grey = grey_planes(picture)[0]
        if np.ptp(grey) < FAINTEST_INK:
            raise DataError(blank_message(path))
        is_light = np.median(grey[border_mask(*grey.shape)]) > 0.5
        return (1 - grey if is_light != (form.background == "light") else grey).ravel()

    factor = max(picture.size) // WORKING_SIDE
    if factor > 1:
        picture = picture.reduce(factor)
    ink = find_ink(picture, form)
    if ink is None:
        raise DataError(blank_message(path))
    image = fit(*ink, form)
    return (image if form.background == "dark" else 1 - image).ravel()


def read_picture(path: Path) -> Any:
    """The first frame of a picture file, upright, as a Pillow image."""
    pillow = import_optional("PIL.Image", extra="cli", purpose="Reading pictures")
    pillow_operations = import_optional("PIL.ImageOps", extra="cli", purpose="Reading pictures")
    usual = "PNG, JPEG, GIF, BMP, TIFF or WebP"
    too_large = (
        f"{path}: more than {pillow.MAX_IMAGE_PIXELS or 0:,} pixels, too large to open safely. Save a smaller copy."
    )
    try:
        if path.is_dir():
            raise DataError(f"{path}: a folder, not a picture. Name a picture file in it.")
        if not path.exists():
            raise DataError(f"{path}: no such file. Check the name and the folder.")
        if not path.is_file():
            raise DataError(f"{path}: not a regular file. Name a picture saved as {usual}.")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty. Save or download the picture again.")
        file = path.open("rb")
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        message = f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}). Check its permissions."
        raise DataError(message) from error
    with file, warnings.catch_warnings():
        # Pillow warns of odd metadata, which does not concern the pixels.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        try:
            picture = pillow.open(file)
            if 0 in picture.size:
                raise DataError(f"{path}: a picture without pixels ({picture.width} × {picture.height}).")
            picture.load()
        except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
            raise DataError(too_large) from error
        except pillow.UnidentifiedImageError as error:
            message = f"{path}: not a picture in a format that can be read. Save it as {usual}."
            raise DataError(message) from error
        except DECODING_ERRORS as error:
            if isinstance(error, DataError):
                raise
            message = f"{path}: damaged or cut short ({error}). Save it again as {usual}."
            raise DataError(message) from error
        # A picture whose orientation cannot be read is taken as it lies.
        with contextlib.suppress(*DECODING_ERRORS):
            picture = pillow_operations.exif_transpose(picture)
    return picture


def without_transparency(picture: Any) -> Any:
    """The picture in mode L, RGB or F, as it looks on a background that its ink contrasts with."""
    pillow = import_optional("PIL.Image", extra="cli", purpose="Reading pictures")
    if picture.mode == "F" or picture.mode.startswith("I"):
        return deep_grey(picture)
    if not picture.has_transparency_data:
        return picture.convert("L" if picture.mode in ("1", "L") else "RGB")

    picture = picture.convert("RGBA")
    visible = picture.getchannel("A").point(lambda alpha: 255 if alpha >= 128 else 0).getbbox()
    if visible is not None:
        # A sheet with a transparent margin or round corners brings its own background; a drawing does not.
        sheet = np.asarray(picture.crop(visible))
        border = sheet[border_mask(*sheet.shape[:2])]
        opaque = border[:, 3] >= 128
        own = np.median(border[opaque, :3], axis=0) if opaque.any() else np.zeros(3)
        if opaque.mean() >= 0.9 and np.abs(sheet[..., :3] - own)[sheet[..., 3] >= 128].max() >= 255 * FAINTEST_INK:
            backdrop = pillow.new("RGBA", picture.size, (*(round(float(value)) for value in own), 255))
            return pillow.alpha_composite(backdrop, picture).crop(visible).convert("RGB")

    pixels = np.asarray(picture.convert("LA"), dtype=np.float32)
    alpha = pixels[..., 1]
    is_light = (pixels[..., 0] * alpha).sum(dtype=np.float64) > 127.5 * alpha.sum(dtype=np.float64)
    # Where nothing is drawn at all, either background gives a blank picture.
    backdrop = pillow.new("RGBA", picture.size, "black" if is_light else "white")
    return pillow.alpha_composite(backdrop, picture).convert("RGB")


def deep_grey(picture: Any) -> Any:
    """A picture of 16-bit, 32-bit or floating-point grey, in mode F from 0 to 1."""
    pillow = import_optional("PIL.Image", extra="cli", purpose="Reading pictures")
    values = np.nan_to_num(np.asarray(picture).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    transparent = picture.info.get("transparency")
    # Such files do not say which value is white: the least of the usual ones that holds them all.
    whites = {"F": (1.0, 255.0, 65535.0), "I": (255.0, 65535.0)}.get(picture.mode, (65535.0,))
    low, high = float(values.min()), float(values.max())
    white = next((white for white in whites if high <= white), high)
    if low < 0:
        values, white = values - low, high - low
    grey = (values / (white or 1.0)).astype(np.float32)
    if isinstance(transparent, int):
        drawn = values != transparent
        backdrop = 0.0 if drawn.any() and grey[drawn].mean() > 0.5 else 1.0
        grey = np.where(drawn, grey, np.float32(backdrop))
    return pillow.fromarray(grey)


def grey_planes(picture: Any) -> list[Float32[np.ndarray, "height width"]]:
    """The picture's luminance from 0 to 1, and where it has color, its red, green and blue."""
    if picture.mode == "F":
        return [np.asarray(picture)]
    luminance = np.asarray(picture.convert("L"), dtype=np.float32) / 255
    if picture.mode == "L":
        return [luminance]
    red, green, blue = (np.asarray(band, dtype=np.float32) / 255 for band in picture.split())
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return [luminance]
    return [luminance, red, green, blue]


def find_ink(
    picture: Any, form: ImagePreprocessor
) -> tuple[Float32[np.ndarray, "height width"], Bool[np.ndarray, "height width"]] | None:
    """How far each pixel stands out from the background, positive for ink, and which pixels are ink, or None."""
    from scipy import ndimage

    planes = grey_planes(picture)
    if picture.mode == "F" and planes[0].max() > 0:
        # Deep pictures often use only the lowest part of their range.
        planes = [planes[0] / planes[0].max()]
    height, width = planes[0].shape
    # Noise is smoothed away for the search where the picture has pixels to spare.
    blur = 1.0 if max(height, width) >= 4 * max(form.height, form.width) else 0.0
    # Of the blurred map, the level that a speck of dust does not reach.
    few = max(1, height * width // 10_000)

    found: tuple[Any, Any, float] | None = None
    for plane in planes:
        contrast = plane - background_of(plane)
        smooth = ndimage.gaussian_filter(contrast, blur) if blur else contrast
        if (smooth * np.abs(smooth)).sum(dtype=np.float64) < 0:
            contrast, smooth = -contrast, -smooth
        peak = float(np.partition(smooth, -few, axis=None)[-few])
        # Luminance, which comes first, is the least noisy: a color must show the ink clearly better.
        if found is None or peak > 1.5 * found[2]:
            found = contrast, smooth, peak
    assert found is not None
    contrast, smooth, peak = found

    noise = 1.4826 * float(np.median(np.abs(smooth[border_mask(height, width, margin(height, width))])))
    if peak < max(FAINTEST_INK, min(5 * noise, 0.4)):
        return None
    full = float(smooth[smooth >= peak / 2].mean())
    threshold = min(max(BOX_THRESHOLD * full, 5 * noise, FAINTEST_INK / 2), 0.4 * full)
    labels, count = ndimage.label(smooth > threshold, structure=np.ones((3, 3)))
    # Shadows have no core as strong as ink, dust is small, a scanner's dark edge hugs the picture's. Label 0: no part.
    mass = np.bincount(labels.ravel(), weights=smooth.ravel(), minlength=count + 1)
    has_core = np.bincount(labels[smooth >= full / 2], minlength=count + 1) > 0
    has_core[0] = False
    inside = np.array([False, *(not hugs_edge(part, height, width) for part in ndimage.find_objects(labels))])
    kept = has_core & inside if (has_core & inside).any() else has_core
    kept &= mass >= 0.03 * mass[kept].max()
    # The smoothing, which spread the ink by a pixel, is undone.
    return contrast, kept[labels] & (contrast > threshold)


def background_of(plane: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """The background's brightness under the ink: a quadratic surface, for uneven light and soft shadows.

    It starts as the plane through most of the picture's border, and is then fitted to all pixels that agree with it.
    """
    height, width = plane.shape
    rows = np.linspace(0, height - 1, min(height, 64)).round().astype(int)
    columns = np.linspace(0, width - 1, min(width, 64)).round().astype(int)
    samples = plane[np.ix_(rows, columns)].astype(np.float64).ravel()
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    powers = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
    terms = np.stack([(y[rows] ** i * x[:, columns] ** j).ravel() for i, j in powers], axis=1)

    border = border_mask(len(rows), len(columns), margin(len(rows), len(columns))).ravel()
    coefficients = np.zeros(6)
    coefficients[0] = np.median(samples[border])
    coefficients[:3] = least_absolute(terms[border, :3], samples[border], coefficients[:3])
    residual = samples - terms @ coefficients
    tolerance = min(max(4 * float(np.median(np.abs(residual[border]))), 0.02), 0.25)
    for _ in range(5):
        agreeing = np.abs(residual) <= tolerance
        if agreeing.sum() < 12:
            break
        coefficients = least_squares(terms[agreeing], samples[agreeing])
        residual = samples - terms @ coefficients
    surface = np.zeros(plane.shape)
    for coefficient, (i, j) in zip(coefficients, powers, strict=True):
        surface += coefficient * y**i * x**j
    return surface.astype(np.float32)


def least_absolute(
    terms: Float64[np.ndarray, "samples terms"],
    samples: Float64[np.ndarray, " samples"],
    start: Float64[np.ndarray, " terms"],
) -> Float64[np.ndarray, " terms"]:
    """Coefficients of the least sum of absolute residuals: what the median is to the mean. Ink does not move them."""
    coefficients = start
    for _ in range(20):
        weights = 1 / np.sqrt(np.maximum(np.abs(samples - terms @ coefficients), 1e-3))
        coefficients = least_squares(terms * weights[:, None], samples * weights)
    return coefficients


def least_squares(
    terms: Float64[np.ndarray, "samples terms"], samples: Float64[np.ndarray, " samples"]
) -> Float64[np.ndarray, " terms"]:
    """Coefficients of the least sum of squared residuals, by the few normal equations: the terms are far from alike."""
    solution: np.ndarray = np.linalg.lstsq(terms.T @ terms, terms.T @ samples, rcond=None)[0]
    return solution


def fit(
    contrast: Float32[np.ndarray, "height width"], is_ink: Bool[np.ndarray, "height width"], form: ImagePreprocessor
) -> Float32[np.ndarray, "form_height form_width"]:
    """The ink alone, light on dark from 0 to 1, of the form's size, extent and placement."""
    from scipy import ndimage

    pillow = import_optional("PIL.Image", extra="cli", purpose="Reading pictures")
    if form.centering == "none":
        # Where the content lies is part of what was learned: the whole picture is fitted in.
        content_size = 1.0
        spanned = [(0, side) for side in is_ink.shape]
    else:
        content_size = form.content_size
        ends = [spans(np.asarray(is_ink.any(axis=1 - axis))) for axis in (0, 1)]
        spanned = [(int(first), int(end)) for first, end in ends]
    sides = (form.height, form.width)
    lengths = [end - start for start, end in spanned]
    scale = min(content_size * max(sides) / max(lengths), *(side / n for side, n in zip(sides, lengths, strict=True)))
    # Soft edges reach a little beyond the pixels that were found, about half a pixel of the form.
    near = ndimage.maximum_filter(is_ink, size=2 * max(1, round(0.5 / scale)) + 1)
    cut = np.where(near, contrast, np.float32(0))[tuple(slice(*span) for span in spanned)]

    starts, padding = [], []
    for axis, (side, length) in enumerate(zip(sides, lengths, strict=True)):
        room = side - length * scale
        if form.centering == "mass":
            # As MNIST did: in whole pixels, the center of mass goes to the pixel side // 2.
            along = np.maximum(cut, 0).sum(axis=1 - axis, dtype=np.float64)
            center = scale * float(along @ (np.arange(length) + 0.5)) / float(along.sum()) - 0.5
            start: float = min(max(side // 2 - round(center), 0), math.floor(room + 1e-6))
        else:
            start = room / 2
        starts.append(start)
        padding.append((math.ceil(start / scale) + 1, math.ceil((room - start) / scale) + 1))
    # The window on the padded cut that becomes the image, in the picture's own pixels.
    corner = [before - start / scale for (before, _), start in zip(padding, starts, strict=True)]
    window = (corner[1], corner[0], corner[1] + form.width / scale, corner[0] + form.height / scale)
    padded = pillow.fromarray(np.pad(cut, padding))
    image = np.asarray(padded.resize((form.width, form.height), pillow.Resampling.LANCZOS, box=window))
    full = np.percentile(image[image > image.max() / 4], 90)
    stretched: np.ndarray = np.clip(image / full, 0, 1).astype(np.float32)
    return stretched


def border_mask(height: int, width: int, thickness: int = 1) -> Bool[np.ndarray, "height width"]:
    """Which pixels are the outermost of an image."""
    mask = np.ones((height, width), bool)
    mask[thickness : height - thickness, thickness : width - thickness] = False
    return mask


def margin(height: int, width: int) -> int:
    """How many pixels deep the border of a picture is looked at: a fortieth of its shorter side."""
    return max(1, min(height, width) // 40)


def hugs_edge(slices: tuple[slice, slice], height: int, width: int) -> bool:
    """Whether a part that touches the picture's edge reaches no deeper than a sixteenth of the picture."""
    for part, side in zip(slices, (height, width), strict=True):
        at_start = part.start == 0 and part.stop <= side / 16
        at_end = part.stop == side and part.start >= side * 15 / 16
        if at_start or at_end:
            return True
    return False


def spans(
    marked: Bool[np.ndarray, "*images side"],
) -> tuple[Shaped[np.ndarray, "*images"], Shaped[np.ndarray, "*images"]]:
    """The first marked position along the last axis, and the one after the last."""
    first = marked.argmax(axis=-1)
    end = marked.shape[-1] - marked[..., ::-1].argmax(axis=-1)
    return np.asarray(first), np.asarray(end)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def blank_message(path: Path) -> str:
    return f"{path}: a blank picture, nothing stands out from its background. Draw darker or crop to what is drawn."
