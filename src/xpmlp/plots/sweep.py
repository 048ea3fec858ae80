"""The trials of a sweep: their curves, their scores by setting, and both together."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .style import BLUE, GREY, Picture, house_style, lighten, mark_epochs, new_figure, shortened, to_png, write_numbers

MOST_LABELS = 12  # of values on an axis
PALE = {"color": "#9AB8D0", "lw": 0.9, "alpha": 0.7}


@house_style()
def draw_trial_curves(curves: Sequence[Sequence[float]], best: int, score: str, title: str) -> Picture:
    """Draw the score of every trial by epoch; the best one's stands out.

    Parameters
    ----------
    best
        Position of the best trial in `curves`.
    score
        What the scores are, such as ``"validation accuracy (%)"``.
    """
    figure = new_figure(7.2, 4.2, title)
    axes = figure.subplots()
    for curve in curves:
        axes.plot(range(1, len(curve) + 1), curve, **PALE)
    curve = curves[best]
    axes.plot(range(1, len(curve) + 1), curve, color=BLUE, lw=2.2, label=f"best trial: {curve[-1]:.4g}")
    # Trials that learn nothing would press all others together.
    ends = sorted(curve[-1] for curve in curves if curve)
    low = ends[len(ends) // 10] - 0.5 * (ends[-1] - ends[len(ends) // 10])
    if ends[-1] > low:
        axes.set_ylim(low, ends[-1] + 0.05 * (ends[-1] - low))
    axes.set_ylabel(score)
    write_numbers(axes.yaxis, most=8)
    mark_epochs(axes, range(1, max(map(len, curves)) + 1))
    axes.legend(frameon=False, loc="lower right")
    return to_png(figure)


@house_style()
def draw_scores_by_setting(
    settings: Mapping[str, Sequence[Any]],
    scores: Sequence[float],
    best: int,
    score: str,
    title: str,
    importances: Mapping[str, float] | None = None,
) -> Picture:
    """Draw the score of every trial against each setting, the setting that matters most first.

    Parameters
    ----------
    settings
        For each setting, its value in each trial.
    best
        Position of the best trial.
    importances
        Share of each setting in the variance of the scores.
    """
    importances = importances or {}
    names = sorted(settings, key=lambda name: -importances.get(name, 0.0))
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(3.9 * columns + 0.4, 3.3 * rows + 0.3, title)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, name in zip(panels, names, strict=False):
        places = place_values(axes, settings[name])
        axes.plot(places, scores, "o", ms=4.5, color=GREY, alpha=0.55, mew=0)
        axes.plot([places[best]], [scores[best]], "o", ms=8, color=BLUE)
        share = importances.get(name)
        axes.set_xlabel(name if share is None else f"{name}: {100 * share:.0f} % of the variance")
        lighten(axes)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel(score)
    return to_png(figure)


@house_style()
def draw_parallel_coordinates(
    settings: Mapping[str, Sequence[Any]], scores: Sequence[float], best: int, score: str, title: str
) -> Picture:
    """Draw every trial as a line through its settings and its score, darker the better."""
    colors = ("#E4E4E4", "#C9D8E4", "#9AB8D0", "#5F9AC4")
    figure = new_figure(2.1 * (len(settings) + 1) + 1.0, 4.4, title)
    axes = figure.subplots()
    columns = [*settings.items(), (score, list(scores))]
    lines: list[list[float]] = [[] for _ in scores]
    for x, (name, values) in enumerate(columns):
        places, ticks = scale_values(values, is_score=name == score)
        for line, place in zip(lines, places, strict=True):
            line.append(place)
        axes.axvline(x, color=GREY, lw=0.8)
        for place, label in ticks:
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
            axes.text(x + 0.04, place, label, fontsize=8, va="center", bbox=box, zorder=5)
    order = sorted(range(len(scores)), key=lambda trial: (trial == best, scores[trial]))
    for position, trial in enumerate(order):
        color = BLUE if trial == best else colors[min(int(len(colors) * position / len(order)), len(colors) - 1)]
        axes.plot(lines[trial], color=color, lw=2.6 if trial == best else 1.0, alpha=0.9)
    axes.set_xticks(range(len(columns)), [shortened(name, 24) for name, _ in columns])
    axes.set(yticks=[], xlim=(-0.15, len(columns) - 0.4), ylim=(-0.05, 1.05))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return to_png(figure)


def is_number(value: Any) -> bool:
    """Return whether a value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def kinds_of(values: Sequence[Any]) -> list[Any]:
    """Return the different values, in order."""
    return list(dict.fromkeys(sorted(values, key=sort_key)))


def scale_of(values: Sequence[Any]) -> Literal["linear", "log"] | None:
    """Return the scale that shows numbers best: logarithmic if they are far apart; None for a list of choices."""
    if not all(map(is_number, values)):
        return None
    if min(values) > 0.0 and max(values) > 20.0 * min(values):
        return "log"
    return "linear" if len(set(values)) > max(4, min(MOST_LABELS, len(values) // 4)) else None


def place_values(axes: Any, values: Sequence[Any]) -> list[float]:
    """Return where values are along x, which is labelled: numbers at their value, others side by side."""
    if (scale := scale_of(values)) is not None:
        axes.set_xscale(scale)
        write_numbers(axes.xaxis, most=5)
        return [float(value) for value in values]
    kinds = kinds_of(values)
    axes.set_xticks(range(len(kinds)), [describe_value(kind) for kind in kinds])
    return [float(kinds.index(value)) for value in values]


def scale_values(values: Sequence[Any], *, is_score: bool) -> tuple[list[float], list[tuple[float, str]]]:
    """Return values as numbers from 0 to 1, and the labels of some of them."""
    kinds = kinds_of(values)
    scale = "linear" if is_score and len(kinds) > 1 else scale_of(values)
    if scale is not None:
        change = math.log10 if scale == "log" else float
        low, high = change(kinds[0]), change(kinds[-1])
        middle = (low + high) / 2.0
        ends = [(0.0, kinds[0]), (0.5, 10.0**middle if scale == "log" else middle), (1.0, kinds[-1])]
        places = [(change(value) - low) / (high - low) for value in values]
        return places, [(place, f"{value:.3g}") for place, value in ends]
    places = [kinds.index(value) / max(len(kinds) - 1, 1) for value in values]
    shown = kinds if len(kinds) <= MOST_LABELS else [kinds[0], kinds[-1]]
    return places, [(places[list(values).index(kind)], describe_value(kind)) for kind in shown]


def sort_key(value: Any) -> tuple[Any, ...]:
    """Return a key that sorts numbers by size, networks by depth and size, and names by the alphabet."""
    if isinstance(value, tuple):
        return (1, len(value), *value)
    return (0, value) if is_number(value) else (2, str(value))


def describe_value(value: Any) -> str:
    """Return a value in few characters."""
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
