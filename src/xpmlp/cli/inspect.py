"""``xpmlp inspect``: a look at data before training on them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpmlp.datasets.dataset import counted
from xpmlp.datasets.tables.options import READING
from xpmlp.errors import OutputError
from xpmlp.inspection.columns import STATISTICS, ColumnSummary, by_interest, concerns, shown
from xpmlp.inspection.inspection import Inspection, inspect_table, open_data
from xpmlp.inspection.report import html_report
from xpmlp.plots import shortened
from xpmlp.whole_files import write_whole

from . import options
from .console import make_console, make_table, print_first_that_fits

MOST_COLUMNS = 24  # described on a screen
MOST_CLASSES = 26
BAR = 30  # characters of the most common class's bar
LONGEST_NAME = 28
COMPACT = (0, 1, 0, 0)  # space around a cell
# Headings left out on a narrow screen, the first ones first.
LEFT_OUT_FIRST = (("type",), ("25 %", "75 %"), ("distinct",), ("50 %",), ("std",))


@options.grouped(table=options.table_options("target", "task", "categories", "image_size", *READING))
def inspect(
    data: options.Data,
    table: Any = None,
    data_dir: options.DataDirectory = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object with everything instead.")] = False,
    html: Annotated[Path | None, options.option("FILE", "Also write everything to an HTML page, with figures.")] = None,
    force: options.ForceFile = False,
) -> None:
    """Describe DATA: first rows, column statistics, missing values, classes, duplicates."""
    if html is not None and html.exists() and not force:
        raise OutputError(f"{html}: already exists. Choose another name, or give --force to replace it.")
    given = options.collect_table_options(table)
    opened, target = open_data(data, data_dir, given)
    inspection = inspect_table(opened, target=target, task=given.task)
    if html is not None:
        write_whole(html, html_report(inspection, opened).encode())
    if as_json:
        typer.echo(json.dumps(inspection.to_json()))
        return
    console = make_console()
    print_inspection(console, inspection)
    if html is not None:
        console.print(f"written to {html}")


def print_inspection(console: Console, inspection: Inspection) -> None:
    """Print as much of an inspection as a person can read."""
    console.print(
        Text.assemble(
            (inspection.name, "bold"),
            f": {counted(inspection.rows, 'row')}, {counted(len(inspection.columns), 'column')}",
        )
    )
    for note in inspection.notes:
        console.print(f"note: {note}", style="yellow")
    ordered = list(inspection.columns)
    if len(ordered) > MOST_COLUMNS:
        ordered = by_interest(ordered, inspection.target)
    console.print()
    print_first_that_fits(console, first_rows(inspection, ordered))
    print_first_that_fits(console, column_tables(ordered, console.width))
    for name, text in inspection.findings().items():
        hint = "; --html FILE shows some of each class" if name == "images" else ""
        console.print(Text.assemble((f"{name:<19}", "bold"), text, hint))
    print_classes(console, inspection)


def first_rows(inspection: Inspection, ordered: list[ColumnSummary]) -> Iterator[Table]:
    """Yield tables of the first rows with fewer and fewer columns, the target among them."""
    every, target = [summary.name for summary in ordered], inspection.target
    for count in range(min(len(every), MOST_COLUMNS), 0, -1):
        names, hidden = every[:count], len(every) - count
        if target is not None and target not in names:
            names = [target, *names[:-1]]
        table = make_table("first rows" + (f", {count} columns ({hidden:,} more)" if hidden else ""))
        table.padding = COMPACT
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for row in inspection.first_rows:
            table.add_row(*(cell(row[name]) for name in names))
        yield table


def column_tables(ordered: list[ColumnSummary], width: int) -> Iterator[Table]:
    """Yield tables of each column's statistics with fewer and fewer of them."""
    described = ordered[:MOST_COLUMNS]
    rows = [describe(summary, min(LONGEST_NAME, width // 4)) for summary in described]
    for count in range(len(LEFT_OUT_FIRST) + 1):
        left_out = [heading for group in LEFT_OUT_FIRST[:count] for heading in group]
        title = f"columns, the {len(described)} most notable" if len(ordered) > len(described) else "columns"
        more = len(ordered) > len(described) or left_out
        table = make_table(f"{title}; all with --json or --html" if more else title)
        table.padding = COMPACT
        headings = [heading for heading in rows[0] if heading not in left_out]
        for heading in headings:
            is_text = heading in ("", "type")
            table.add_column(
                heading, no_wrap=True, justify="left" if is_text else "right", style="" if heading else "bold"
            )
        table.add_column("")
        for summary, row in zip(described, rows, strict=True):
            note = Text(describe_concerns(summary), style="yellow" if concerns(summary) else "dim")
            table.add_row(*(row[heading] for heading in headings), note)
        yield table


def describe(summary: ColumnSummary, longest_name: int) -> dict[str, str]:
    """Return the cells of a column's row by their headings."""
    return {
        "": shortened(summary.name, longest_name),
        "type": summary.type,
        "missing": f"{summary.missing:,}" if summary.missing else "·",
        "distinct": "" if summary.distinct is None else f"{summary.distinct:,}",
        **{heading: cell(getattr(summary, name)) for name, heading in STATISTICS.items()},
    }


def describe_concerns(summary: ColumnSummary) -> str:
    """Return the notes on a column."""
    top_count = summary.top_count or 0
    mostly = [f"mostly {cell(summary.top)} ({top_count:,})"] if top_count > 1 else []
    return "; ".join([*concerns(summary), *mostly])


def print_classes(console: Console, inspection: Inspection) -> None:
    """Print the number of rows of each class, with a bar."""
    if not inspection.classes:
        return
    console.print()
    classes = inspection.classes
    if len(classes) > MOST_CLASSES:
        classes = tuple(sorted(classes, key=lambda found: -found.rows)[:MOST_CLASSES])
    console.print(Text(f"classes of {inspection.target}: {len(inspection.classes):,}", "bold"))
    width = max(len(str(found.label)) for found in classes)
    most = max(found.rows for found in classes)
    for found in classes:
        bar = "█" * max(1, round(BAR * found.rows / most))
        console.print(f"  {found.label!s:>{width}}  {found.rows:>9,}  {100 * found.share:5.1f} %  {bar}")
    if len(classes) < len(inspection.classes):
        console.print(f"  and {len(inspection.classes) - len(classes):,} smaller classes")


def cell(value: Any) -> str:
    """Return a value in a form short enough for a table."""
    return shortened(shown(value), 24)
