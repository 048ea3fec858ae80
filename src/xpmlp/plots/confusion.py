"""Which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from xpmlp.optional_imports import import_optional

from .style import house_style, new_figure, shortened, to_png, wrapped

COUNTS_SHOWN_UP_TO = 30  # classes; beyond, the numbers in a confusion matrix are too small to read


@house_style()
def draw_confusion(confusion: Int64[np.ndarray, "classes classes"], classes: Sequence[int | str], title: str) -> bytes:
    """Draw how many rows of each true class (down) were taken for which (across), shaded by the part of its class."""
    count = len(classes)
    names = [shortened(str(name), 24) for name in classes]
    side = min(max(3.4, 0.46 * count), 14.2)
    # A character is about 0.085 inches wide. Names that are wider than a cell stand upright below it.
    for_names = 0.085 * max(map(len, names))
    is_upright = for_names > 0.9 * side / count
    width = 1.06 * side + 1.6 + for_names
    figure = new_figure(width, side + 1.2 + (for_names if is_upright else 0.0))
    # Of matplotlib's layouts, this one knows of axes of a fixed proportion; the other cuts labels off beside them.
    figure.set_layout_engine("compressed")
    figure.suptitle(wrapped(title, width))
    axes = figure.subplots()
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # The square root lifts the few mistakes out of the white that they would vanish in beside the diagonal.
    normalise = import_optional("matplotlib.colors", extra="cli", purpose="Drawing pictures").PowerNorm(0.5, 0.0, 1.0)
    image = axes.imshow(share, cmap="Blues", norm=normalise)
    figure.colorbar(image, ax=axes, label="part of the true class", fraction=0.05, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    axes.set_xticks(range(count), names, rotation=90 if is_upright else 0)
    axes.set_yticks(range(count), names)
    axes.set(xlabel="taken for", ylabel="true class")
    if count <= COUNTS_SHOWN_UP_TO:
        for row, column in np.argwhere(confusion > 0):
            axes.text(
                column,
                row,
                f"{confusion[row, column]}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if share[row, column] > 0.3 else "black",
            )
    return to_png(figure)
