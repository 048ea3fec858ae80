"""The first layer's weights, as images of what each unit looks for."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .style import Picture, add_axes, house_style, new_figure, shortened, to_png, wrapped

MOST_UNITS = 96
LONGEST_SIDE, GAP, NAME_HEIGHT = 0.9, 0.08, 0.2  # inches, of each image and around it


@house_style()
def draw_weights(
    weight: Float[np.ndarray, "inputs units"],
    input_shape: tuple[int, ...],
    title: str,
    *,
    classes: Sequence[int | str] = (),
) -> Picture:
    """Draw the weights of each unit of the first layer as an image, each weight at its pixel.

    Of many units, those with the largest weights are shown. If the first layer is also the last, its units are named
    by the classes. The weights of red, green and blue are drawn in these colors, with grey for 0.
    """
    units = weight.shape[1]
    strengths = np.linalg.norm(weight.astype(np.float64), axis=0)
    shown = np.sort(np.argsort(-strengths, kind="stable")[:MOST_UNITS])
    weight = weight[:, shown]
    names = [shortened(str(name), 10) for name in classes] if len(classes) == units == len(shown) else []

    # Each unit is a tile: a gap for its name, its image, and a gap to the next tile on the right and below.
    image_height, image_width, *colors = input_shape
    pixel = LONGEST_SIDE / max(image_height, image_width)
    gap, name_gap = math.ceil(GAP / pixel), math.ceil(NAME_HEIGHT / pixel) if names else 0
    height = name_gap + image_height + gap
    width = max(image_width, math.ceil(LONGEST_SIDE / pixel) if names else 0) + gap
    # The mosaic is half as wide again as high, whatever the proportions of one image.
    columns = min(len(shown), max(1, round(math.sqrt(len(shown) * 1.5 * height / width))))
    lines = -(-len(shown) // columns)
    tiles = np.full((lines * columns, height, width, *colors), np.nan)
    left = (width - gap - image_width) // 2
    images = weight.T.reshape(-1, *input_shape)
    tiles[: len(shown), name_gap : name_gap + image_height, left : left + image_width] = images
    mosaic = tiles.reshape(lines, columns, height, width, *colors).swapaxes(1, 2)
    mosaic = mosaic.reshape(lines * height, columns * width, *colors)
    mosaic = mosaic[:-gap, :-gap]
    # A thousandth of the weights lies beyond the color scale, so that all others can be told apart.
    limit = float(np.quantile(np.abs(weight), 0.999)) or 1.0

    which = f": {len(shown)} strongest of {units:,} units" if units > len(shown) else f": {units} units"
    which = " by class" if names else ": its only unit" if units == 1 else which
    across = max(5.2, mosaic.shape[1] * pixel + 1.3)
    heading = wrapped(f"{title}\nWeights of the first layer{which}", across)
    high = max(1.2, mosaic.shape[0] * pixel)
    figure = new_figure(across, high + 0.35 + 0.2 * len(heading.splitlines()), heading, layout="none")
    axes, scale_axes = (
        add_axes(figure, 0.15, 0.15, across - 1.3, high),
        add_axes(figure, across - 1.0, 0.15, 0.15, high),
    )
    axes.axis("off")
    if colors:
        mosaic = np.nan_to_num(np.clip(0.5 + mosaic / (2 * limit), 0.0, 1.0), nan=1.0)
    image = axes.imshow(mosaic, cmap="gray" if colors else "PuOr", vmin=-limit, vmax=limit, interpolation="nearest")
    for place, name in enumerate(names):
        line, column = divmod(place, columns)
        x, y = column * width + (width - gap) / 2 - 0.5, line * height + name_gap - 0.5
        axes.text(x, y, name, ha="center", va="bottom", fontsize="small")
    figure.colorbar(image, cax=scale_axes, label="weight", extend="both")
    return to_png(figure)
