"""Points, or where they are too many to be told apart, how many there are in each place."""

from typing import Any

import numpy as np
from jaxtyping import Float

from .style import BLUE

POINTS_SHOWN_UP_TO = 3000


def draw_points(axes: Any, x: Float[np.ndarray, " rows"], y: Float[np.ndarray, " rows"]) -> None:
    """Draw a point for each row; of many rows the counts in hexagons, with their scale."""
    if len(x) <= POINTS_SHOWN_UP_TO:
        size, alpha = (18.0, 0.6) if len(x) <= 500 else (9.0, 0.35)
        axes.scatter(x, y, s=size, color=BLUE, alpha=alpha, linewidths=0)
        return
    image = axes.hexbin(x, y, gridsize=50, bins="log", cmap="viridis", mincnt=1, linewidths=0)
    bar = axes.figure.colorbar(image, ax=axes, label="test rows", fraction=0.046)
    # On this scale of powers the usual labels are formulas, which are not drawn as such here.
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    bar.ax.yaxis.set_minor_formatter(lambda value, _: "")


def padded(*values: Float[np.ndarray, "..."]) -> tuple[float, float]:
    """Return an axis's ends, with all values between them."""
    low, high = min(float(part.min()) for part in values), max(float(part.max()) for part in values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
