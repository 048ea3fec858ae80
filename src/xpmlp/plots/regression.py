"""Predictions of a regression against true values, and their residuals."""

from typing import Any

import numpy as np
from jaxtyping import Float

from . import style

POINTS_SHOWN_UP_TO = 3000  # rows; more cannot be told apart


@style.house_style()
def draw_predicted(
    truth: Float[np.ndarray, " rows"], predicted: Float[np.ndarray, " rows"], name: str, title: str
) -> style.Picture:
    """Draw predicted against true values of the target `name`, with the line on which they are equal."""
    figure = style.new_figure(5.6 if len(truth) <= POINTS_SHOWN_UP_TO else 6.4, 5.4, title, layout="compressed")
    axes = figure.subplots()
    ends = padded(truth, predicted)
    axes.plot(ends, ends, color=style.GREY, lw=0.9, ls=":", zorder=0, label="predicted = true")
    draw_points(axes, truth, predicted)
    target = style.shortened(name, 30)
    axes.set(xlabel=f"true {target}", ylabel=f"predicted {target}", xlim=ends, ylim=ends, aspect="equal")
    axes.legend(frameon=False, loc="upper left")
    for axis in (axes.xaxis, axes.yaxis):
        style.write_numbers(axis, most=5)
    style.lighten(axes)
    return style.to_png(figure)


@style.house_style()
def draw_residuals(
    truth: Float[np.ndarray, " rows"], predicted: Float[np.ndarray, " rows"], name: str, title: str
) -> style.Picture:
    """Draw residuals (predicted − true) of the target `name` against predictions, and their distribution."""
    residuals = predicted - truth
    figure = style.new_figure(9.2, 4.4, title)
    axes, count_axes = figure.subplots(1, 2, sharey=True, width_ratios=[2.6, 1.0])
    draw_points(axes, predicted, residuals)
    ends = padded(residuals, np.zeros(1))
    axes.set(xlabel=f"predicted {style.shortened(name, 30)}", ylabel="residual (predicted − true)")
    axes.set(xlim=padded(predicted), ylim=ends)
    bins = min(40, max(5, round(len(residuals) ** 0.5)))
    count_axes.hist(
        residuals, bins=bins, range=ends, orientation="horizontal", color=style.BLUE, edgecolor="white", linewidth=0.4
    )
    for axis in (axes.xaxis, axes.yaxis):
        style.write_numbers(axis, most=6)
    style.write_numbers(count_axes.xaxis, most=2, integer=True)
    count_axes.set_xlabel("test rows")
    for each in (axes, count_axes):
        each.axhline(0.0, color=style.GREY, lw=0.9, ls=":")
        style.lighten(each)
    mean, deviation = float(residuals.mean()), float(residuals.std())
    count_axes.axhline(mean, color=style.ORANGE, lw=1.4)
    summary = f"mean {style.number(mean, 3)}, standard deviation {style.number(deviation, 3)}"
    count_axes.set_title(summary, loc="right", fontsize="medium", color=style.ORANGE)
    return style.to_png(figure)


def draw_points(axes: Any, x: Float[np.ndarray, " rows"], y: Float[np.ndarray, " rows"]) -> None:
    """Draw one point per row; for many rows, counts in hexagons with a color bar."""
    if len(x) <= POINTS_SHOWN_UP_TO:
        size, alpha = (18.0, 0.6) if len(x) <= 500 else (9.0, 0.35)
        axes.scatter(x, y, s=size, color=style.BLUE, alpha=alpha, linewidths=0)
        return
    image = axes.hexbin(x, y, gridsize=50, bins="log", cmap="viridis", mincnt=1, linewidths=0)
    bar = axes.figure.colorbar(image, ax=axes, label="test rows", fraction=0.046)
    # The default labels of a logarithmic scale are formulas, which `house_style` turns off.
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    bar.ax.yaxis.set_minor_formatter(lambda value, _: "")


def padded(*values: Float[np.ndarray, "..."]) -> tuple[float, float]:
    """Return the limits of an axis that holds all values."""
    low, high = min(float(part.min()) for part in values), max(float(part.max()) for part in values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
