"""``xpmlp train``: from data to a folder with a model, its history and its pictures."""

import contextlib
import itertools
import json
import logging
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.text import Text

from xpmlp import plots
from xpmlp.backends import Backend, load_backend
from xpmlp.datasets import Dataset, load_dataset
from xpmlp.environment import describe_machine, describe_versions
from xpmlp.errors import OutputError, SettingsError, XpmlpError
from xpmlp.model import Model
from xpmlp.model_file import model_to_bytes
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.training import (
    OPTIMIZERS,
    RECIPES,
    SCHEDULES,
    FitError,
    FitResult,
    Recipe,
    Report,
    fit_dataset,
    history_to_csv,
    make_model,
    predict,
    report,
)
from xpmlp.training.recipes import DTYPES

from .arguments import BackendName, Data, DataDirectory, DeviceName, Tf32
from .console import make_console, print_error
from .progress import describe_loss, make_progress
from .run_folder import RunFolder, make_run_folder

INTERRUPTED = 130  # the exit code by which shells know Ctrl-C
MOST_UNITS = 100_000_000  # in a layer; larger weights are beyond what NumPy can index, let alone a memory hold

NETWORK, TRAINING, OUTPUT = "The network", "How it is trained", "Output"


def describe_recipes() -> str:
    """Return what the recipes are, for the end of the help."""
    return "\n\n".join(
        f"[bold]--recipe {name}[/bold]: " + ", ".join(f"{key} {value}" for key, value in recipe.to_json().items())
        for name, recipe in RECIPES.items()
    )


