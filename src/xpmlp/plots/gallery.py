"""Test images with what they were taken for."""

import numpy as np
from jaxtyping import Float, Shaped

from .style import GREY, ORANGE, house_style, new_figure, shortened, to_png, wrapped


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
    numbers = [-(-len(shown) // columns) for _, shown in sections]

    # Names that do not fit beside each other over an image of 1.25 inches go below each other.
    longest = max(len(str(name)) for name in {*labels.tolist(), *predicted.tolist()})
    is_long = 2 * longest + 5 > 16
    of_images = min(max(1.25 * images.shape[1] / images.shape[2], 0.2), 1.25)
    heights = [number * (of_images + 0.37) for number in numbers]
    if is_long and len(worst):
        heights[1] += 0.16 * numbers[1]
    width = 1.25 * columns
    figure = new_figure(width, sum(heights) + 0.4 * len(sections) + 0.4)
    figure.suptitle(wrapped(title, width))
    subfigures = np.atleast_1d(figure.subfigures(len(sections), 1, height_ratios=[height + 0.4 for height in heights]))
    for subfigure, (heading, shown), number in zip(subfigures, sections, numbers, strict=True):
        subfigure.suptitle(heading, fontsize="medium", color=GREY)
        for axes in subfigure.subplots(number, columns, squeeze=False).flat:
            axes.axis("off")
        for axes, index in zip(subfigure.axes, shown, strict=False):
            is_right = labels[index] == predicted[index]
            axes.axis("on")
            axes.set(xticks=[], yticks=[])
            axes.imshow(images[index], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
            color = GREY if is_right else ORANGE
            axes.spines[:].set(color=color, linewidth=0.8 if is_right else 3.0)
            # The words, not only the color, mark a mistake.
            text = shortened(str(predicted[index]), 15)
            if not is_right:
                text += f"\nis {shortened(str(labels[index]), 12)}" if is_long else f", is {labels[index]}"
            axes.set_title(
                text, fontsize="small" if is_long else "medium", color="black" if is_right else ORANGE, pad=4
            )
            axes.set_xlabel(f"{100 * probabilities[index]:.1f} %", fontsize="small", color=GREY, labelpad=2)
    return to_png(figure)
