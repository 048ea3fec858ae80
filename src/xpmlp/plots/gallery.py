"""Test images with their predictions, and the worst mistakes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped

from .style import BLUE, GREY, ORANGE, Picture, house_style, import_matplotlib, new_figure, shortened, to_png, wrapped

COLUMNS, FIRST, MOST_CONFIDENT = 8, 24, 16  # of a gallery, and numbers of images in it
CELL, IMAGE = 1.25, 1.15  # width in inches, in a gallery
HEADING, BELOW = 0.3, 0.27  # height in inches, of a section's heading and below an image
MISTAKE_COLUMNS, MOST_MISTAKES = 3, 12
MISTAKE_CELL, MISTAKE_IMAGE, BARS = 3.6, 1.5, 1.7  # width in inches, among mistakes
CLASSES_SHOWN = 3


class Sheet:
    """A figure on which everything is placed by hand, in inches from its top left corner.

    One pair of axes per image with an automatic layout would take ten times as long.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        self.figure = new_figure(width, height, layout="none")
        self.figure.suptitle(title, y=1.0 - 0.08 / height, va="top")
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.axis("off")
        self.axes.set(xlim=(0.0, width), ylim=(height, 0.0), autoscale_on=False)

    def add_image(
        self, image: Float[np.ndarray, "rows columns *color"], left: float, top: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """Draw an image (0 black, 1 white) centered in a rectangle, and return its left, top, width and height."""
        rows, columns = image.shape[:2]
        scale = min(width / columns, height / rows)
        left, top = left + (width - scale * columns) / 2, top + (height - scale * rows) / 2
        extent = (left, left + scale * columns, top + scale * rows, top)
        # As bytes: matplotlib's color maps would take half of the figure's time.
        pixels = (np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
        colors = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
        self.axes.imshow(colors, extent=extent, aspect="auto", interpolation="nearest")
        return left, top, scale * columns, scale * rows

    def add_rectangle(self, left: float, top: float, width: float, height: float, **style: Any) -> None:
        """Draw a rectangle."""
        self.axes.add_artist(import_matplotlib("patches").Rectangle((left, top), width, height, **style))

    def add_text(self, x: float, y: float, text: str, part: str, **style: Any) -> None:
        """Write a text, by default centered on x; `part` identifies it in the figure."""
        self.axes.text(x, y, text, gid=part, **{"ha": "center", "va": "baseline", **style})


@house_style()
def draw_gallery(
    images: Float[np.ndarray, "rows height width *color"],
    labels: Shaped[np.ndarray, " rows"],
    predicted: Shaped[np.ndarray, " rows"],
    probabilities: Float[np.ndarray, " rows"],
    title: str,
) -> Picture:
    """Draw test images with prediction and confidence: the first ones, then the most confident mistakes.

    The probabilities are those of the predicted classes.
    """
    wrong = np.flatnonzero(labels != predicted)
    worst = wrong[np.argsort(-probabilities[wrong], kind="stable")][:MOST_CONFIDENT]
    first = np.arange(min(FIRST, len(images)))
    which = f"The first {len(first)} test images" if len(first) > 1 else "The first test image"
    sections = [(f"{which}: prediction and confidence", first)]
    if len(worst):
        part = count_mistakes(len(worst), len(wrong), "most confident")
        sections.append((f"{part} in {len(images):,} test images", worst))

    # Names too long to stand side by side above an image go on two lines.
    longest = max(len(str(name)) for name in {*labels.tolist(), *predicted.tolist()})
    is_long = 2 * longest + 9 > 16
    image_height = min(max(IMAGE * images.shape[1] / images.shape[2], 0.2), IMAGE)
    # The text above an image takes 0.24 inches, on two lines 0.4.
    above = [0.4 if is_long and np.isin(shown, wrong).any() else 0.24 for _, shown in sections]
    line_heights = [height + image_height + BELOW for height in above]
    lines = [-(-len(shown) // COLUMNS) for _, shown in sections]
    width = CELL * COLUMNS
    title = wrapped(title, width)
    top = 0.04 + 0.22 * len(title.splitlines())
    sheet = Sheet(width, top + sum(HEADING + n * h for n, h in zip(lines, line_heights, strict=True)), title)
    for (heading, shown), number, line_height in zip(sections, lines, line_heights, strict=True):
        sheet.add_text(width / 2, top + 0.2, heading, "heading", color=GREY)
        top += HEADING
        for place, index in enumerate(shown):
            line, column = divmod(place, COLUMNS)
            middle, bottom = (column + 0.5) * CELL, top + (line + 1) * line_height - BELOW
            is_right = labels[index] == predicted[index]
            corner = (middle - IMAGE / 2, bottom - image_height)
            frame = sheet.add_image(images[index], *corner, IMAGE, image_height)
            color, thickness = (GREY, 0.8) if is_right else (ORANGE, 3.0)
            sheet.add_rectangle(*frame, fill=False, edgecolor=color, linewidth=thickness)
            # The words, not only the color, mark a mistake.
            text = shortened(str(predicted[index]), 15)
            if not is_right:
                text += f"\ntrue: {shortened(str(labels[index]), 10)}" if is_long else f" (true: {labels[index]})"
            size, align = ("small", "bottom") if is_long else ("medium", "baseline")
            color = "black" if is_right else ORANGE
            sheet.add_text(middle, corner[1] - 0.06, text, "predicted", fontsize=size, va=align, color=color)
            percent = f"{100 * probabilities[index]:.1f} %"
            sheet.add_text(middle, bottom + 0.04, percent, "probability", fontsize="small", color=GREY, va="top")
        top += number * line_height
    return to_png(sheet.figure)


@house_style()
def draw_mistakes(
    images: Float[np.ndarray, "rows height width *color"],
    truth: Int64[np.ndarray, " rows"],
    probabilities: Float[np.ndarray, "rows classes"],
    classes: Sequence[int | str],
    title: str,
) -> Picture:
    """Draw the mistakes with the least probable true class, each with its most probable classes.

    The truth is the index of each image's class in `classes`. Raises `ValueError` if there are no mistakes.
    """
    wrong = np.flatnonzero(np.argmax(probabilities, axis=1) != truth)
    if not len(wrong):
        raise ValueError("there are no mistakes to draw")
    worst = wrong[np.argsort(probabilities[wrong, truth[wrong]], kind="stable")][:MOST_MISTAKES]
    part = count_mistakes(len(worst), len(wrong), "worst")
    width = MISTAKE_CELL * MISTAKE_COLUMNS
    heading = wrapped(f"{title}\n{part}: true class and predicted probabilities", width)
    # Three bars with their names need an inch.
    image_height = min(max(MISTAKE_IMAGE * images.shape[1] / images.shape[2], 1.0), MISTAKE_IMAGE)
    above, line_height = 0.3 + 0.22 * len(heading.splitlines()), image_height + 0.45
    sheet = Sheet(width, above + -(-len(worst) // MISTAKE_COLUMNS) * line_height - 0.2, heading)
    for place, index in enumerate(worst):
        line, column = divmod(place, MISTAKE_COLUMNS)
        left, top = MISTAKE_CELL * column + 0.1, above + line * line_height
        _, image_top, *_ = sheet.add_image(images[index], left, top, MISTAKE_IMAGE, image_height)
        name = shortened(str(classes[truth[index]]), 11)
        sheet.add_text(left + MISTAKE_IMAGE / 2, image_top - 0.06, f"true: {name}", "truth", color=BLUE)
        place_of_bars = (left + MISTAKE_IMAGE + 0.15, top, image_height)
        draw_bars(sheet, *place_of_bars, probabilities[index], int(truth[index]), classes)
    return to_png(sheet.figure)


def count_mistakes(shown: int, count: int, which: str) -> str:
    """Return a heading that says which of how many mistakes are shown."""
    if count == 1:
        return "The only mistake"
    return f"The {shown} {which} of {count:,} mistakes" if shown < count else f"All {count} mistakes"


def draw_bars(
    sheet: Sheet,
    left: float,
    top: float,
    height: float,
    probabilities: Float[np.ndarray, " classes"],
    truth: int,
    classes: Sequence[int | str],
) -> None:
    """Draw a bar for each of the most probable classes, the true one always among them."""
    shown = np.argsort(-probabilities, kind="stable")[:CLASSES_SHOWN].tolist()
    if truth not in shown:
        shown[-1:] = [truth]
    each = height / (CLASSES_SHOWN + 0.3)
    for place, index in enumerate(shown):
        color = BLUE if index == truth else ORANGE if place == 0 else GREY
        probability, middle = float(probabilities[index]), top + (place + 0.8) * each
        percent = f"{100.0 * probability:.1f} %" if probability >= 0.0005 else "< 0.1 %"
        sheet.add_rectangle(left, middle - 0.16 * each, BARS * probability, 0.32 * each, color=color, linewidth=0)
        text = f"{shortened(str(classes[index]), 18)}   {percent}"
        style = {"color": color, "fontsize": "small", "ha": "left", "va": "bottom"}
        sheet.add_text(left, middle - 0.26 * each, text, "probability", **style)
