"""Plots of results, as PNG: throughput of one case, and of a sweep."""

from typing import Any

from xpmlp.optional_imports import import_optional
from xpmlp.plots import SEVERAL, house_style, new_figure, to_png

from .results import Case, Results
from .settings import SWEPT

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OURS, PEERS = SEVERAL[0], "#999999"


def draw_throughput(case: Case) -> bytes:
    """Draw samples per second as bars, the fastest on top, with quartiles."""
    timed = sorted(case.timed, key=lambda measurement: measurement.median, reverse=True)
    with house_style():
        figure = new_figure(8.0, 1.2 + 0.42 * len(timed))
        axes = figure.add_subplot()
        fastest = 0.0
        for place, measurement in enumerate(timed):
            assert measurement.timing is not None
            rate = case.rows / measurement.median
            high, low = (case.rows / quartile for quartile in measurement.timing.quartiles)
            color = OURS if measurement.ours else PEERS
            axes.barh(place, rate, color=color, xerr=[[rate - low], [high - rate]], ecolor="#333333", capsize=3)
            axes.annotate(f"  {rate:,.0f}", (high, place), va="center", fontsize=9)
            fastest = max(fastest, high)
        axes.set_yticks(range(len(timed)), [measurement.name for measurement in timed])
        axes.set_xlim(0, 1.2 * fastest)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=6)  # more would overlap in the millions
        axes.set_xlabel("samples/s (whiskers: quartiles)")
        if not all(measurement.ours for measurement in timed):
            axes.barh(0, 0, color=OURS, label="xpmlp")
            axes.barh(0, 0, color=PEERS, label="others")
            axes.legend(frameon=False, loc="lower right")
        return finish(axes, str(case))


def draw_sweep(results: Results) -> bytes:
    """Draw samples per second against the swept setting."""
    assert results.sweep is not None
    values = results.swept_values
    with house_style():
        axes = new_figure(8.0, 5.0).add_subplot()
        for index, name in enumerate(dict.fromkeys(m.name for case in results.cases for m in case.timed)):
            points = [
                (value, case.rows / measurement.median)
                for value, case in zip(values, results.cases, strict=True)
                if (measurement := case.find(name)) is not None
            ]
            color, marker = SEVERAL[index % len(SEVERAL)], MARKERS[index % len(MARKERS)]
            axes.plot(*zip(*points, strict=True), label=name, color=color, marker=marker)
        axes.set_xscale("log", base=2)
        axes.set_xticks(values, [f"{value:,}" for value in values])
        axes.xaxis.minorticks_off()
        axes.set_yscale("log")
        label_log_axis(axes.yaxis)
        axes.set_xlabel(SWEPT[results.sweep].axis)
        axes.set_ylabel("samples/s")
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False)
        return finish(axes, describe_sweep(results))


def finish(axes: Any, title: str) -> bytes:
    """Add the title and return the PNG."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(axes.figure)


def label_log_axis(axis: Any) -> None:
    """Write plain numbers along a logarithmic axis: at the powers of ten and in between."""
    ticker = import_optional("matplotlib.ticker", extra="cli", purpose="Drawing plots")
    low, high = axis.get_view_interval()
    steps = (1.0, 2.0, 5.0) if high > 10 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
    axis.set_major_locator(ticker.LogLocator(subs=steps))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.15g}"))
    axis.set_minor_locator(ticker.NullLocator())


def describe_sweep(results: Results) -> str:
    """Return what all cases of a sweep have in common."""
    case = results.cases[0]
    hidden = ["…"] if results.sweep in ("hidden", "depth") else [str(size) for size in case.sizes[1:-1]]
    parts = ["-".join([str(case.sizes[0]), *hidden, str(case.sizes[-1])])]
    parts += [] if results.sweep == "batch-size" else [f"batch {case.settings.batch_size}"]
    parts += [] if results.sweep == "rows" else [f"{case.rows:,} rows"]
    return f"{', '.join(parts)}, {case.settings.dtype}"
