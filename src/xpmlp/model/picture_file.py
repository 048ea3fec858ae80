"""Picture files of every kind, read into the three modes that the rest of the package works with."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from xpmlp.errors import DataError
from xpmlp.optional_imports import import_optional
from xpmlp.whole_files import open_data

from .ink import FAINTEST_INK, border_mask

FORMATS = "PNG, JPEG, GIF, BMP, TIFF or WebP"


def read_picture(path: Path | Any) -> Any:
    """Read the first frame of a picture file, or take a picture of Pillow; return it upright and opaque.

    Returns
    -------
    picture
        A Pillow image in mode L, RGB or F (from 0 to 1). Transparency is replaced by a background that contrasts with
        the ink.

    Raises
    ------
    DataError
        If the file is missing, not a picture, damaged, or too large.
    """
    picture = open_picture(path)
    from PIL import Image

    if picture.mode == "F" or picture.mode.startswith("I"):
        return deep_grey(picture)
    if not picture.has_transparency_data:
        return picture.convert("L" if picture.mode in ("1", "L") else "RGB")

    picture = picture.convert("RGBA")
    visible = picture.getchannel("A").point(lambda alpha: 255 if alpha >= 128 else 0).getbbox()
    if visible is not None:
        # A sheet with a transparent margin or round corners has its own background; a drawing has none.
        sheet = np.asarray(picture.crop(visible))
        border = sheet[border_mask(*sheet.shape[:2])]
        opaque = border[:, 3] >= 128
        own = np.median(border[opaque, :3], axis=0) if opaque.any() else np.zeros(3)
        if opaque.mean() >= 0.9 and np.abs(sheet[..., :3] - own)[sheet[..., 3] >= 128].max() >= 255 * FAINTEST_INK:
            backdrop = Image.new("RGBA", picture.size, (*(round(float(value)) for value in own), 255))
            return Image.alpha_composite(backdrop, picture).crop(visible).convert("RGB")

    pixels = np.asarray(picture.convert("LA"), dtype=np.float32)
    alpha = pixels[..., 1]
    is_light = (pixels[..., 0] * alpha).sum(dtype=np.float64) > 127.5 * alpha.sum(dtype=np.float64)
    # If nothing is drawn at all, either background gives a blank picture.
    backdrop = Image.new("RGBA", picture.size, "black" if is_light else "white")
    return Image.alpha_composite(backdrop, picture).convert("RGB")


def open_picture(path: Path | Any, near: tuple[int, int] | None = None) -> Any:
    """Read the first frame of a picture file, upright, in any of Pillow's modes; see `read_picture`.

    A JPEG file is decoded at a fraction of its size, for speed, if that is still twice the size `near`.
    """
    pillow = import_optional("PIL.Image", extra="cli", purpose="Reading pictures")
    operations = import_optional("PIL.ImageOps", extra="cli", purpose="Reading pictures")
    if not isinstance(path, Path):
        return operations.exif_transpose(path)
    with open_data(path, "a picture") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata, which does not affect the pixels
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        if not path.stat().st_size:
            raise DataError(f"{path}: the file is empty. Save or download the picture again.")
        try:
            picture = pillow.open(file)
            if near is not None:
                picture.draft(None, (2 * near[0], 2 * near[1]))
            picture.load()
        except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
            problem = f"more than {pillow.MAX_IMAGE_PIXELS or 0:,} pixels, too large to open safely"
            raise DataError(f"{path}: {problem}. Save a smaller copy.") from error
        except pillow.UnidentifiedImageError as error:
            raise DataError(f"{path}: not a picture in a known format. Save it as {FORMATS}.") from error
        except Exception as error:  # Pillow's decoders raise errors of a dozen types on damaged files
            raise DataError(f"{path}: damaged or cut short ({error}). Save it again as {FORMATS}.") from error
        with contextlib.suppress(Exception):  # an unreadable orientation is ignored
            picture = operations.exif_transpose(picture)
    if 0 in picture.size:
        raise DataError(f"{path}: a picture without pixels ({picture.width} × {picture.height}).")
    return picture


def picture_size(path: Path | Any) -> tuple[int, int, bool] | None:
    """Return the width and height that a file or picture states, and whether it is opaque; None if it is unreadable."""
    pillow = import_optional("PIL.Image", extra="cli", purpose="Reading pictures")
    try:
        with warnings.catch_warnings(action="ignore"):
            opened = pillow.open(path) if isinstance(path, Path) else contextlib.nullcontext(path)
            with opened as picture:
                return (*picture.size, not picture.has_transparency_data)
    except Exception:  # noqa: BLE001 - as above; reading the picture reports the error
        return None


def opaque(picture: Any) -> Any:
    """Return the picture in mode RGB, on white if it is transparent."""
    from PIL import Image

    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = Image.fromarray(np.rint(255 * np.asarray(deep_grey(picture))).astype(np.uint8))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def deep_grey(picture: Any) -> Any:
    """Return a picture of 16-bit, 32-bit or floating-point grey in mode F, from 0 to 1."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(picture).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    transparent = picture.info.get("transparency")
    # Such files do not state which value is white: assume the smallest of the usual ones that holds all values.
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
    return Image.fromarray(grey)
