"""An inspection on a screen: what fits, the noteworthy first."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpmlp.inspection import ColumnSummary, Inspection, by_interest, concerns
from xpmlp.plots import shortened

MOST_COLUMNS = 24  # described on a screen
MOST_CLASSES = 26
NAMES_SHOWN = 8
BAR = 30  # characters of the commonest class's bar
LONGEST_NAME = 28
NARROWEST_NOTES = 10
LEFT_OUT_FIRST = (("type",), ("25 %", "75 %"), ("different",), ("50 %",), ("std",))  # where a screen is narrow
STATISTICS = {"mean": "mean", "std": "std", "min": "min", "q25": "25 %", "median": "50 %", "q75": "75 %", "max": "max"}


def print_inspection(console: Console, inspection: Inspection) -> None:
    """Print all that is found out, as far as a person can read it."""
    console.print(
        Text.assemble((inspection.name, "bold"), f": {inspection.rows:,} rows, {len(inspection.columns):,} columns")
    )
    for note in inspection.notes:
        console.print(f"note: {note}", style="yellow")
    ordered = list(inspection.columns)
    if len(ordered) > MOST_COLUMNS:
        ordered = by_interest(ordered, inspection.target)
    console.print()
    print_first_rows(console, inspection, ordered)
    print_columns(console, ordered)
    print_findings(console, inspection)
    print_classes(console, inspection)


def print_first_rows(console: Console, inspection: Inspection, ordered: list[ColumnSummary]) -> None:
    """Print the first rows, and of their columns as many as fit, then with the target in front."""
    names = names_that_fit(inspection, [summary.name for summary in ordered], console.width)
    if inspection.target is not None and inspection.target not in names:
        others = [summary.name for summary in ordered if summary.name != inspection.target]
        names = names_that_fit(inspection, [inspection.target, *others], console.width)
    hidden = len(ordered) - len(names)
    title = "first rows" + (f", of {len(names)} columns ({hidden:,} more)" if hidden else "")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in inspection.first_rows:
        table.add_row(*(cell(row[name]) for name in names))
    console.print(table)


def names_that_fit(inspection: Inspection, ordered: list[str], available: int) -> list[str]:
    """Return the names of as many columns as there is room for with the first rows under them, at least of one."""
    names: list[str] = []
    width = 4
    for name in ordered:
        width += max(len(name), *(len(cell(row[name])) for row in inspection.first_rows)) + 2
        if (names and width > available) or len(names) == MOST_COLUMNS:
            break
        names.append(name)
    return names


def print_columns(console: Console, ordered: list[ColumnSummary]) -> None:
    """Print each column in numbers; on a narrow screen fewer numbers, but those whole."""
    shown = ordered[:MOST_COLUMNS]
    rows = [describe(summary, min(LONGEST_NAME, console.width // 4)) for summary in shown]
    notes = [describe_concerns(summary) for summary in shown]
    headings = headings_that_fit(rows, console.width - 2 - min(NARROWEST_NOTES, max(map(len, notes))))
    more = len(ordered) > len(shown) or len(headings) < len(rows[0])
    title = f"columns, the {len(shown)} most noteworthy" if len(ordered) > len(shown) else "columns"
    table = Table(
        title=f"{title}; --json and --html have all" if more else title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in headings:
        is_text = heading in ("", "type")
        table.add_column(heading, no_wrap=True, justify="left" if is_text else "right", style="" if heading else "bold")
    table.add_column("")
    for summary, row, note in zip(shown, rows, notes, strict=True):
        style = "yellow" if concerns(summary) else "dim"
        table.add_row(*(row[heading] for heading in headings), Text(note, style=style))
    console.print(table)


def describe(summary: ColumnSummary, longest_name: int) -> dict[str, str]:
    """Return what is shown of a column, by the headings."""
    return {
        "": shortened(summary.name, longest_name),
        "type": summary.type,
        "missing": f"{summary.missing:,}" if summary.missing else "·",
        "different": cell(summary.distinct),
        **{heading: cell(getattr(summary, name)) for name, heading in STATISTICS.items()},
    }


def describe_concerns(summary: ColumnSummary) -> str:
    """Return what is said of a column in words."""
    mostly = [] if summary.top is None else [f"mostly {cell(summary.top)} ({summary.top_count:,})"]
    return "; ".join([*concerns(summary), *mostly])


def headings_that_fit(rows: list[dict[str, str]], width: int) -> list[str]:
    """Return the headings of the numbers for which there is room, those left out first that say least."""
    headings = list(rows[0])
    needed = {heading: 2 + max(len(heading), *(len(row[heading]) for row in rows)) for heading in headings}
    for group in LEFT_OUT_FIRST:
        if sum(needed[heading] for heading in headings) <= width:
            break
        headings = [heading for heading in headings if heading not in group]
    return headings


def print_findings(console: Console, inspection: Inspection) -> None:
    """Print what stands out in the whole table, a line each."""
    missing = [column for column in inspection.columns if column.missing]
    worst = sorted(missing, key=lambda column: -column.missing)
    lines = [
        (
            "missing values",
            f"in {len(missing):,} columns and {inspection.rows_with_missing:,} rows: "
            + names([f"{column.name} ({column.missing:,})" for column in worst])
            if missing
            else "none",
        ),
        (
            "constant columns",
            f"{len(inspection.constant):,}: {names(inspection.constant)}" if inspection.constant else "none",
        ),
        (
            "duplicated columns",
            f"{len(inspection.duplicated):,}: {names([f'{name} = {other}' for name, other in inspection.duplicated])}"
            if inspection.duplicated
            else "none",
        ),
    ]
    duplicates = inspection.duplicates
    if duplicates is None:
        lines.append(("duplicate rows", "not compared: a column holds lists or objects"))
    else:
        lines.append(("duplicate rows", f"{duplicates.count:,}" if duplicates.count else "none"))
        if duplicates.contradictions and inspection.task == "classification":
            lines.append(
                ("contradictions", f"{duplicates.contradictions:,} rows with the inputs of another class's row")
            )
    if inspection.image_shape is not None:
        lines.append(
            ("images", f"{' × '.join(map(str, inspection.image_shape))}; --html FILE shows some of each class")
        )
    for name, text in lines:
        console.print(Text.assemble((f"{name:<19}", "bold"), text))


def print_classes(console: Console, inspection: Inspection) -> None:
    """Print how many rows are of each class, with a bar."""
    if not inspection.classes:
        return
    console.print()
    shown = inspection.classes
    if len(shown) > MOST_CLASSES:
        shown = tuple(sorted(shown, key=lambda found: -found.rows)[:MOST_CLASSES])
    console.print(Text(f"classes of {inspection.target}: {len(inspection.classes):,}", "bold"))
    width = max(len(str(found.label)) for found in shown)
    most = max(found.rows for found in shown)
    for found in shown:
        bar = "█" * max(1, round(BAR * found.rows / most))
        console.print(f"  {found.label!s:>{width}}  {found.rows:>9,}  {100 * found.share:5.1f} %  {bar}")
    if len(shown) < len(inspection.classes):
        console.print(f"  and {len(inspection.classes) - len(shown):,} more, each with fewer rows")


def cell(value: Any) -> str:
    """Return a value as it fits into a column."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**9 else f"{value:.4g}"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def names(values: list[str] | tuple[str, ...]) -> str:
    """Return names in a line, not more than can be read."""
    shown = ", ".join(values[:NAMES_SHOWN])
    return shown if len(values) <= NAMES_SHOWN else f"{shown}, … "
