"""How much each column matters, as bars."""

from collections.abc import Sequence

from .style import BLUE, GREY, Picture, house_style, lighten, new_figure, shortened, to_png

MOST_COLUMNS = 30


@house_style()
def draw_importances(
    columns: Sequence[str], means: Sequence[float], deviations: Sequence[float], *, metric: str, title: str = ""
) -> Picture:
    """Draw a bar for each column, the first at the top: how much the score falls if it is shuffled.

    Of many columns, the first 30 are drawn. The lines at the ends of the bars are standard deviations.
    """
    names = [shortened(name, 30) for name in columns[:MOST_COLUMNS]]
    more = len(columns) - len(names)
    figure = new_figure(7.2, 1.3 + 0.26 * len(names), title)
    axes = figure.subplots()
    places = range(len(names))
    axes.barh(places, means[: len(names)], xerr=deviations[: len(names)], color=BLUE, ecolor=GREY, height=0.7)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.axvline(0.0, color=GREY, lw=0.8)
    hidden = f"; {more:,} more columns matter less" if more else ""
    axes.set_xlabel(f"drop in {metric} when the column is shuffled{hidden}")
    lighten(axes)
    return to_png(figure)
