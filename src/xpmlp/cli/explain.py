"""``xpmlp explain``: which columns of a table a saved model relies on."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.bar import Bar

from xpmlp.backends import load_backend
from xpmlp.datasets.tables.loading import short_name
from xpmlp.model.model_file import load_model
from xpmlp.training.evaluation_rows import find_recorded_data, find_rows
from xpmlp.training.importance import permutation_importance
from xpmlp.whole_files import write_whole

from . import options
from .console import make_console, make_table, print_notes

BAR = 30  # characters of the longest bar, if there is room


@options.grouped(table=options.READING_OPTIONS, compute=options.COMPUTE_OPTIONS)
def explain(
    model: options.ModelPath,
    data: Annotated[
        str | None,
        typer.Argument(metavar="TABLE", help="Rows with their true values; by default the table of MODEL's training."),
    ] = None,
    output: Annotated[
        Path | None,
        options.option("FILE", "Also draw them, to a .png file.", None, "--output", "-o"),
    ] = None,
    force: options.ForceFile = False,
    repeats: Annotated[int, options.option("N", "Times that each column is shuffled.", min=1)] = 10,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object instead.")] = False,
    target: options.TargetName = None,
    table: Any = None,
    compute: Any = None,
) -> None:
    """Show how much each column of TABLE matters to MODEL.

    Each column is shuffled in turn; the drop in accuracy (R² for regression) is its permutation importance. If MODEL
    was trained on a part of the table, the rows held out are used; otherwise all rows are. Two columns with the
    same information both seem to matter little.
    """
    options.check_output(output, (".png",), force=force)
    backend = load_backend(compute["backend"], compute["device"])
    trained = load_model(model)
    data = data or find_recorded_data(trained, None)[0]
    rows = find_rows(trained, data, None, target, options.collect_table_options(table))
    found = permutation_importance(trained, rows.split, repeats=repeats, backend=backend, prepared=True)
    summary = f"{found.metric} {found.score:.4f} on {found.rows:,} {rows.which}"
    if output is not None:
        write_whole(output, found.plot(f"{short_name(rows.name)}: {summary}"))
    if as_json:
        columns = [column._asdict() for column in found.columns]
        typer.echo(json.dumps({"metric": found.metric, "score": found.score, "rows": found.rows, "columns": columns}))
        return
    print_notes(*rows.notes)
    console = make_console()
    console.print(f"{rows.name}: {summary}")
    screen = make_table("", "column", f"drop in {found.metric}", "±", "")
    screen.columns[-1].justify = "left"
    screen.columns[-1].max_width = BAR
    longest = max(found.columns[0].mean, 1e-12)
    for column in found.columns:
        bar = Bar(longest, 0.0, max(0.0, column.mean))
        screen.add_row(column.column, f"{column.mean:.4f}", f"{column.deviation:.4f}", bar)
    console.print(screen)
    if output is not None:
        console.print(f"drawn in {output}")
