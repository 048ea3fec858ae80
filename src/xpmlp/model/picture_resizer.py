"""How photos become inputs: the whole picture, scaled down to the size that a network was trained on."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from jaxtyping import UInt8

from .ink import border_mask
from .picture_file import opaque, open_picture

LARGEST_SIDE = 1024  # of an input
Side = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SIDE)]


class PictureResizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The size and colors of the inputs; the object ``resizer`` in a model file.

    Attributes
    ----------
    height, width
        In pixels.
    channels
        3 for red, green and blue; 1 for grey.
    """

    height: Side
    width: Side
    channels: Literal[1, 3]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an input: height and width, and 3 if it is in color."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, 3)

    def read(self, path: Path | Any) -> UInt8[np.ndarray, "height width *color"]:
        """Read a picture, upright, as large as it fits, the rest filled with the usual color of its border.

        Transparent pictures are laid on white.

        Raises
        ------
        DataError
            If the file is missing, not a picture, damaged, or too large.
        MissingDependencyError
            If Pillow is not installed.
        """
        size = (self.width, self.height)
        picture = fit_into(opaque(open_picture(path, near=size)), size)
        return np.asarray(picture.convert("L") if self.channels == 1 else picture)


def fit_into(picture: Any, size: tuple[int, int]) -> Any:
    """Return an RGB picture, scaled to touch two opposite sides of one of that size, in its middle."""
    from PIL import Image

    if picture.size == size:
        return picture
    scale = min(side / length for side, length in zip(size, picture.size, strict=True))
    width, height = (max(1, round(length * scale)) for length in picture.size)
    scaled = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if scaled.size == size:
        return scaled
    border = np.asarray(scaled)[border_mask(height, width)]
    sheet = Image.new("RGB", size, tuple(int(value) for value in np.median(border, axis=0)))
    sheet.paste(scaled, ((size[0] - width) // 2, (size[1] - height) // 2))
    return sheet
