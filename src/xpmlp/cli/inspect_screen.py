"""An inspection on a screen: what fits, the noteworthy first."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpmlp.inspection import ColumnSummary, Inspection, by_interest
from xpmlp.inspection.interest import concerns

MOST_COLUMNS = 24  # described on a screen
MOST_CLASSES = 26
NAMES_SHOWN = 8
BAR = 30  # characters of the commonest class's bar
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
    """Print the first rows, and of their columns as many as fit."""
    names: list[str] = []
    width = 4
    for summary in ordered:
        cells = [summary.name, *(cell(row[summary.name]) for row in inspection.first_rows)]
        needed = max(map(len, cells)) + 2
        if (names and width + needed > console.width) or len(names) == MOST_COLUMNS:
            break
        names.append(summary.name)
        width += needed
    hidden = len(ordered) - len(names)
    title = "first rows" + (f", of {len(names)} columns ({hidden:,} more)" if hidden else "")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in inspection.first_rows:
        table.add_row(*(cell(row[name]) for name in names))
    console.print(table)


def print_columns(console: Console, ordered: list[ColumnSummary]) -> None:
    """Print each column in numbers."""
    shown = ordered[:MOST_COLUMNS]
    more = len(ordered) - len(shown)
    title = "columns" + (f", the {len(shown)} most noteworthy; --json and --html have all" if more else "")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True, style="bold", max_width=28)
    table.add_column("type")
    for name in ("missing", "different", *STATISTICS.values()):
        table.add_column(name, justify="right")
    table.add_column("")
    for summary in shown:
        notes = concerns(summary)
        if summary.top is not None:
            notes.append(f"mostly {summary.top} ({summary.top_count:,})")
        table.add_row(
            summary.name,
            summary.type,
            f"{summary.missing:,}" if summary.missing else "·",
            cell(summary.distinct),
            *(cell(getattr(summary, name)) for name in STATISTICS),
            Text("; ".join(notes), style="yellow" if concerns(summary) else "dim"),
        )
    console.print(table)


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
