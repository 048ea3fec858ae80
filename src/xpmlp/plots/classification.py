"""How well classes are predicted: the confusion matrix and the calibration of the probabilities."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

from . import style

COUNTS_SHOWN_UP_TO = 30  # classes; beyond, the numbers in a confusion matrix are too small to read
BINS = 10
DEVIATIONS = 1.96  # 95 % of a normal distribution lie within


@style.house_style()
def draw_confusion(
    confusion: Int64[np.ndarray, "classes classes"], classes: Sequence[int | str], title: str
) -> style.Picture:
    """Draw the number of rows by true class (down) and predicted class (across), shaded by share of the true class."""
    count = len(classes)
    names = [style.shortened(str(name), 24) for name in classes]
    side = min(max(3.4, 0.46 * count), 14.2)
    # A character is about 0.085 inches wide. Names wider than a cell are rotated.
    name_width = 0.085 * max(map(len, names))
    is_rotated = name_width > 0.9 * side / count
    left, bottom = 0.55 + name_width, 0.45 + (name_width if is_rotated else 0.2)
    width = left + side + 1.35
    height = bottom + side + 0.24 + 0.2 * len(style.wrapped(title, width).splitlines())
    figure = style.new_figure(width, height, title, layout="none")
    axes = style.add_axes(figure, left, bottom, side, side)
    scale_axes = style.add_axes(figure, left + side + 0.2, bottom, 0.2, side)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # On a linear scale, the few mistakes would be white beside the diagonal.
    square_root = style.import_matplotlib("colors").PowerNorm(0.5, 0.0, 1.0)
    image = axes.imshow(share, cmap="Blues", norm=square_root)
    figure.colorbar(image, cax=scale_axes, label="share of true class", ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    axes.set_xticks(range(count), names, rotation=90 if is_rotated else 0)
    axes.set_yticks(range(count), names)
    axes.set(xlabel="predicted class", ylabel="true class")
    for row, column in np.argwhere(confusion > 0) if count <= COUNTS_SHOWN_UP_TO else ():
        color = "white" if share[row, column] > 0.3 else "black"
        axes.text(column, row, f"{confusion[row, column]}", ha="center", va="center", fontsize=8, color=color)
    return style.to_png(figure)


@style.house_style()
def draw_calibration(
    confidence: Float[np.ndarray, " rows"], right: Bool[np.ndarray, " rows"], title: str
) -> style.Picture:
    """Draw a reliability diagram: the fraction correct by predicted probability, and the number of rows.

    For each of at least one row, `confidence` is the probability of the predicted class, and `right` whether it was
    correct. The bars at each point are Wilson's 95 % interval.
    """
    bins = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = np.flatnonzero(counts)
    counts = counts[filled]
    predicted = np.bincount(bins, confidence.astype(np.float64), minlength=BINS)[filled] / counts
    fraction = np.bincount(bins, right.astype(np.float64), minlength=BINS)[filled] / counts
    error = float(np.sum(np.abs(predicted - fraction) * counts) / len(confidence))

    figure = style.new_figure(5.6, 6.0, title, layout="none")
    grid = style.margins(figure, left=0.85, right=0.2, bottom=0.55, top=0.56, hspace=0.1)
    axes, count_axes = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, 1.0], gridspec_kw=grid)
    axes.plot([0.0, 1.0], [0.0, 1.0], color=style.GREY, lw=0.9, ls=":", label="perfectly calibrated")
    intervals = np.array([wilson(share, int(count)) for share, count in zip(fraction, counts, strict=True)])
    label = "this network, 95 % interval"
    look = {"color": style.BLUE, "marker": "o", "ms": 5, "lw": 1.4, "capsize": 3, "clip_on": False}
    axes.errorbar(predicted, fraction, np.abs(intervals.T - fraction), label=label, **look)
    axes.set(ylabel="fraction correct", xlim=(0.0, 1.0), ylim=(-0.02, 1.02))
    axes.set_title(f"expected calibration error {100 * error:.2f} %", loc="right", fontsize="medium", color=style.GREY)
    # Above the axes and their title, because bars can be anywhere within them.
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.07), borderaxespad=0.0, ncols=2)
    count_axes.bar(filled / BINS, counts, width=1.0 / BINS, align="edge", color=style.BLUE, edgecolor="white")
    # Logarithmic, or the few uncertain predictions would be invisible beside the many confident ones.
    count_axes.set_yscale("log")
    powers = range(math.ceil(math.log10(counts.max())) + 1)
    count_axes.set(xlabel="predicted probability", ylabel="test rows", ylim=(0.5, 10.0 ** len(powers)))
    shown = [10**power for power in powers][:: 1 if len(powers) <= 5 else 2]
    count_axes.set_yticks(shown, [f"{count:,}" for count in shown])
    count_axes.minorticks_off()
    for x, count in zip((filled + 0.5) / BINS, counts, strict=True):
        count_axes.text(x, count * 1.15, f"{count:,}", ha="center", va="bottom", fontsize=8)
    for each in (axes, count_axes):
        each.set_xticks(np.linspace(0.0, 1.0, 6))
        style.lighten(each)
    return style.to_png(figure)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's interval for a share observed in `count` rows."""
    square = DEVIATIONS**2
    center = (share + square / (2 * count)) / (1 + square / count)
    spread = DEVIATIONS / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return min(center - spread, share), max(center + spread, share)
