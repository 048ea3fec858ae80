"""Options that say what the columns of a table are."""

from pathlib import Path
from typing import Annotated

import typer

from xpmlp.datasets.tables import TASKS, TableOptions
from xpmlp.model.table_schema import MISSING, SCALINGS

TABLES = "Tables"

Target = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="The column to predict; by default one named label, target, class or y.",
        rich_help_panel=TABLES,
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMNS", help="The columns to predict it from: a,b,c. By default all others.", rich_help_panel=TABLES
    ),
]
Exclude = Annotated[
    str | None, typer.Option(metavar="COLUMNS", help="Columns to leave out: a,b,c.", rich_help_panel=TABLES)
]
Categories = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMNS",
        help="Columns whose numbers are codes: a,b,c. Texts are categories anyway.",
        rich_help_panel=TABLES,
    ),
]
TestFile = Annotated[
    Path | None,
    typer.Option(
        "--test",
        metavar="FILE",
        help="A table with the test rows; else they are split off.",
        rich_help_panel=TABLES,
    ),
]
TestFraction = Annotated[
    float | None,
    typer.Option(
        metavar="PART", help="The part of the rows to split off: 0.2, a fifth, by default.", rich_help_panel=TABLES
    ),
]
MissingValues = Annotated[
    str,
    typer.Option(
        "--missing",
        metavar="HOW",
        help=f"What becomes of missing values: {', '.join(MISSING)} (leave the rows out).",
        rich_help_panel=TABLES,
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help=f"How numbers are scaled: {', '.join(SCALINGS)}. By default standard (mean 0, standard deviation 1), and "
        "unit (0 to 1) for pixels.",
        rich_help_panel=TABLES,
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="NAME",
        help=f"{' or '.join(TASKS)}; by default told by the target's values.",
        rich_help_panel=TABLES,
    ),
]


def collect_options(
    *,
    target: str | None = None,
    features: str | None = None,
    exclude: str | None = None,
    categories: str | None = None,
    test: Path | None = None,
    test_fraction: float | None = None,
    missing: str = "refuse",
    scale: str | None = None,
    task: str | None = None,
) -> TableOptions:
    """Put together what the user said of a table."""
    return TableOptions.parse(
        target=target,
        features=split_names(features),
        exclude=split_names(exclude),
        categories=split_names(categories),
        test=test,
        test_fraction=test_fraction,
        missing=missing,
        scale=scale,
        task=task,
    )


def split_names(text: str | None) -> tuple[str, ...]:
    """Return the names in a list with commas between them."""
    return () if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
