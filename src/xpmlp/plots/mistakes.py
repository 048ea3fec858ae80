"""The mistakes that cost most, with what the network considered."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from .sheet import Sheet
from .style import BLUE, GREY, ORANGE, house_style, shortened, to_png, wrapped

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
    sheet = Sheet(width, height)
    sheet.add_title(heading)
    for place, index in enumerate(worst):
        line, column = divmod(place, columns)
        top, left = above + line * line_height, CELL * column + 0.1
        _, image_top, *_ = sheet.add_image(images[index], left, top, IMAGE, of_images)
        name = shortened(str(classes[truth[index]]), 14)
        sheet.add_text(left + IMAGE / 2, image_top - 0.06, f"is {name}", "truth", color=BLUE)
        draw_bars(sheet, left + IMAGE + 0.15, top, of_images, probabilities[index], int(truth[index]), classes)
    return to_png(sheet.figure)


def draw_bars(
    sheet: Sheet,
    left: float,
    top: float,
    height: float,
    probabilities: Float[np.ndarray, " classes"],
    truth: int,
    classes: Sequence[int | str],
) -> None:
    """Draw a bar for each of the likeliest classes, and for the true one where it is not among them.

    Parameters
    ----------
    left, top, height
        Of the place for them, in inches.
    """
    shown = np.argsort(-probabilities, kind="stable")[:CLASSES_SHOWN].tolist()
    if truth not in shown:
        shown[-1:] = [truth]
    each = height / (CLASSES_SHOWN + 0.3)
    for place, index in enumerate(shown):
        color = BLUE if index == truth else ORANGE if place == 0 else GREY
        percent = 100.0 * float(probabilities[index])
        written = f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"
        middle = top + (place + 0.8) * each
        sheet.add_rectangle(
            left, middle - 0.16 * each, BARS * float(probabilities[index]), 0.32 * each, color=color, linewidth=0
        )
        text = f"{shortened(str(classes[index]), 18)}   {written}"
        sheet.add_text(
            left, middle - 0.26 * each, text, "probability", color=color, fontsize="small", ha="left", va="bottom"
        )
