"""The first layer's weights, as images of what each unit looks for."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

from .style import house_style, new_figure, shortened, to_png, wrapped

MOST_UNITS = 96
LONGEST_SIDE, GAP, NAME_HEIGHT = 0.9, 0.08, 0.2  # inches, of each image and around it


@house_style()
def draw_weights(
    weight: Float[np.ndarray, "inputs units"],
    input_shape: tuple[int, int],
    title: str,
    *,
    classes: Sequence[int | str] = (),
) -> bytes:
    """Draw the weights of each unit of the first layer in the place of the pixels that they belong to.

    Of many units, those with the largest weights are shown.

    Parameters
    ----------
    classes
        What the units stand for where the first layer is also the last.
    """
    units = weight.shape[1]
    strengths = np.linalg.norm(weight.astype(np.float64), axis=0)
    shown = np.sort(np.argsort(-strengths, kind="stable")[:MOST_UNITS])
    names = [shortened(str(name), 10) for name in classes] if len(classes) == units == len(shown) else []
    pixel = LONGEST_SIDE / max(input_shape)
    gap, name_gap = math.ceil(GAP / pixel), math.ceil(NAME_HEIGHT / pixel) if names else 0
    height, width = input_shape[0] + gap + name_gap, input_shape[1] + gap
    if names:
        width = max(width, math.ceil(LONGEST_SIDE / pixel) + gap)
    # Half as wide again as high, whatever the proportions of one image.
    columns = min(len(shown), max(1, round(math.sqrt(len(shown) * 1.5 * height / width))))
    mosaic = place_tiles(weight[:, shown], input_shape, (height, width), columns)
    # Beyond the scale's ends lie so few weights that all others can be told apart.
    limit = float(np.quantile(np.abs(weight[:, shown]), 0.999)) or 1.0

    which = f"the {len(shown)} of {units:,} units with the largest weights" if units > len(shown) else f"{units} units"
    which = "each class" if names else "the one unit" if units == 1 else which
    across = max(5.2, mosaic.shape[1] * pixel + 1.3)
    figure = new_figure(across, max(1.2, mosaic.shape[0] * pixel) + 0.9)
    # Of matplotlib's layouts, this one knows of axes of a fixed proportion.
    figure.set_layout_engine("compressed")
    figure.suptitle(f"{wrapped(title, across)}\n{wrapped(f'First layer: weights of {which}', across)}")
    axes = figure.subplots()
    axes.axis("off")
    image = axes.imshow(mosaic, cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest")
    for place, name in enumerate(names):
        line, column = divmod(place, columns)
        x, y = column * width + (width - gap) / 2 - 0.5, line * height + name_gap - 0.5
        axes.text(x, y, name, ha="center", va="bottom", fontsize="small")
    figure.colorbar(image, ax=axes, label="weight", fraction=0.03, aspect=30, shrink=0.8, extend="both")
    return to_png(figure)


def place_tiles(
    weight: Float[np.ndarray, "inputs units"], input_shape: tuple[int, int], tile: tuple[int, int], columns: int
) -> Float64[np.ndarray, "height width"]:
    """Return the units' images side by side, each at the bottom and in the middle of its tile; NaN around them."""
    units = weight.shape[1]
    lines = -(-units // columns)
    height, width = input_shape
    gap = math.ceil(GAP / LONGEST_SIDE * max(input_shape))
    mosaic = np.full((lines * tile[0] - gap, columns * tile[1] - gap), np.nan)
    for place in range(units):
        line, column = divmod(place, columns)
        top = line * tile[0] + tile[0] - gap - height
        left = column * tile[1] + (tile[1] - gap - width) // 2
        mosaic[top : top + height, left : left + width] = weight[:, place].reshape(height, width)
    return mosaic
