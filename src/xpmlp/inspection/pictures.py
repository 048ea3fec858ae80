"""Pictures of data: images class by class, how often each class comes, and how the columns' values are spread."""

from typing import Any

import numpy as np

from xpmlp.datasets.tables import Table
from xpmlp.datasets.tables.table import import_polars
from xpmlp.plots import BLUE, GREY, house_style, new_figure, shortened, to_png

from .inspection import Inspection
from .summary import ColumnSummary

HISTOGRAMS = 12
HISTOGRAM_COLUMNS = 4
BINS = 30
MOST_BARS = 40
GAP = 1  # pixels between two images of a sheet


@house_style()
def draw_contact_sheet(inspection: Inspection) -> bytes:
    """Draw some images of each class, a line for each."""
    shape = inspection.image_shape
    assert shape is not None  # there are images
    height, width = shape
    most = max(len(images) for images in inspection.images.values())
    lines = [strip(images, most) for images in inspection.images.values()]
    sheet_width = 0.55 * most * min(width / height, 2.0) + 1.2
    figure = new_figure(max(sheet_width, 3.0), 0.55 * len(lines) * min(height / width, 2.0) + 0.5)
    axes = figure.subplots()
    axes.imshow(np.concatenate(lines), cmap="gray", interpolation="nearest")
    places = [(height + GAP) * line + height / 2 for line in range(len(lines))]
    axes.set_yticks(places, [shortened(str(label), 20) for label in inspection.images])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(
        "the first images of each class" if inspection.classes else "the first images", color=GREY, loc="left"
    )
    return to_png(figure)


def strip(images: Any, most: int) -> Any:
    """Return images beside each other, white where there are fewer than the most of all classes."""
    images = images.astype(np.float64)
    low, high = images.min(), images.max()
    scaled = (images - low) / (high - low or 1.0)
    count, height, width = scaled.shape
    line = np.ones((height + GAP, most * (width + GAP)))
    for index in range(count):
        line[:height, index * (width + GAP) : index * (width + GAP) + width] = scaled[index]
    return line


@house_style()
def draw_classes(inspection: Inspection) -> bytes:
    """Draw how many rows are of each class, the commonest ones where there are many."""
    classes = sorted(inspection.classes, key=lambda found: -found.rows) if len(inspection.classes) > MOST_BARS else None
    shown = (classes or list(inspection.classes))[:MOST_BARS]
    figure = new_figure(6.4, 0.26 * len(shown) + 0.9)
    axes = figure.subplots()
    names = [shortened(str(found.label), 24) for found in shown]
    bars = axes.barh(range(len(shown)), [found.rows for found in shown], color=BLUE, height=0.7)
    axes.set_yticks(range(len(shown)), names)
    axes.bar_label(bars, [f"{found.rows:,}  ({100 * found.share:.1f} %)" for found in shown], padding=3, color=GREY)
    axes.invert_yaxis()
    axes.margins(x=0.22)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    more = f", the commonest {MOST_BARS} of {len(inspection.classes):,}" if classes else ""
    axes.set_title(f"rows of each class of {shortened(inspection.target or '', 30)}{more}", color=GREY, loc="left")
    return to_png(figure)


@house_style()
def draw_histograms(table: Table, summaries: list[ColumnSummary]) -> bytes | None:
    """Draw how the values of some columns of numbers are spread; None where there is nothing to draw."""
    drawn = [summary for summary in summaries if summary.kind == "number" and not summary.is_constant][:HISTOGRAMS]
    if not drawn:
        return None
    lines = -(-len(drawn) // HISTOGRAM_COLUMNS)
    columns = min(len(drawn), HISTOGRAM_COLUMNS)
    figure = new_figure(2.6 * columns, 1.9 * lines)
    figure.get_layout_engine().set(hspace=0.12)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    for axes, summary in zip(grid.flat, drawn, strict=False):
        values = table.column(summary.name).cast(import_polars().Float64).drop_nulls().to_numpy()
        values = values[np.isfinite(values)]
        bins = min(BINS, max(1, summary.distinct or 1))
        axes.hist(values, bins=bins, color=BLUE)
        axes.set_title(shortened(summary.name, 26), fontsize="small")
        axes.tick_params(labelsize="x-small")
        axes.xaxis.get_major_locator().set_params(nbins=4)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    return to_png(figure)
