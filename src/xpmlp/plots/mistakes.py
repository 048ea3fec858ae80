"""The mistakes that cost most, with what the network considered."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from .style import BLUE, GREY, ORANGE, house_style, new_figure, shortened, to_png, wrapped

CLASSES_SHOWN = 3
CELL, IMAGE, BARS = 3.6, 1.5, 1.7  # inches in width


@house_style()
def draw_mistakes(
    images: Float[np.ndarray, "rows height width"],
    truth: Int64[np.ndarray, " rows"],
    probabilities: Float[np.ndarray, "rows classes"],
    classes: Sequence[int | str],
    title: str,
    *,
    columns: int = 3,
    most: int = 12,
) -> bytes:
    """Draw the mistakes in which the true class was the least probable, each with the classes that were likeliest.

    Parameters
    ----------
    truth
        The position of each image's class in `classes`.

    Raises
    ------
    ValueError
        Where there are no mistakes.
    """
    rows = np.arange(len(truth))
    wrong = np.flatnonzero(np.argmax(probabilities, axis=1) != truth)
    if not len(wrong):
        raise ValueError("there are no mistakes to draw")
    worst = wrong[np.argsort(probabilities[rows, truth][wrong], kind="stable")][:most]
    lines = -(-len(worst) // columns)
    # Three bars with their names need an inch.
    of_images = min(max(IMAGE * images.shape[1] / images.shape[2], 1.0), IMAGE)
    part = (
        f"The {len(worst)} worst of {len(wrong):,} mistakes"
        if len(worst) < len(wrong)
        else f"All {len(wrong)} mistakes"
    )
    part = "The only mistake" if len(wrong) == 1 else part
    heading = f"{part}: what {'it' if len(wrong) == 1 else 'each'} is, and what it was taken for"
    width = CELL * columns
    heading = f"{wrapped(title, width)}\n{wrapped(heading, width)}"
    above, line_height = 0.3 + 0.22 * len(heading.splitlines()), of_images + 0.45
    height = above + lines * line_height
    figure = new_figure(width, height)
    # All sizes are known, and matplotlib's layouts would take longer than the drawing.
    figure.set_layout_engine("none")
    figure.suptitle(heading, y=1.0 - 0.08 / height, va="top")
    for place, index in enumerate(worst):
        line, column = divmod(place, columns)
        bottom = height - above - line * line_height - of_images
        left = CELL * column + 0.1
        image_axes = figure.add_axes((left / width, bottom / height, IMAGE / width, of_images / height))
        left += IMAGE + 0.15
        bar_axes = figure.add_axes((left / width, bottom / height, BARS / width, of_images / height))
        for axes in (image_axes, bar_axes):
            axes.axis("off")
        image_axes.imshow(images[index], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
        name = shortened(str(classes[truth[index]]), 14)
        image_axes.set_title(f"is {name}", fontsize="medium", color=BLUE, pad=4)
        draw_bars(bar_axes, probabilities[index], int(truth[index]), classes)
    return to_png(figure)


def draw_bars(
    axes: object, probabilities: Float[np.ndarray, " classes"], truth: int, classes: Sequence[int | str]
) -> None:
    """Draw a bar for each of the likeliest classes, and for the true one where it is not among them."""
    shown = np.argsort(-probabilities, kind="stable")[:CLASSES_SHOWN].tolist()
    if truth not in shown:
        shown[-1:] = [truth]
    for place, index in enumerate(shown):
        color = BLUE if index == truth else ORANGE if place == 0 else GREY
        percent = 100.0 * float(probabilities[index])
        written = f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"
        axes.barh(place, probabilities[index], height=0.32, color=color)  # type: ignore[attr-defined]
        text = f"{shortened(str(classes[index]), 18)}   {written}"
        axes.text(0.0, place - 0.26, text, color=color, fontsize="small", va="bottom")  # type: ignore[attr-defined]
    axes.set(xlim=(0.0, 1.0), ylim=(CLASSES_SHOWN - 0.5, -0.8))  # type: ignore[attr-defined]
