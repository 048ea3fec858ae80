"""Options of long runs: checkpoints, early stopping, and resuming."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpmlp.datasets.load import NAMES
from xpmlp.errors import DataError, OutputError, SettingsError
from xpmlp.training import Callback, Checkpoint, Checkpointing, EarlyStopping, newest_checkpoint
from xpmlp.training.checkpoint import checkpoint_files
from xpmlp.whole_files import read_whole, write_whole

from . import options
from .console import shell_command

CHECKPOINTS = "checkpoints"  # the folder, within a run's
COMMAND = "command.json"  # in that folder while the run lasts: the command's values
PATHS = ("data_dir", "test", "output")  # stored as absolute paths, to resume from any folder
CHOSEN_BY_TEST_ROWS = 0.0  # the validation fraction of runs of earlier versions: the test rows chose the epoch
FREE = ("resume", "quiet", "threads", "mpi")  # options that may change on resuming
PANEL = "Long runs"
OPTIONS: options.Group = {
    "checkpoint_every": options.declare(int, "N", "Save a checkpoint every N epochs.", PANEL),
    "checkpoint_minutes": options.declare(float, "N", "Save a checkpoint every N minutes.", PANEL),
    "patience": options.declare(
        int,
        "N",
        "Stop when the validation loss has not improved for N epochs. model.safetensors then has the best weights, "
        "last.safetensors the last.",
        PANEL,
    ),
    "resume": options.declare(
        Path, "RUN", "Resume the run in this folder from its newest checkpoint; no other option is needed.", PANEL
    ),
}


def resume_command(context: Any, given: Mapping[str, Any]) -> tuple[dict[str, Any], Checkpoint | None]:
    """Return the values a run was started with and its newest checkpoint; None if it was killed before the first.

    `given` are the values of the command that resumes it.

    Raises
    ------
    SettingsError
        If an option is given with another value than the run has.
    DataError
        If there is nothing to resume.
    """
    checkpoint: Checkpoint | None = None
    run = Path(given["resume"])
    run = run.parent if run.is_file() else run  # its model.safetensors
    try:
        checkpoint = newest_checkpoint(run / CHECKPOINTS)
        stored = dict(checkpoint.settings)
    except DataError:
        stored = {}
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            stored = dict(json.loads(read_whole(run / CHECKPOINTS / COMMAND)))
        if not stored and not run.is_dir():
            raise DataError(f"--resume {run}: there is no such folder. Give the folder of a run.") from None
        if not stored and (runs := sorted(run.glob(f"*/{CHECKPOINTS}"), key=os.path.getmtime)):
            raise DataError(f"--resume {run}: holds several runs. Did you mean {runs[-1].parent}?") from None
        if not stored:
            raise
    stored.setdefault("validation_fraction", CHOSEN_BY_TEST_ROWS)
    differences = []
    for name, value in to_plain(given).items():
        source = context.get_parameter_source(name)
        # By name: which class the enumeration is depends on the version of Typer, which may have its own Click.
        is_given = source is not None and source.name == "COMMANDLINE" and name not in FREE
        if is_given and value != stored.get(name):
            option = "DATA" if name == "data" else f"--{name.replace('_', '-')}"
            differences.append(f"{option} {value} was given, but the run has {stored.get(name)}")
    if differences:
        raise SettingsError(
            f"--resume {run}: a run is resumed with its own settings. {'; '.join(differences)}. Leave it out, or start "
            "a new run."
        )
    values = {**given, **stored, "threads": given["threads"] or stored.get("threads"), "quiet": given["quiet"]}
    values |= {name: Path(values[name]) for name in PATHS if values[name] is not None}
    return values | {"output": run, "force": True, "resume": run}, checkpoint


def to_plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command's values as JSON holds them, with absolute paths."""
    plain = dict(values)
    for name in PATHS:
        if plain.get(name) is not None:
            plain[name] = os.path.abspath(plain[name])
    data = plain.get("data")
    if data is not None and data not in NAMES:
        plain["data"] = os.path.abspath(os.path.expanduser(data))
    plain["resume"] = None
    return plain


def check_checkpoints(folder: Path, *, force: bool) -> None:
    """Refuse a folder with the checkpoints of another run, which would be lost."""
    found: list[tuple[int, Path]] = []
    with contextlib.suppress(OSError):  # of a path that cannot be, `RunFolder` tells
        found = checkpoint_files(folder / CHECKPOINTS)
    if found and not force:
        raise OutputError(
            f"{folder}: holds the checkpoints of a run. Resume it: {shell_command('train', '--resume', folder)}. Or "
            "choose another --output, or give --force to start over."
        )


def check_long_run(values: Mapping[str, Any]) -> None:
    """Refuse intervals that are not positive."""
    for name in ("checkpoint_every", "checkpoint_minutes", "patience"):
        if values[name] is not None and not values[name] > 0:
            raise SettingsError(f"--{name.replace('_', '-')}: {values[name]} is not a number above 0.")
    fraction = values["validation_fraction"]
    if fraction is not None and not 0.0 < fraction < 1.0 and not (values["resume"] and fraction == CHOSEN_BY_TEST_ROWS):
        raise SettingsError(f"--validation-fraction: {fraction} is not between 0 and 1. Give 0.1 for a tenth.")


def saves_checkpoints(values: Mapping[str, Any]) -> bool:
    """Return whether a command asks for checkpoints."""
    return values["checkpoint_every"] is not None or values["checkpoint_minutes"] is not None


def write_command(folder: Path, values: Mapping[str, Any]) -> None:
    """Save a command's values if it asks for checkpoints: a run killed before the first can then start again."""
    if saves_checkpoints(values):
        with contextlib.suppress(OSError):  # if nothing can be written, saving the first checkpoint reports it
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            write_whole(folder / CHECKPOINTS / COMMAND, json.dumps(to_plain(values)).encode())


def remove_command(folder: Path) -> None:
    """Remove what `write_command` saved, at the end of a run; its checkpoints stay."""
    with contextlib.suppress(OSError):
        (folder / CHECKPOINTS / COMMAND).unlink()
        (folder / CHECKPOINTS).rmdir()  # fails if there are checkpoints in it


def make_callbacks(values: Mapping[str, Any], folder: Path | None) -> list[Callback]:
    """Return the callbacks that a command asks for: early stopping first, then checkpoints, if there is a folder."""
    callbacks: list[Callback] = []
    if values["patience"] is not None or values["validation_fraction"]:
        callbacks.append(EarlyStopping(values["patience"]))
    if saves_checkpoints(values) and folder is not None:
        every, minutes = values["checkpoint_every"], values["checkpoint_minutes"]
        callbacks.append(
            Checkpointing(folder / CHECKPOINTS, every_epochs=every, every_minutes=minutes, settings=to_plain(values))
        )
    return callbacks
