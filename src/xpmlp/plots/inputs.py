"""Pictures beside the inputs that a network sees of them."""

import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from xpmlp.optional_imports import import_optional

ROW, MARGIN, CAPTION, LETTER = 168, 12, 16, 6  # pixels


def draw_inputs(
    names: Sequence[str],
    open_picture: Callable[[str], Any],
    images: Float32[np.ndarray, "marks height width *color"],
    labels: Shaped[np.ndarray, " marks"],
) -> bytes:
    """Return a PNG file with a row for each picture: the picture, and each input made of it with its label.

    Parameters
    ----------
    names
        The picture of each input; those of one picture are neighbours.
    open_picture
        Returns the Pillow image of a name; None if it is no picture, as for the rows of an IDX file.
    """
    pillow = import_optional("PIL.Image", extra="cli", purpose="Showing inputs")
    draw_module = import_optional("PIL.ImageDraw", extra="cli", purpose="Showing inputs")
    rows = []
    samples = zip(names, images, labels.tolist(), strict=True)
    for name, group in itertools.groupby(samples, key=lambda sample: sample[0]):
        tiles = []
        if (picture := open_picture(name)) is not None:
            picture = picture.point(lambda value: 255 * value).convert("L") if picture.mode == "F" else picture
            picture = picture.convert("RGB")
            picture.thumbnail((2 * ROW, ROW))
            tiles.append((picture, name))
        for _, image, label in group:
            seen = pillow.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)).convert("RGB")
            factor = ROW / max(seen.size)
            sides = [max(1, round(side * factor)) for side in seen.size]
            tiles.append((seen.resize(sides, pillow.Resampling.NEAREST), str(label)))
        rows.append(tiles)
    # A caption may be wider than a small picture.
    widths = [[max(tile.width, min(LETTER * len(text), ROW)) for tile, text in tiles] for tiles in rows]
    width = max(sum(row) + MARGIN * len(row) for row in widths) + MARGIN
    sheet = pillow.new("RGB", (width, len(rows) * (ROW + CAPTION + MARGIN) + MARGIN), "white")
    draw = draw_module.Draw(sheet)
    for index, tiles in enumerate(rows):
        left, top = MARGIN, MARGIN + index * (ROW + CAPTION + MARGIN)
        for (tile, caption), room in zip(tiles, widths[index], strict=True):
            sheet.paste(tile, (left, top))
            draw.text((left, top + tile.height + 2), shorten(caption, room // LETTER), fill="black")
            left += room + MARGIN
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def shorten(text: str, length: int) -> str:
    """Return the end of a text, in the characters that Pillow's own font has."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    return text if len(text) <= length else f"...{text[-max(1, length - 3) :]}"
