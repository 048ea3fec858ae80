"""Results as pictures: throughput, sweeps, and the roofline; PNG files in memory."""

from typing import Any

import numpy as np

from xpmlp.plots import house_style, new_figure, to_png

from .crossings import find_crossings
from .limits import epoch_operations
from .measurement import Measurement, Point, describe_point
from .report import median_of, swept_values
from .results import Results

# Okabe and Ito's colors, which people with any kind of color vision tell apart; each with a marker of its own.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OURS, OTHERS = COLORS[0], "#999999"
SWEPT_AXES = {
    "batch-size": "rows in a batch",
    "hidden": "units in the hidden layer",
    "depth": "hidden layers",
    "rows": "rows in an epoch",
}


def draw_throughput(point: Point) -> bytes:
    """Draw the samples a second of each contender as bars, the fastest on top, with the quartiles."""
    timed = sorted(point.timed, key=median_of, reverse=True)
    with house_style():
        figure = new_figure(8.0, 1.2 + 0.42 * len(timed))
        axes = figure.add_subplot()
        for place, measurement in enumerate(timed):
            timing = measurement.timing
            assert timing is not None
            rate = point.rows / timing.median
            first, third = timing.quartiles
            errors = [[rate - point.rows / third], [point.rows / first - rate]]
            color = OURS if measurement.ours else OTHERS
            axes.barh(place, rate, color=color, xerr=errors, ecolor="#333333", capsize=3)
            axes.annotate(f"  {rate:,.0f}", (point.rows / first, place), va="center", fontsize=9)
        axes.set_yticks(range(len(timed)), [measurement.name for measurement in timed])
        axes.set_xlim(0, 1.2 * max(point.rows / m.timing.quartiles[0] for m in timed if m.timing))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=6)  # more would touch where they run into millions
        axes.set_xlabel("samples a second; whiskers: the middle half of the epochs")
        if not all(measurement.ours for measurement in timed):
            axes.barh(0, 0, color=OURS, label="xpmlp")
            axes.barh(0, 0, color=OTHERS, label="others")
            axes.legend(frameon=False, loc="lower right")
        axes.set_title(describe_point(point), loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        return to_png(figure)


def draw_sweep(results: Results) -> bytes:
    """Draw the samples a second of each contender against what was swept, crossings marked."""
    values = swept_values(results)
    names = list(dict.fromkeys(m.name for point in results.points for m in point.timed))
    with house_style():
        figure = new_figure(8.0, 5.0)
        axes = figure.add_subplot()
        lines: dict[str, Any] = {}
        for index, name in enumerate(names):
            rates = [
                (value, point.rows / median_of(found))
                for value, point in zip(values, results.points, strict=True)
                if (found := point.find(name)) is not None
            ]
            style = {"color": COLORS[index % len(COLORS)], "marker": MARKERS[index % len(MARKERS)]}
            axes.plot(*zip(*rates, strict=True), label=name, **style)
            lines[name] = rates
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(values, [f"{value:,}" for value in values])
        axes.xaxis.minorticks_off()
        for crossing in find_crossings(values, results.points):
            known = np.array(lines[crossing.faster])
            rate = np.exp(np.interp(np.log(crossing.value), np.log(known[:, 0]), np.log(known[:, 1])))
            axes.plot(crossing.value, rate, "o", mfc="none", mec="#333333", ms=12)
            text = f"{crossing.value:,.0f}: {crossing.faster}\novertakes {crossing.slower}"
            axes.annotate(
                text,
                (crossing.value, rate),
                (0, -30),
                textcoords="offset points",
                fontsize=8,
                ha="center",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
            )
        assert results.sweep is not None
        axes.set_xlabel(SWEPT_AXES[results.sweep])
        axes.set_ylabel("samples a second")
        label_decades(axes.yaxis, *axes.get_ylim())
        axes.set_title(describe_sweep(results), loc="left", fontsize=10)
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        return to_png(figure)


def draw_roofline(point: Point) -> bytes | None:
    """Draw each backend's operations a second under its ceilings; None where no ceilings were measured."""
    measured = [measurement for measurement in point.timed if measurement.ceilings is not None]
    if not measured:
        return None
    operations = epoch_operations(point.sizes, point.rows, np.dtype(point.settings.dtype).itemsize)
    intensity = operations.arithmetic / operations.traffic
    with house_style():
        figure = new_figure(8.0, 5.0)
        axes = figure.add_subplot()
        x = np.geomspace(min(0.1, intensity / 4), max(1000.0, intensity * 4), 200)
        for index, measurement in enumerate(measured):
            ceilings = measurement.ceilings
            assert ceilings is not None
            color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
            axes.plot(x, np.minimum(ceilings.arithmetic, ceilings.bandwidth * x) / 1e9, color=color, lw=1.2)
            reached = operations.arithmetic / median_of(measurement) / 1e9
            label = f"{measurement.name}: {plain(reached)} of {plain(peak_at(measurement, intensity))}"
            axes.plot(intensity, reached, marker, color=color, ms=9, label=label)
        axes.axvline(intensity, color="#333333", lw=0.8, ls=":")
        axes.set_xscale("log")
        axes.set_yscale("log")
        label_decades(axes.xaxis, *axes.get_xlim())
        label_decades(axes.yaxis, *axes.get_ylim())
        axes.set_xlabel("operations for each byte to or from memory (dotted: this network)")
        axes.set_ylabel("thousand million operations a second")
        axes.set_title(describe_point(point), loc="left", fontsize=10)
        axes.grid(alpha=0.3)
        # Above the roofs, where nothing can be.
        axes.legend(frameon=False, title="reached, of what is possible there", loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
        return to_png(figure)


def label_decades(axis: Any, low: float, high: float) -> None:
    """Write plain numbers along a logarithmic axis; between the powers of ten too, where there are few of those.

    matplotlib's own labels are formulas, which the house's style does not set.
    """
    decades = np.log10(high / low)
    steps = (1.0,) if decades > 4 else (1.0, 2.0, 5.0) if decades > 1 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(ticks, [plain(tick) for tick in ticks])
    axis.minorticks_off()


def plain(value: float) -> str:
    """Return a number to two digits, or to the ones where it has more of them."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def describe_sweep(results: Results) -> str:
    """Return what was the same at all points of a sweep."""
    point = results.points[0]
    hidden = [str(size) for size in point.settings.hidden_layer_sizes]
    if results.sweep in ("hidden", "depth"):
        hidden = ["…"]
    parts = ["-".join([str(point.sizes[0]), *hidden, str(point.sizes[-1])])]
    parts += [] if results.sweep == "batch-size" else [f"batch {point.settings.batch_size}"]
    parts += [] if results.sweep == "rows" else [f"{point.rows:,} rows"]
    return f"{', '.join(parts)}, {point.settings.dtype}"


def peak_at(measurement: Measurement, intensity: float) -> float:
    """Return the thousand million operations a second that the ceilings allow at that intensity."""
    ceilings = measurement.ceilings
    assert ceilings is not None
    return min(ceilings.arithmetic, ceilings.bandwidth * intensity) / 1e9
