"""Whether a network is right as often as it says."""

import math

import numpy as np
from jaxtyping import Bool, Float

from .style import BLUE, GREY, house_style, lighten, new_figure, to_png, wrapped

BINS = 10
DEVIATIONS = 1.96  # of a normal distribution: 95 % lie within


@house_style()
def draw_calibration(confidence: Float[np.ndarray, " rows"], right: Bool[np.ndarray, " rows"], title: str) -> bytes:
    """Draw a reliability diagram: the part that is right by how probable the answer was said to be, and the counts.

    The bars at each point are Wilson's 95 % interval: few rows say little.

    Parameters
    ----------
    confidence
        The probability of the answer given for each row, of which there is at least one.
    right
        Whether it was right.
    """
    bins = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = np.flatnonzero(counts)
    said = np.bincount(bins, confidence.astype(np.float64), minlength=BINS)[filled] / counts[filled]
    part = np.bincount(bins, right.astype(np.float64), minlength=BINS)[filled] / counts[filled]
    error = float(np.sum(np.abs(said - part) * counts[filled]) / len(confidence))

    figure = new_figure(5.6, 6.0)
    figure.suptitle(wrapped(title, 5.6))
    axes, count_axes = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, 1.0])
    axes.plot([0.0, 1.0], [0.0, 1.0], color=GREY, lw=0.9, ls=":", label="perfectly calibrated")
    intervals = np.array([wilson(share, int(count)) for share, count in zip(part, counts[filled], strict=True)])
    reach = np.abs(intervals.T - part)
    axes.errorbar(
        said,
        part,
        reach,
        color=BLUE,
        marker="o",
        ms=5,
        lw=1.4,
        capsize=3,
        label="this network, 95 % interval",
        clip_on=False,
    )
    axes.set(ylabel="part that is right", xlim=(0.0, 1.0), ylim=(-0.02, 1.02))
    axes.set_title(f"expected calibration error {100 * error:.2f} %", loc="right", fontsize="medium", color=GREY)
    # Above the axes and their title, for within them a bar can be anywhere.
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.05), borderaxespad=0.0, ncols=2)
    edges = np.arange(BINS) / BINS
    count_axes.bar(edges[filled], counts[filled], width=1.0 / BINS, align="edge", color=BLUE, edgecolor="white")
    # On a scale of powers of ten, or the few unsure answers could not be seen beside the many sure ones.
    count_axes.set_yscale("log")
    powers = range(math.ceil(math.log10(counts.max())) + 1)
    count_axes.set(xlabel="probability of the answer, as said", ylabel="test rows", ylim=(0.5, 10.0 ** len(powers)))
    shown = [10**power for power in powers][:: 1 if len(powers) <= 5 else 2]
    count_axes.set_yticks(shown, [f"{count:,}" for count in shown])
    count_axes.minorticks_off()
    for index in filled:
        count_axes.text(
            edges[index] + 0.5 / BINS, counts[index] * 1.15, f"{counts[index]:,}", ha="center", va="bottom", fontsize=8
        )
    for each in (axes, count_axes):
        each.set_xticks(np.linspace(0.0, 1.0, 6))
        lighten(each)
    return to_png(figure)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's interval for a share that was seen in so many rows."""
    square = DEVIATIONS**2
    center = (share + square / (2 * count)) / (1 + square / count)
    spread = DEVIATIONS / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return min(center - spread, share), max(center + spread, share)
