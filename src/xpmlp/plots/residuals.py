"""How far off a regression is, and where."""

import numpy as np
from jaxtyping import Float

from .scatter import draw_points, padded
from .style import (
    BLUE,
    GREY,
    ORANGE,
    house_style,
    lighten,
    new_figure,
    number,
    shortened,
    to_png,
    wrapped,
    write_numbers,
)


@house_style()
def draw_residuals(
    truth: Float[np.ndarray, " rows"], predicted: Float[np.ndarray, " rows"], name: str, title: str
) -> bytes:
    """Draw the residuals, predicted less true, by what was predicted, and how they are distributed.

    Parameters
    ----------
    name
        Of what is predicted.
    """
    residuals = predicted - truth
    figure = new_figure(9.2, 4.4)
    figure.suptitle(wrapped(title, 9.2))
    axes, count_axes = figure.subplots(1, 2, sharey=True, width_ratios=[2.6, 1.0])
    draw_points(axes, predicted, residuals)
    named = shortened(name, 30)
    axes.set(xlabel=f"predicted {named}", ylabel="residual (predicted − true)")
    ends = padded(residuals, np.zeros(1))
    axes.set(xlim=padded(predicted), ylim=ends)
    bins = min(40, max(5, round(len(residuals) ** 0.5)))
    count_axes.hist(
        residuals, bins=bins, range=ends, orientation="horizontal", color=BLUE, edgecolor="white", linewidth=0.4
    )
    for axis in (axes.xaxis, axes.yaxis):
        write_numbers(axis, most=6)
    write_numbers(count_axes.xaxis, most=2, integer=True)
    count_axes.set_xlabel("test rows")
    for each in (axes, count_axes):
        each.axhline(0.0, color=GREY, lw=0.9, ls=":")
        lighten(each)
    mean, deviation = float(residuals.mean()), float(residuals.std())
    count_axes.axhline(mean, color=ORANGE, lw=1.4)
    said = f"mean {number(mean, 3)}, deviation {number(deviation, 3)}"
    count_axes.set_title(said, loc="right", fontsize="medium", color=ORANGE)
    return to_png(figure)
