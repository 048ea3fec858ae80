"""A page of many images, measured in inches from its top left corner."""

from typing import Any

import numpy as np
from jaxtyping import Float

from xpmlp.optional_imports import import_optional

from .style import new_figure


class Sheet:
    """A figure in which everything is placed by hand, in one pair of axes.

    A pair for each image, and a layout that is found by drawing all of them, would take ten times as long.

    Parameters
    ----------
    width, height
        Of the figure, in inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self.figure = new_figure(width, height)
        self.figure.set_layout_engine("none")
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.axis("off")
        self.axes.set(xlim=(0.0, width), ylim=(height, 0.0), autoscale_on=False)

    def add_title(self, title: str) -> None:
        """Write the figure's title at its top."""
        self.figure.suptitle(title, y=1.0 - 0.08 / self.figure.get_figheight(), va="top")

    def add_image(
        self, image: Float[np.ndarray, "rows columns"], left: float, top: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """Draw an image in the middle of a place, as large as fits there undistorted: black at 0 and white at 1.

        Returns
        -------
        left, top, width, height
            Where it is.
        """
        rows, columns = image.shape
        scale = min(width / columns, height / rows)
        left, top = left + (width - scale * columns) / 2, top + (height - scale * rows) / 2
        width, height = scale * columns, scale * rows
        extent = (left, left + width, top + height, top)
        self.axes.imshow(image, extent=extent, aspect="auto", cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
        return left, top, width, height

    def add_rectangle(self, left: float, top: float, width: float, height: float, **style: Any) -> None:
        """Draw a rectangle in the style that matplotlib's has."""
        patches = import_optional("matplotlib.patches", extra="cli", purpose="Drawing pictures")
        self.axes.add_patch(patches.Rectangle((left, top), width, height, **style))

    def add_text(self, x: float, y: float, text: str, part: str, **style: Any) -> None:
        """Write a text, in the middle of `x` unless told; `part` is what an SVG of it would be called by."""
        self.axes.text(x, y, text, gid=part, **{"ha": "center", "va": "baseline", **style})
