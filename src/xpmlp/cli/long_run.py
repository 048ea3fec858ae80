"""Options and rules of runs that take long: checkpoints, and going on from them."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from xpmlp.datasets.load import NAMES
from xpmlp.errors import DataError, OutputError, SettingsError
from xpmlp.training import Callback, Checkpoint, Checkpointing, EarlyStopping, FitResult, newest_checkpoint
from xpmlp.training.checkpoint import checkpoint_files
from xpmlp.whole_files import write_whole

CHECKPOINTS = "checkpoints"  # the folder, within a run's
COMMAND = "command.json"  # in that folder as long as the run goes on: what it was started with
LONG_RUNS = "Long runs"
# Paths, which mean the same from wherever the run is resumed only if they are absolute.
PATHS = ("data_dir", "test", "output")
# What may be said anew when a run is resumed.
FREE = ("resume", "quiet")

# What a command is handed is of Click's class, of which typer.Context is but a subclass for annotations; and whose
# Click that is depends on the version of Typer.
CommandContext: Any = typer.Context.__base__

CheckpointEvery = Annotated[
    int | None,
    typer.Option("--checkpoint-every", metavar="EPOCHS", help="Keep a checkpoint so often.", rich_help_panel=LONG_RUNS),
]
CheckpointMinutes = Annotated[
    float | None,
    typer.Option(
        "--checkpoint-minutes", metavar="NUMBER", help="Keep a checkpoint so often.", rich_help_panel=LONG_RUNS
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        metavar="EPOCHS",
        help="Stop when the test loss has not become smaller for so long. model.safetensors has the best weights, "
        "last.safetensors the last.",
        rich_help_panel=LONG_RUNS,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Go on with the run in this folder from its newest checkpoint; nothing else need be said.",
        rich_help_panel=LONG_RUNS,
    ),
]


def resume_command(context: Any, run: Path) -> tuple[dict[str, Any], Checkpoint | None]:
    """Return what a run was started with, and its newest checkpoint; None where it was killed before its first.

    Raises
    ------
    SettingsError
        Where an option is given with another value than the run has.
    DataError
        Where there is nothing to go on from.
    """
    checkpoint: Checkpoint | None = None
    try:
        checkpoint = newest_checkpoint(run / CHECKPOINTS)
        stored = dict(checkpoint.settings)
    except DataError:
        kept = read_command(run)
        if kept is None:
            raise
        stored = kept
    typed = to_plain(context.params)
    sources = {name: context.get_parameter_source(name) for name in typed}
    # By name: whose enumeration it is depends on the version of Typer, which may bring a Click of its own.
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    differences = [
        f"{'DATA' if name == 'data' else '--' + name.replace('_', '-')} {typed[name]} was given, but the run has "
        f"{stored.get(name)}"
        for name in given
        if name not in FREE and typed[name] != stored.get(name)
    ]
    if differences:
        raise SettingsError(
            f"--resume {run}: goes on as the run was begun. {'; '.join(differences)}. Leave it out, or begin a new run."
        )
    values = context.params | from_plain(stored)
    return values | {"output": run, "force": True, "resume": run, "quiet": context.params["quiet"]}, checkpoint


def to_plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command's values as JSON holds them, paths absolute."""
    plain = dict(values)
    for name in PATHS:
        if plain.get(name) is not None:
            plain[name] = os.path.abspath(plain[name])
    data = plain.get("data")
    if data is not None and data not in NAMES:
        plain["data"] = os.path.abspath(os.path.expanduser(data))
    plain["resume"] = None
    return plain


def from_plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `to_plain`; the context of older versions of Typer, too, holds paths as texts."""
    return {name: Path(value) if name in PATHS and value is not None else value for name, value in values.items()}


def check_checkpoints(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds the checkpoints of another run, which would be lost.

    Raises
    ------
    OutputError
        Saying how that run is resumed.
    """
    if not force and checkpoint_files(folder / CHECKPOINTS):
        raise OutputError(
            f"{folder}: holds the checkpoints of a run. Go on with it: xpmlp train --resume {folder}. Or choose "
            "another --output, or give --force to begin anew."
        )


def keeps_checkpoints(values: Mapping[str, Any]) -> bool:
    """Tell whether a command asks for checkpoints."""
    return values["checkpoint_every"] is not None or values["checkpoint_minutes"] is not None


def keep_command(folder: Path, values: Mapping[str, Any]) -> None:
    """Keep what a run with checkpoints is started with: until the first is written, it can be begun again from that."""
    if keeps_checkpoints(values):
        with contextlib.suppress(OSError):  # where nothing can be written, the first checkpoint says so
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            write_whole(folder / CHECKPOINTS / COMMAND, json.dumps(to_plain(values)).encode())


def read_command(folder: Path) -> dict[str, Any] | None:
    """Return what `keep_command` kept; None where there is nothing."""
    try:
        kept = json.loads((folder / CHECKPOINTS / COMMAND).read_bytes())
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


def forget_command(folder: Path) -> None:
    """Remove what `keep_command` kept, once a run has ended in whatever way; its checkpoints stay."""
    with contextlib.suppress(OSError):
        (folder / CHECKPOINTS / COMMAND).unlink()
        (folder / CHECKPOINTS).rmdir()  # it stays where there are checkpoints in it


def make_callbacks(values: Mapping[str, Any], folder: Path) -> list[Callback]:
    """Return the callbacks that a command asks for: first what may end the run, then what keeps it."""
    callbacks: list[Callback] = []
    if values["patience"] is not None:
        callbacks.append(EarlyStopping(values["patience"]))
    if keeps_checkpoints(values):
        every, minutes = values["checkpoint_every"], values["checkpoint_minutes"]
        callbacks.append(
            Checkpointing(folder / CHECKPOINTS, every_epochs=every, every_minutes=minutes, settings=to_plain(values))
        )
    return callbacks


def last_result(result: FitResult, callbacks: Sequence[Callback]) -> FitResult | None:
    """Return what the last epoch came to, where early stopping went back to a better one."""
    states = (each.last_state for each in callbacks if isinstance(each, EarlyStopping))
    state = next((state for state in states if state is not None), None)
    return None if state is None else replace(result, state=state, kept_epoch=len(result.history))
