"""An inspection as one web page that needs no other file."""

import base64
import html
from string import Template
from typing import Any

from xpmlp.datasets.tables import Table

from .inspection import Inspection
from .interest import by_interest, concerns
from .page import PAGE
from .pictures import draw_classes, draw_contact_sheet, draw_histograms
from .summary import STATISTICS, ColumnSummary

FIRST_COLUMNS = 20  # of the first rows; no one reads hundreds side by side
HEADINGS = (
    "column",
    "type",
    "rows",
    "missing",
    "different",
    "mean",
    "std",
    "min",
    "25 %",
    "50 %",
    "75 %",
    "max",
    "note",
)


def html_report(inspection: Inspection, table: Table) -> str:
    """Return a page with everything that was found out, its pictures inside.

    Parameters
    ----------
    table
        The table that was inspected; the pictures are drawn of its values.
    """
    ordered = by_interest(list(inspection.columns), inspection.target)
    sections = [facts(inspection)]
    if inspection.images:
        sections.append(section("Images", picture(draw_contact_sheet(inspection), "images of each class")))
    if inspection.classes:
        sections.append(section("Classes", picture(draw_classes(inspection), "rows of each class")))
    spread = [summary for summary in ordered if not inspection.classes or summary.name != inspection.target]
    histograms = draw_histograms(table, spread)
    if histograms is not None:
        sections.append(section("How values are spread", picture(histograms, "histograms of columns")))
    sections.append(section("First rows", first_rows(inspection, ordered)))
    sections.append(section(f"All {len(ordered):,} columns, the noteworthy ones first", column_table(ordered)))
    return Template(PAGE).substitute(title=escape(inspection.name), body="\n".join(sections))


def escape(value: Any) -> str:
    """Return text as it can stand in a page."""
    return html.escape(str(value))


def section(heading: str, content: str) -> str:
    """Return a part of the page under a heading."""
    return f"<section><h2>{escape(heading)}</h2>\n{content}</section>"


def picture(png: bytes, description: str) -> str:
    """Return a picture that is part of the page."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">'


def facts(inspection: Inspection) -> str:
    """Return the numbers that come first, and what should be known."""
    pairs = [
        ("rows", f"{inspection.rows:,}"),
        ("columns", f"{len(inspection.columns):,}"),
        ("rows with missing values", f"{inspection.rows_with_missing:,}"),
        ("constant columns", f"{len(inspection.constant):,}"),
        ("duplicated columns", f"{len(inspection.duplicated):,}"),
    ]
    if inspection.duplicates is not None:
        pairs.append(("duplicate rows", f"{inspection.duplicates.count:,}"))
        if inspection.duplicates.contradictions is not None and inspection.task == "classification":
            pairs.append(("same inputs, other class", f"{inspection.duplicates.contradictions:,}"))
    if inspection.target is not None:
        pairs.append(("target", f"{inspection.target} ({inspection.task})"))
    if inspection.image_shape is not None:
        pairs.append(("images", " × ".join(map(str, inspection.image_shape))))
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in pairs)
    notes = "".join(f"<li>{escape(note)}</li>" for note in inspection.notes)
    return f'<div class="facts">{cells}</div>' + (f"<ul>{notes}</ul>" if notes else "")


def first_rows(inspection: Inspection, ordered: list[ColumnSummary]) -> str:
    """Return the first rows, of many columns the noteworthy ones."""
    names = [summary.name for summary in inspection.columns]
    hidden = len(names) - FIRST_COLUMNS
    if hidden > 0:
        names = [summary.name for summary in ordered[:FIRST_COLUMNS]]
    rows = [[shown(row[name]) for name in names] for row in inspection.first_rows]
    note = f"<p>and {hidden:,} more columns</p>" if hidden > 0 else ""
    return grid(names, rows) + note


def column_table(ordered: list[ColumnSummary]) -> str:
    """Return the description of all columns."""
    rows = []
    for summary in ordered:
        numbers = [shown(getattr(summary, name)) for name in STATISTICS]
        notes = concerns(summary)
        if summary.top is not None:
            notes.append(f"commonest: {summary.top} ({summary.top_count:,})")
        distinct = "" if summary.distinct is None else f"{summary.distinct:,}"
        rows.append(
            [
                summary.name,
                summary.type,
                f"{summary.count:,}",
                f"{summary.missing:,}",
                distinct,
                *numbers,
                "; ".join(notes),
            ]
        )
    return grid(list(HEADINGS), rows, style="noted")


def grid(headings: list[str], rows: list[list[str]], style: str = "plain") -> str:
    """Return a table that scrolls where it is larger than the page."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f'<table class="{style}"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def shown(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
