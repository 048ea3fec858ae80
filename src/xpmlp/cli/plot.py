"""``xpmlp plot``: the figures of a run drawn again, or the curves of several runs in one figure."""

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from xpmlp import plots
from xpmlp.backends import load_backend
from xpmlp.datasets import Split
from xpmlp.datasets.tables.loading import short_name
from xpmlp.errors import DataError, ModelFileError, SettingsError
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model
from xpmlp.training import EpochRow
from xpmlp.training.evaluation_rows import find_recorded_rows, find_rows
from xpmlp.whole_files import write_whole

from . import options
from .console import make_console, print_notes
from .figures import kept_epoch, run_figures
from .run_folder import read_history

COMPARISON = "comparison.png"


@options.grouped(compute=options.COMPUTE_OPTIONS)
def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders written by [bold]xpmlp train[/bold].")],
    data: Annotated[
        str | None,
        options.option("DATA", "Data to evaluate on, if the file has moved since training; for one run only."),
    ] = None,
    data_dir: options.DataDirectory = None,
    output: Annotated[
        Path | None,
        options.option(
            "PATH",
            "Folder for the figures, by default the run's own; for several runs a folder or a .png file, by default "
            "comparison.png.",
            None,
            *("--output", "-o"),
            parser=options.parse_output,
        ),
    ] = None,
    force: Annotated[bool, options.flag("--force", "Replace figures in a folder other than the run's own.")] = False,
    compute: Any = None,
) -> None:
    """Draw a run's figures again, or compare the curves of several runs.

    The figures are learning curves, classified images, the worst mistakes, the confusion matrix, calibration and the
    first layer's weights; for regression, predictions against true values and residuals.
    """
    folders = [run.parent if run.name == "model.safetensors" and run.is_file() else run for run in runs]
    if len(folders) > 1:
        if data is not None:
            raise SettingsError("--data: comparing several runs needs no data, only their histories. Leave it out.")
        compare(folders, output or Path(), force=force)
        return
    (folder,) = folders
    backend = load_backend(compute["backend"], compute["device"])
    model = load_model(folder)
    try:
        history = read_history(folder / "history.csv")
    except DataError as error:
        print_notes(str(error))
        history = []
    rows, name, why_no_rows = find_test_rows(model, data, data_dir)
    figures = run_figures(model, history, rows, name, backend, why_no_rows=why_no_rows)
    drawn = {file: draw for file, draw in figures.items() if callable(draw)}
    target = folder
    if output is not None:
        target = options.parse_folder(str(output))
        options.prepare_folder(target, drawn, force=force)
    for file, draw in drawn.items():
        write_whole(target / file, draw())
    for reason in dict.fromkeys(why for why in figures.values() if isinstance(why, str)):
        print_notes(f"not drawn: {', '.join(file for file, why in figures.items() if why == reason)} ({reason})")
    make_console().print(Text.assemble("drawn in ", (str(target), "bold"), f": {', '.join(drawn)}"))


def find_test_rows(model: Model, data: str | None, data_dir: Path | None) -> tuple[Split | None, str, str]:
    """Return the rows to evaluate on, the data's name, and why there are no rows if there are none."""
    if data is not None:
        rows = find_rows(model, data, data_dir, None)
        print_notes(*rows.notes)
        return rows.split, short_name(rows.name), ""
    recorded = model.training.get("data")
    name = recorded if isinstance(recorded, str) else "run"
    try:
        return find_recorded_rows(model, data_dir).split, name, ""
    except DataError as error:
        return None, name, str(error)


def compare(folders: list[Path], target: Path, *, force: bool) -> None:
    """Draw the curves of several runs in one figure."""
    histories: dict[str, list[EpochRow]] = {}
    kept: dict[str, int | None] = {}
    common = os.path.commonpath([folder.absolute() for folder in folders])
    for folder in folders:
        label = os.path.relpath(folder, common)
        if label in histories:
            raise SettingsError(f"{folder}: is given twice. Give each run once.")
        histories[label] = read_history(folder / "history.csv")
        # A run that was killed may have no model; its curves can be drawn all the same.
        with contextlib.suppress(ModelFileError):
            kept[label] = kept_epoch(load_model(folder))
    if target.suffix.lower() == ".png" and not target.is_dir():
        options.check_output(target, (".png",), force=force)
    else:
        options.prepare_folder(target, [COMPARISON], force=force)
        target /= COMPARISON
    write_whole(target, plots.draw_comparison(histories, f"{len(histories)} runs", kept))
    make_console().print(Text.assemble("drawn: ", (str(target), "bold")))
