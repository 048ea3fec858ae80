"""``xpmlp plot``: the pictures of a run drawn again, or several runs in one picture."""

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from xpmlp import plots
from xpmlp.backends import load_backend
from xpmlp.datasets import Split
from xpmlp.errors import DataError, ModelFileError, OutputError, SettingsError
from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model
from xpmlp.training import EpochRow
from xpmlp.whole_files import write_whole

from .arguments import BackendName, DataDirectory, DeviceName
from .console import make_console, print_note
from .judged_rows import find_rows
from .pictures import kept_epoch, run_pictures
from .recorded_data import recorded_data
from .run_history import read_history

COMPARISON = "comparison.png"


def plot(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Folders that [bold]xpmlp train[/bold] left its results in.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="What to judge on, where it is not to be found as it was for training; one run only."
        ),
    ] = None,
    data_dir: DataDirectory = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where the pictures go; by default the run's own folder, and for several runs the current one.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace pictures that are there, in another folder than the run's.")
    ] = False,
    backend: BackendName = "numpy",
    device: DeviceName = None,
) -> None:
    """Draw the pictures of a run again; of several runs one picture of all their curves.

    Curves, recognised images, the worst mistakes, the confusion matrix, calibration and the first layer's weights; for
    regression predicted against true, and residuals.
    """
    folders = [run.parent if run.name == "model.safetensors" and run.is_file() else run for run in runs]
    if len(folders) > 1:
        if data is not None:
            raise SettingsError(
                "--data: several runs are compared by their histories, which need no data. Leave it out."
            )
        compare(folders, output or Path(), force=force)
        return
    (folder,) = folders
    compute = load_backend(backend, device)
    model = load_model(folder / "model.safetensors")
    try:
        history = read_history(folder / "history.csv")
    except DataError as error:
        print_note(str(error))
        history = []
    rows, name, why_no_rows = find_test_rows(model, data, data_dir)
    pictures = run_pictures(model, history, rows, name, compute, why_no_rows=why_no_rows)
    target = output or folder
    if output is not None:
        prepare_folder(target, list(pictures.drawn), force=force)
    console = make_console()
    for file, draw in pictures.drawn.items():
        write_whole(target / file, draw())
    for reason in dict.fromkeys(pictures.left_out.values()):
        names = [file for file, why in pictures.left_out.items() if why == reason]
        print_note(f"not drawn: {', '.join(names)} ({reason})")
    console.print(Text.assemble("drawn in ", (str(target), "bold"), f": {', '.join(pictures.drawn)}"))


def find_test_rows(model: Model, data: str | None, data_dir: Path | None) -> tuple[Split | None, str, str]:
    """Return the rows to judge on and the data's name; where there are none that one can be sure of, why.

    Raises
    ------
    DataError
        Where data that was asked for cannot be used.
    """
    recorded = model.training.get("data")
    name = recorded if isinstance(recorded, str) else "run"
    if data is not None:
        found = find_rows(model, data, data_dir, None)
        for note in found.notes:
            print_note(note)
        return found.split, found.name, ""
    try:
        where, folder = recorded_data(model)
        found = find_rows(model, where, data_dir or folder, None)
    except DataError as error:
        return None, name, str(error)
    if found.which != "test rows":
        return None, name, f"nothing tells which rows of {where} it was not trained on; name them with --data"
    return found.split, name, ""


def compare(folders: list[Path], target: Path, *, force: bool) -> None:
    """Draw the curves of several runs in one picture."""
    histories: dict[str, list[EpochRow]] = {}
    kept: dict[str, int | None] = {}
    for folder, label in zip(folders, short_names(folders), strict=True):
        if label in histories:
            raise SettingsError(f"{folder}: is given twice. Give each run once.")
        histories[label] = read_history(folder / "history.csv")
        # Of a run that was killed there may be no model; its curves can be drawn all the same.
        with contextlib.suppress(ModelFileError):
            kept[label] = kept_epoch(load_model(folder / "model.safetensors"))
    prepare_folder(target, [COMPARISON], force=force)
    write_whole(target / COMPARISON, plots.draw_comparison(histories, f"{len(histories)} runs", kept))
    make_console().print(Text.assemble("drawn: ", (str(target / COMPARISON), "bold")))


def short_names(folders: list[Path]) -> list[str]:
    """Return the folders' names, with as many of those above them as it takes to tell them apart."""
    parts = [Path(os.path.abspath(folder)).parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len({tuple(part) for part in parts}):
            break
    return names


def prepare_folder(folder: Path, files: list[str], *, force: bool) -> None:
    """Make the folder for pictures, and refuse to replace what is there unless told to."""
    there = [file for file in files if (folder / file).exists()]
    if there and not force:
        raise OutputError(
            f"{folder}: already holds {', '.join(there)}. Choose another --output, or give --force to replace."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error}). Choose another --output.") from error
