"""Test images with what they were taken for."""

import numpy as np
from jaxtyping import Float, Shaped

from .sheet import Sheet
from .style import GREY, ORANGE, house_style, shortened, to_png, wrapped

CELL, IMAGE = 1.25, 1.15  # inches in width
HEADING, BELOW = 0.3, 0.27  # inches in height, of a section's heading and below an image


@house_style()
def draw_gallery(
    images: Float[np.ndarray, "rows height width"],
    labels: Shaped[np.ndarray, " rows"],
    predicted: Shaped[np.ndarray, " rows"],
    probabilities: Float[np.ndarray, " rows"],
    title: str,
    *,
    columns: int = 8,
    rows_of_first: int = 3,
    rows_of_mistakes: int = 2,
) -> bytes:
    """Draw test images with what they were taken for: the first ones, then the surest mistakes.

    Parameters
    ----------
    labels, predicted
        The true class of each image and the one that it was taken for.
    probabilities
        Of the predicted class.
    """
    wrong = np.flatnonzero(labels != predicted)
    worst = wrong[np.argsort(-probabilities[wrong], kind="stable")][: columns * rows_of_mistakes]
    first = np.arange(min(columns * rows_of_first, len(images)))
    which = f"The first {len(first)} test images" if len(first) > 1 else "The first test image"
    sections = [(f"{which}: what each was taken for, and how surely", first)]
    if len(worst):
        part = f"The {len(worst)} surest of all {len(wrong):,}" if len(worst) < len(wrong) else f"All {len(wrong)}"
        part = "The only mistake" if len(wrong) == 1 else f"{part} mistakes"
        sections.append((f"{part} in {len(images):,} test images", worst))

    # Names that do not fit beside each other over an image of 1.25 inches go below each other.
    longest = max(len(str(name)) for name in {*labels.tolist(), *predicted.tolist()})
    is_long = 2 * longest + 5 > 16
    image_height = min(max(IMAGE * images.shape[1] / images.shape[2], 0.2), IMAGE)
    aboves = [0.24, 0.4 if is_long else 0.24]  # inches for the words over an image, by section
    lines = [-(-len(shown) // columns) for _, shown in sections]
    width = CELL * columns
    title = wrapped(title, width)
    top = 0.04 + 0.22 * len(title.splitlines())
    height = top + sum(
        HEADING + number * (above + image_height + BELOW) for number, above in zip(lines, aboves, strict=False)
    )
    sheet = Sheet(width, height)
    sheet.add_title(title)
    for (heading, shown), number, above in zip(sections, lines, aboves, strict=False):
        sheet.add_text(width / 2, top + 0.2, heading, "heading", color=GREY)
        top += HEADING
        for place, index in enumerate(shown):
            line, column = divmod(place, columns)
            middle, bottom = (column + 0.5) * CELL, top + line * (above + image_height + BELOW) + above + image_height
            is_right = labels[index] == predicted[index]
            color = GREY if is_right else ORANGE
            place_of_image = (middle - IMAGE / 2, bottom - image_height, IMAGE, image_height)
            left, above_it, *size = sheet.add_image(images[index], *place_of_image)
            sheet.add_rectangle(left, above_it, *size, fill=False, edgecolor=color, linewidth=0.8 if is_right else 3.0)
            # The words, not only the color, mark a mistake.
            text = shortened(str(predicted[index]), 15)
            if not is_right:
                text += f"\nis {shortened(str(labels[index]), 12)}" if is_long else f", is {labels[index]}"
            sheet.add_text(
                *(middle, bottom - image_height - 0.06, text, "taken for"),
                fontsize="small" if is_long else "medium",
                color="black" if is_right else ORANGE,
                va="bottom" if is_long else "baseline",
            )
            sure = f"{100 * probabilities[index]:.1f} %"
            sheet.add_text(middle, bottom + 0.04, sure, "probability", fontsize="small", color=GREY, va="top")
        top += number * (above + image_height + BELOW)
    return to_png(sheet.figure)
