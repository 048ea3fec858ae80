"""How a picture of any kind becomes an image like those that a network was trained on.

A network knows one kind of image: one size, ink of one polarity and extent, placed in one way. `ImagePreprocessor` is
measured from the training images. `prepare_marks` applies it to a photo, scan or drawing.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from jaxtyping import Bool, Float32, Int64

from xpmlp.errors import DataError

from .ink import BOX_THRESHOLD, FAINTEST_INK, border_mask, find_marks, grey_planes
from .picture_file import read_picture
from .picture_resizer import PictureResizer

# Placements that scatter by more than this fraction of the image's longest side are not centered.
WIDEST_SCATTER = 0.1
MEASURED_IMAGES = 5000
# Images show ink if half of their border is as near as this to black, or to white.
EVEN = 0.15
# Larger pictures are first reduced to about this many pixels a side, which also averages out noise and texture.
WORKING_SIDE = 1024


class ImagePreprocessor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The format of the training images; the object ``image_form`` in a model file.

    Attributes
    ----------
    height, width
        In pixels.
    background
        ``"dark"`` if the ink is lighter than its surroundings, ``"light"`` if it is darker.
    content_size
        Median longest side of the ink's bounding box, as a fraction of the image's longest side.
    centering
        What lies at the image's center: the ink's center of ``"mass"``, the center of its bounding ``"box"``, or
        neither (``"none"``).
    """

    height: Annotated[int, msgspec.Meta(ge=1)]
    width: Annotated[int, msgspec.Meta(ge=1)]
    background: Literal["dark", "light"]
    content_size: Annotated[float, msgspec.Meta(gt=0, le=1)]
    centering: Literal["mass", "box", "none"]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of an input."""
        return self.height, self.width

    @staticmethod
    def measure(x: Float32[np.ndarray, "rows features"], input_shape: tuple[int, int]) -> "ImagePreprocessor":
        """Measure the format of training images.

        Blank images are skipped; if all are blank, content is assumed to fill the image.

        Parameters
        ----------
        x
            One image per row, from 0 (black) to 1 (white). At most a few thousand of them are measured.
        input_shape
            Height and width in pixels.
        """
        height, width = input_shape
        images = x[measured_rows(len(x))].reshape(-1, height, width)
        border = images[:, border_mask(height, width)]
        background: Literal["dark", "light"] = "light" if border.size and np.median(border) > 0.5 else "dark"
        ink = images if background == "dark" else 1 - images
        full = ink.max(axis=(1, 2))
        ink, full = ink[full >= FAINTEST_INK], full[full >= FAINTEST_INK]
        if len(ink) == 0:
            return ImagePreprocessor(height, width, background, 1.0, "box")

        # Along each axis: the bounding box, and the distances of its center and of the center of mass from the middle.
        marked, mass = ink > BOX_THRESHOLD * full[:, None, None], ink.sum(axis=(1, 2), dtype=np.float64)
        extents, from_box, from_mass = [], [], []
        for other, side in ((2, height), (1, width)):
            occupied = marked.any(axis=other)
            start, end = occupied.argmax(axis=1), side - occupied[:, ::-1].argmax(axis=1)
            extents.append(end - start)
            from_box.append((start + end - side) / 2)
            from_mass.append(ink.sum(axis=other, dtype=np.float64) @ (np.arange(side) + 0.5) / mass - side / 2)
        longest = max(height, width)
        content_size = float(np.median(np.maximum(*extents))) / longest
        by_mass, by_box = np.median(np.hypot(*from_mass)), np.median(np.hypot(*from_box))
        centering: Literal["mass", "box", "none"] = "mass" if by_mass < by_box else "box"
        if min(by_mass, by_box) > WIDEST_SCATTER * longest:
            centering = "none"
        return ImagePreprocessor(height, width, background, content_size, centering)


def measure_images(
    x: Float32[np.ndarray, "rows features"], input_shape: tuple[int, ...]
) -> ImagePreprocessor | PictureResizer:
    """Return how pictures become inputs like these images: their ink alone if these show ink, else as a whole."""
    height, width, *colors = input_shape
    if not colors:
        border = x.reshape(-1, height, width)[:, border_mask(height, width)]
        is_even = np.abs(border - np.round(np.median(border))) < EVEN
        if not border.size or is_even.mean() >= 0.5:
            return ImagePreprocessor.measure(x, (height, width))
    return PictureResizer(height, width, 3 if colors else 1)


def measured_rows(rows: int, most: int = MEASURED_IMAGES) -> Int64[np.ndarray, " measured"]:
    """Return the rows to measure, drawn from all, because images may be stored class by class, or classes in turn."""
    return np.sort(np.random.default_rng(0).choice(rows, min(rows, most), replace=False))


def prepare_marks(
    path: Path | Any, preprocessor: ImagePreprocessor | PictureResizer, *, single: bool = False
) -> Float32[np.ndarray, "marks features"]:
    """Read a picture and convert each mark in it, such as a digit, to an image like those of the training set.

    For a model of photos, the picture is resized as a whole.

    A picture of the right size is only converted to grey, and inverted if its background differs. In any other, the ink
    is found, split into marks (see `xpmlp.model.ink`), and each is cropped, scaled, stretched to full contrast and
    placed as in training (see `place_ink`).

    Parameters
    ----------
    path
        A picture of any size in any format that Pillow reads, in color or grey, with or without transparency; or one
        that is a picture of Pillow already. Only the first frame of an animation is used.
    single
        Whether all ink is one mark.

    Returns
    -------
    images
        A row for each mark, in the order of reading: the image row by row, from 0 (black) to 1 (white).

    Raises
    ------
    DataError
        If the file is missing, not a picture, damaged, too large, or blank.
    MissingDependencyError
        If Pillow is not installed.
    """
    if isinstance(preprocessor, PictureResizer):
        return preprocessor.read(path).reshape(1, -1).astype(np.float32) / 255
    picture = read_picture(path)
    if picture.size == (preprocessor.width, preprocessor.height):
        grey = grey_planes(picture)[0]
        if np.ptp(grey) >= FAINTEST_INK:
            is_light = np.median(grey[border_mask(*grey.shape)]) > 0.5
            return (1 - grey if is_light != (preprocessor.background == "light") else grey).reshape(1, -1)
    else:
        if max(picture.size) >= 2 * WORKING_SIDE:
            picture = picture.reduce(max(picture.size) // WORKING_SIDE)
        # If the position in the picture was learned, the picture is one mark, and is kept whole.
        whole = preprocessor.centering == "none"
        longest_side = max(preprocessor.height, preprocessor.width)
        if found := find_marks(picture, longest_side, may_crop=not whole):
            contrast, marks = found
            marks = [np.logical_or.reduce(marks)] if single or whole else marks
            images = np.stack([place_ink(contrast, mark, preprocessor).ravel() for mark in marks])
            return images if preprocessor.background == "dark" else 1 - images
    name = path if isinstance(path, Path) else "the picture"
    raise DataError(
        f"{name}: the picture is blank, nothing stands out from its background. Draw darker, or crop it to the drawing."
    )


def place_ink(
    contrast: Float32[np.ndarray, "height width"],
    is_ink: Bool[np.ndarray, "height width"],
    preprocessor: ImagePreprocessor,
) -> Float32[np.ndarray, "new_height new_width"]:
    """Return the ink alone, light on dark from 0 to 1, in the size, extent and placement of the training images."""
    from PIL import Image
    from scipy import ndimage

    if preprocessor.centering == "none":
        # The position of the content is part of what was learned: keep the whole picture.
        content_size, box = 1.0, tuple(slice(0, side) for side in is_ink.shape)
    else:
        content_size, box = preprocessor.content_size, ndimage.find_objects(is_ink.astype(np.int8))[0]
    sides = (preprocessor.height, preprocessor.width)
    lengths = [part.stop - part.start for part in box]
    scale = min(content_size * max(sides) / max(lengths), *(side / n for side, n in zip(sides, lengths, strict=True)))
    # Soft edges reach a little beyond the pixels that were found, about half a pixel of the result.
    near = ndimage.maximum_filter(is_ink, size=2 * max(1, round(0.5 / scale)) + 1)
    crop = np.where(near, contrast, np.float32(0))[box]

    # The window of the padded crop that becomes the image, as (start, end) along each axis, in the picture's pixels.
    window, padding = [], []
    for axis, (side, length) in enumerate(zip(sides, lengths, strict=True)):
        room = side - length * scale
        start: float = room / 2
        if preprocessor.centering == "mass":
            # As in MNIST: in whole pixels, the center of mass goes to the pixel side // 2.
            along = np.maximum(crop, 0).sum(axis=1 - axis, dtype=np.float64)
            center = scale * float(along @ (np.arange(length) + 0.5)) / float(along.sum()) - 0.5
            start = min(max(side // 2 - round(center), 0), math.floor(room + 1e-6))
        before, after = math.ceil(start / scale) + 1, math.ceil((room - start) / scale) + 1
        padding.append((before, after))
        window.append((before - start / scale, before + (side - start) / scale))
    (top, bottom), (left, right) = window
    resized = Image.fromarray(np.pad(crop, padding)).resize(
        sides[::-1], Image.Resampling.LANCZOS, box=(left, top, right, bottom)
    )
    image = np.asarray(resized)
    full = np.percentile(image[image > image.max() / 4], 90)
    return np.asarray(np.clip(image / full, 0, 1), np.float32)
