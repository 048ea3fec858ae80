"""An inspection as one HTML page, with its figures inside."""

import base64
import html
from string import Template
from typing import Any

import numpy as np

from xpmlp.datasets.tables.table import Table, import_polars
from xpmlp.notebooks import html_table
from xpmlp.plots import BLUE, GREY, house_style, new_figure, shortened, to_png
from xpmlp.plots.style import write_numbers

from .columns import STATISTICS, ColumnSummary, by_interest, concerns, shown
from .inspection import Inspection

HISTOGRAMS = 12
HISTOGRAM_COLUMNS = 4
BINS = 30
MOST_BARS = 40
GAP = 1  # pixels between two images of a sheet
FIRST_COLUMNS = 20  # of the first rows; no one reads hundreds side by side
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; --ink: #1b1f23; --soft: #57606a; --line: #d8dee4; --accent: #0072b2; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
ul { color: var(--soft); padding-left: 1.2rem; }
img { max-width: 100%; height: auto; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; }
.facts div { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .8rem; }
.facts b { display: block; font-size: 1.15rem; color: var(--accent); overflow-wrap: anywhere; }
.facts span { color: var(--soft); font-size: .85rem; }
.scroll { overflow: auto; max-height: 36rem; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: #f6f8fa; }
.noted :is(th, td):is(:first-child, :last-child) { text-align: left; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
"""


def html_report(inspection: Inspection, table: Table) -> str:
    """Return an HTML page with all of an inspection, and with figures of the table's values."""
    ordered = by_interest(list(inspection.columns), inspection.target)
    sections = {"Images": picture(draw_contact_sheet(inspection), "images of each class") if inspection.images else ""}
    if inspection.classes:
        sections["Classes"] = picture(draw_classes(inspection), "rows of each class")
    histograms = draw_histograms(table, [c for c in ordered if not inspection.classes or c.name != inspection.target])
    if histograms is not None:
        sections["Distributions"] = picture(histograms, "histograms of columns")
    sections["First rows"] = first_rows(inspection, ordered)
    sections[f"All {len(ordered):,} columns, the noteworthy ones first"] = column_table(ordered)
    body = [f"<section><h2>{heading}</h2>\n{content}</section>" for heading, content in sections.items() if content]
    return Template(PAGE).substitute(title=escape(inspection.name), body="\n".join([facts(inspection), *body]))


def escape(value: Any) -> str:
    """Return text escaped for HTML."""
    return html.escape(str(value))


def picture(png: bytes, description: str) -> str:
    """Return an embedded image."""
    return f'<img alt="{description}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def facts(inspection: Inspection) -> str:
    """Return the main numbers and the notes."""
    values = {"rows": f"{inspection.rows:,}", "columns": f"{len(inspection.columns):,}"}
    if inspection.target is not None:
        values["target"] = f"{inspection.target} ({inspection.task})"
    values |= inspection.findings()
    cells = "".join(f"<div><b>{escape(value)}</b><span>{name}</span></div>" for name, value in values.items())
    notes = "".join(f"<li>{escape(note)}</li>" for note in inspection.notes)
    return f'<div class="facts">{cells}</div>' + (f"<ul>{notes}</ul>" if notes else "")


def first_rows(inspection: Inspection, ordered: list[ColumnSummary]) -> str:
    """Return the first rows; if there are many columns, of the noteworthy ones."""
    hidden = len(ordered) - FIRST_COLUMNS
    names = [summary.name for summary in (ordered[:FIRST_COLUMNS] if hidden > 0 else inspection.columns)]
    note = f"<p>and {hidden:,} more columns</p>" if hidden > 0 else ""
    return grid(names, [[row[name] for name in names] for row in inspection.first_rows]) + note


def column_table(ordered: list[ColumnSummary]) -> str:
    """Return the summaries of all columns."""
    rows = []
    for summary in ordered:
        notes = concerns(summary)
        if summary.top is not None:
            notes.append(f"most frequent: {summary.top} ({summary.top_count:,})")
        counts = [f"{summary.count:,}", f"{summary.missing:,}", summary.distinct and f"{summary.distinct:,}"]
        statistics = [getattr(summary, name) for name in STATISTICS]
        rows.append([summary.name, summary.type, *counts, *statistics, "; ".join(notes)])
    return grid(["column", "type", "rows", "missing", "different", *STATISTICS.values(), "note"], rows, style="noted")


def grid(headings: list[str], rows: list[list[Any]], style: str = "plain") -> str:
    """Return a table that scrolls if it is larger than the page."""
    return f'<div class="scroll {style}">{html_table(headings, (map(shown, row) for row in rows))}</div>'


@house_style()
def draw_contact_sheet(inspection: Inspection) -> bytes:
    """Draw some images of each class, one row for each."""
    assert inspection.image_shape is not None  # there are images
    height, width, *colors = inspection.image_shape
    most = max(len(images) for images in inspection.images.values())
    lines = []
    for images in inspection.images.values():
        low, high = float(images.min()), float(images.max())
        scaled = (images - low) / (high - low or 1.0)
        gaps = ((0, most - len(images)), (0, GAP), (0, GAP), *[(0, 0) for _ in colors])
        padded = np.pad(scaled, gaps, constant_values=1.0)
        lines.append(np.concatenate(list(padded), axis=1))
    sheet_width = 0.55 * most * min(width / height, 2.0) + 1.2
    figure = new_figure(max(sheet_width, 3.0), 0.55 * len(lines) * min(height / width, 2.0) + 0.5)
    axes = figure.subplots()
    axes.imshow(np.concatenate(lines), cmap="gray", interpolation="nearest")
    places = [(height + GAP) * line + height / 2 for line in range(len(lines))]
    axes.set_yticks(places, [shortened(str(label), 20) for label in inspection.images])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    title = "the first images of each class" if inspection.classes else "the first images"
    axes.set_title(title, color=GREY, loc="left")
    return to_png(figure)


@house_style()
def draw_classes(inspection: Inspection) -> bytes:
    """Draw the number of rows of each class; if there are many, of the most frequent ones."""
    classes = sorted(inspection.classes, key=lambda found: -found.rows) if len(inspection.classes) > MOST_BARS else None
    drawn = (classes or list(inspection.classes))[:MOST_BARS]
    figure = new_figure(6.4, 0.26 * len(drawn) + 0.9)
    axes = figure.subplots()
    bars = axes.barh(range(len(drawn)), [found.rows for found in drawn], color=BLUE, height=0.7)
    axes.set_yticks(range(len(drawn)), [shortened(str(found.label), 24) for found in drawn])
    axes.bar_label(bars, [f"{found.rows:,}  ({100 * found.share:.1f} %)" for found in drawn], padding=3, color=GREY)
    axes.invert_yaxis()
    axes.margins(x=0.22)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    more = f", the {MOST_BARS} most frequent of {len(inspection.classes):,}" if classes else ""
    axes.set_title(f"rows of each class of {shortened(inspection.target or '', 30)}{more}", color=GREY, loc="left")
    return to_png(figure)


@house_style()
def draw_histograms(table: Table, summaries: list[ColumnSummary]) -> bytes | None:
    """Draw histograms of some columns of numbers; None if there are none."""
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
        is_whole = bool((values == np.round(values)).all())
        bins: Any = min(BINS, max(1, summary.distinct or 1))
        if is_whole and values.max() - values.min() < BINS:
            bins = np.arange(values.min() - 0.5, values.max() + 1.0)  # one for each whole number
        axes.hist(values, bins=bins, color=BLUE)
        axes.set_title(shortened(summary.name, 26), fontsize="small")
        axes.tick_params(labelsize="x-small")
        write_numbers(axes.xaxis, most=3, integer=is_whole)
        # Years have no separators.
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.7g}" if abs(value) >= 1e4 else f"{value:.7g}")
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    return to_png(figure)
