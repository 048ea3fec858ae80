"""What a regression predicts against what is true."""

import numpy as np
from jaxtyping import Float

from .scatter import POINTS_SHOWN_UP_TO, draw_points, padded
from .style import GREY, house_style, lighten, new_figure, shortened, to_png, wrapped, write_numbers


@house_style()
def draw_predicted(
    truth: Float[np.ndarray, " rows"], predicted: Float[np.ndarray, " rows"], name: str, title: str
) -> bytes:
    """Draw predicted numbers against true ones, with the line on which they would be equal.

    Parameters
    ----------
    name
        Of what is predicted.
    """
    width = 5.6 if len(truth) <= POINTS_SHOWN_UP_TO else 6.4
    figure = new_figure(width, 5.4)
    # Of matplotlib's layouts, this one knows of axes of a fixed proportion.
    figure.set_layout_engine("compressed")
    figure.suptitle(wrapped(title, width))
    axes = figure.subplots()
    ends = padded(truth, predicted)
    axes.plot(ends, ends, color=GREY, lw=0.9, ls=":", zorder=0, label="predicted = true")
    draw_points(axes, truth, predicted)
    named = shortened(name, 30)
    axes.set(xlabel=f"true {named}", ylabel=f"predicted {named}", xlim=ends, ylim=ends, aspect="equal")
    axes.legend(frameon=False, loc="upper left")
    for axis in (axes.xaxis, axes.yaxis):
        write_numbers(axis, most=5)
    lighten(axes)
    return to_png(figure)