def train(
    data: Data,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"A complete set of the settings below, which each of them overrides: {', '.join(RECIPES)}.",
        ),
    ] = "default",
    hidden: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES",
            help="Units of each hidden layer: 128, or 256,128, or none for a linear classifier.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    activation: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{', '.join(ACTIVATIONS)}.", rich_help_panel=NETWORK)
    ] = None,
    initializer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Initial weights: {', '.join(INITIALIZERS)}.", rich_help_panel=NETWORK),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{' or '.join(DTYPES)}.", rich_help_panel=NETWORK)
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{', '.join(OPTIMIZERS)}.", rich_help_panel=TRAINING)
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="How far a step goes, at most.", rich_help_panel=TRAINING),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"How the learning rate changes: {', '.join(SCHEDULES)}.", rich_help_panel=TRAINING
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="ROWS", help="Rows that a step learns from.", rich_help_panel=TRAINING)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Times that every row is seen.", rich_help_panel=TRAINING)
    ] = None,
    penalty: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="L2 penalty, against overfitting.", rich_help_panel=TRAINING),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Draws the initial weights and the shuffles; the same seed gives the same network.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    backend: BackendName = "numpy",
    device: DeviceName = None,
    tf32: Tf32 = False,
    data_dir: DataDirectory = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where the run's files go; by default a new folder under runs/.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the run that is in the folder.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Write nothing but errors.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Train a network on DATA, and save it with its curves and a gallery of what it recognises.

    [bold]xpmlp train digits[/bold] learns to read handwritten digits in seconds.
    """
    settings = choose_settings(
        recipe,
        hidden_layer_sizes=None if hidden is None else parse_sizes(hidden),
        activation=activation,
        initializer=initializer,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        batch_size=batch_size,
        epochs=epochs,
        penalty=penalty,
        dtype=dtype,
        seed=seed,
    )
    if quiet:
        logging.getLogger("xpmlp").setLevel(logging.WARNING)
    console = make_console(quiet=quiet, lasting=True)
    compute = load_backend(backend, device, tf32=tf32)
    # A folder that the user named can be checked before the data is read, or even downloaded.
    folder = None if output is None else RunFolder(output, force=force)
    failure: FitError | None = None
    try:
        dataset = load_dataset(data, data_dir=data_dir)
        folder = folder or make_run_folder(dataset.name)
        describe_start(console, dataset, settings)
        result, failure = learn(console, dataset, settings, compute)
        if result.history:
            save_run(console, folder, dataset, settings, result, compute)
    except KeyboardInterrupt as error:
        # Saved files are there where the user pressed it a second time.
        nothing = "Interrupted before the first epoch was over; nothing was learned and nothing is saved."
        print_error(f"Interrupted while saving. {folder.describe()}" if folder and folder.saved else nothing)
        raise typer.Exit(INTERRUPTED) from error
    except OutputError as error:
        raise OutputError(f"{failure} {error}" if failure else str(error)) from error
    finally:
        if folder is not None:
            folder.discard()
    if failure is not None:
        kept = f" What was learned up to epoch {len(result.history)} is saved in {folder.path}."
        raise XpmlpError(f"{failure}{kept if result.history else ''}") from failure
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def learn(console: Console, dataset: Dataset, settings: Recipe, backend: Backend) -> tuple[FitResult, FitError | None]:
    """Train, showing how it goes; return what was learned, and what ended it where it could not go on.

    Raises
    ------
    KeyboardInterrupt
        Where it was interrupted before the first epoch was over.
    """
    with contextlib.closing(make_progress(console)) as progress:
        try:
            result = fit_dataset(dataset, settings, backend=backend, callbacks=[progress])
        except FitError as error:
            return error.result, error
    if result.interrupted and not result.history:
        raise KeyboardInterrupt
    return result, None


def choose_settings(recipe: str, **given: Any) -> Recipe:
    """Return the recipe of that name, with what was given in place of its own."""
    if recipe not in RECIPES:
        raise SettingsError(f"--recipe: {recipe!r} is not one of {', '.join(RECIPES)}.")
    return replace(RECIPES[recipe], **{name: value for name, value in given.items() if value is not None})


def parse_sizes(text: str) -> tuple[int, ...]:
    """Read the sizes of the hidden layers: ``"256,128"``, or ``"none"``."""
    if text.strip().lower() in ("none", "0"):
        return ()
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = (0,)
    if not all(1 <= size <= MOST_UNITS for size in sizes):
        raise SettingsError(
            f"--hidden: {text!r} is not a list of sizes from 1 to {MOST_UNITS:,}. Write 128, or 256,128 for two "
            "layers, or none."
        )
    return sizes


def describe_start(console: Console, dataset: Dataset, settings: Recipe) -> None:
    """Say what is about to be trained on what."""
    shape = " × ".join(map(str, dataset.input_shape))
    console.print(
        Text.assemble(
            (dataset.name, "bold"),
            f": {len(dataset.train.x):,} rows to train on, {len(dataset.test.x):,} to test, of {shape} values in "
            f"{len(dataset.classes)} classes",
        )
    )
    for note in dataset.notes:
        console.print(f"note: {note}", style="yellow")
    sizes = (math.prod(dataset.input_shape), *settings.hidden_layer_sizes, len(dataset.classes))
    parameters = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    console.print(
        Text.assemble(
            ("-".join(map(str, sizes)), "bold"),
            f" network: {parameters:,} parameters, {settings.activation}, {settings.dtype}; {settings.optimizer}, "
            f"learning rate {settings.learning_rate:g} ({settings.schedule}), batches of {settings.batch_size}, "
            f"seed {settings.seed}",
        )
    )


def save_run(
    console: Console, folder: RunFolder, dataset: Dataset, settings: Recipe, result: FitResult, backend: Backend
) -> None:
    """Write a run's files and say what it came to. The model is first: whatever happens then, it is safe.

    Raises
    ------
    OutputError
        Naming what could not be written, after everything else was.
    """
    model = make_model(dataset, settings, result)
    folder.save("model.safetensors", lambda: model_to_bytes(model))
    folder.save("history.csv", lambda: history_to_csv(result.history).encode())
    if result.stop_reason is not None:
        console.print(f"stopped after epoch {len(result.history)}: {result.stop_reason}", style="yellow")
    judged = report(model, dataset.test, backend)
    score = f"test accuracy {100 * judged.accuracy:.2f} %"
    console.print(
        Text.assemble((score, "bold"), f", test loss {describe_loss(judged.loss)}, {result.seconds:.1f} s to train")
    )
    if judged.accuracy <= judged.confusion.sum(axis=1).max() / judged.confusion.sum():
        console.print(
            "That is no better than always answering the commonest class. Try another learning rate, or more epochs.",
            style="yellow",
        )
    title = f"{dataset.name}: {100 * judged.accuracy:.2f} % of {len(dataset.test.x):,} test rows right"
    folder.save("run.json", lambda: describe_run(dataset, settings, result, model, judged, backend))
    folder.save("curves.png", lambda: plots.draw_curves(result.history, title))
    folder.save("confusion.png", lambda: plots.draw_confusion(judged.confusion, model.classes, title))
    if len(model.input_shape) == 2:
        folder.save("gallery.png", lambda: draw_gallery(model, dataset, backend, title))
    folder.finish()
    console.print(Text.assemble("saved in ", (str(folder.path), "bold"), f": {', '.join(folder.saved)}"))


def describe_run(
    dataset: Dataset, settings: Recipe, result: FitResult, model: Model, judged: Report, backend: Backend
) -> bytes:
    """Return the record of a run: all that one needs to repeat it, and what it came to."""
    record = {
        "test_accuracy": judged.accuracy,
        "test_loss": judged.loss,
        "seconds": result.seconds,
        "epochs": len(result.history),
        "stop_reason": result.stop_reason,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "name": dataset.name,
            "source": dataset.source,
            "train_rows": len(dataset.train.x),
            "test_rows": len(dataset.test.x),
            "notes": list(dataset.notes),
        },
        "settings": settings.to_json(),
        "layer_sizes": list(model.layer_sizes),
        "compute": backend.describe(),
        "versions": describe_versions(),
        "machine": describe_machine(),
    }
    return (json.dumps(record, indent=2) + "\n").encode()


def draw_gallery(model: Model, dataset: Dataset, backend: Backend, title: str) -> bytes:
    """Draw test images beside what the model takes them for."""
    prediction = predict(model, dataset.test.x, backend)
    return plots.draw_gallery(
        dataset.test.x.reshape(-1, *model.input_shape),
        np.asarray(dataset.test.labels),
        prediction.labels,
        prediction.probabilities.max(axis=1),
        title,
    )
