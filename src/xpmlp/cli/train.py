"""``xpmlp train``: from data to a folder with a model, its history and its pictures."""

import contextlib
import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from xpmlp.backends import Backend, load_backend
from xpmlp.datasets import Dataset
from xpmlp.datasets.load import load_by_options
from xpmlp.errors import OutputError, SettingsError, XpmlpError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.training import (
    OPTIMIZERS,
    RECIPES,
    SCHEDULES,
    Callback,
    Checkpoint,
    FitError,
    FitResult,
    Recipe,
    default_recipe,
    fit_dataset,
)
from xpmlp.training.recipes import DTYPES

from .arguments import DATA, BackendName, DataDirectory, DeviceName, Tf32
from .console import make_console, print_error
from .long_run import (
    CheckpointEvery,
    CheckpointMinutes,
    CommandContext,
    Patience,
    Resume,
    check_checkpoints,
    forget_command,
    from_plain,
    keep_command,
    last_result,
    make_callbacks,
    resume_command,
)
from .progress import make_progress
from .run_folder import RunFolder, make_run_folder
from .saving import save_run
from .table_options import (
    Categories,
    Exclude,
    Features,
    MissingValues,
    Scale,
    Target,
    TaskName,
    TestFile,
    TestFraction,
    collect_options,
)

INTERRUPTED = 130  # the exit code by which shells know Ctrl-C
NOTHING_SAVED = "Nothing was learned, and nothing is saved."
MOST_UNITS = 100_000_000  # in a layer; larger weights are beyond what NumPy can index, let alone a memory hold

# The options that are settings of a recipe, by their own names; and those of tables.
SETTINGS = (
    "activation",
    "initializer",
    "optimizer",
    "learning_rate",
    "schedule",
    "batch_size",
    "epochs",
    "penalty",
    "dtype",
    "seed",
)
TABLE_OPTIONS = (
    "target",
    "features",
    "exclude",
    "categories",
    "test",
    "test_fraction",
    "missing",
    "scale",
    "task",
)

NETWORK, TRAINING, OUTPUT = "The network", "How it is trained", "Output"


def describe_recipes() -> str:
    """Return what the recipes are, as the options that they stand for, for the end of the help."""
    lines = []
    for name, recipe in RECIPES.items():
        values: dict[str, Any] = {"hidden": ",".join(map(str, recipe.hidden_layer_sizes)) or "none"}
        values |= {setting: getattr(recipe, setting) for setting in SETTINGS}
        stands_for = " ".join(f"{option_name(setting)} {value}" for setting, value in values.items())
        lines.append(f"[bold]--recipe {name}[/bold] stands for {stands_for}")
    return "\n\n".join(lines)


def option_name(setting: str) -> str:
    """Return the option that sets a recipe's setting."""
    return "--" + ("hidden" if setting == "hidden_layer_sizes" else setting.replace("_", "-"))


EPILOG = describe_recipes()


def train(
    context: CommandContext,
    data: Annotated[str | None, DATA] = None,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"A complete set of the settings below, which each of them overrides: {', '.join(RECIPES)}. For a "
            "table that holds no images, default means table, with epochs that suit its rows.",
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
    target: Target = None,
    features: Features = None,
    exclude: Exclude = None,
    categories: Categories = None,
    test: TestFile = None,
    test_fraction: TestFraction = None,
    missing: MissingValues = "refuse",
    scale: Scale = None,
    task: TaskName = None,
    backend: BackendName = "numpy",
    device: DeviceName = None,
    tf32: Tf32 = False,
    checkpoint_every: CheckpointEvery = None,
    checkpoint_minutes: CheckpointMinutes = None,
    patience: Patience = None,
    resume: Resume = None,
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
    if resume is not None:
        values, checkpoint = resume_command(context, resume)
        run(values, checkpoint)
    elif data is None:
        raise typer.BadParameter("What to train on is missing. Start with: xpmlp train digits", param_hint="DATA")
    else:
        run(from_plain(context.params))


def run(values: Mapping[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Train, from the beginning or from a checkpoint.

    Parameters
    ----------
    values
        Of the arguments and options of `train`, by their names.
    """
    hidden = values["hidden"]
    given = {name: values[name] for name in SETTINGS} | {
        "hidden_layer_sizes": None if hidden is None else parse_sizes(hidden)
    }
    # What cannot be is refused before data is read, or even downloaded.
    choose_settings(values["recipe"], **given)
    options = collect_options(**{name: values[name] for name in TABLE_OPTIONS})
    if values["quiet"]:
        logging.getLogger("xpmlp").setLevel(logging.WARNING)
    console = make_console(quiet=values["quiet"], lasting=True)
    compute = load_backend(values["backend"], values["device"], tf32=values["tf32"])
    # A folder that the user named can be checked before the data is read, or even downloaded.
    if values["output"] is not None:
        check_checkpoints(values["output"], force=values["force"])
    folder = None if values["output"] is None else RunFolder(values["output"], force=values["force"])
    failure: FitError | None = None
    try:
        if folder is not None:
            keep_command(folder.path, values)
        dataset = load_by_options(values["data"], values["data_dir"], options)
        settings = choose_settings(values["recipe"], dataset, **given)
        if folder is None:
            folder = make_run_folder(dataset.name)
            keep_command(folder.path, values)
        callbacks = make_callbacks(values, folder.path)
        describe_start(console, dataset, settings)
        if checkpoint is not None:
            console.print(f"going on after epoch {checkpoint.epoch}")
        elif values["resume"] is not None:
            console.print("there is no checkpoint yet, so the run is begun again")
        result, failure = learn(console, dataset, settings, compute, callbacks, checkpoint)
        if result.history:
            save_run(console, folder, dataset, settings, result, compute, last_result(result, callbacks))
    except KeyboardInterrupt as error:
        # Saved files are there where the user pressed it a second time.
        nothing = f"Interrupted before the first epoch was over. {NOTHING_SAVED}"
        print_error(f"Interrupted while saving. {folder.describe()}" if folder and folder.saved else nothing)
        raise typer.Exit(INTERRUPTED) from error
    except OutputError as error:
        raise OutputError(f"{failure} {error}" if failure else str(error)) from error
    finally:
        if folder is not None:
            forget_command(folder.path)
            folder.discard()
    if failure is not None:
        kept = f"What was learned up to epoch {len(result.history)} is saved in {folder.path}."
        raise XpmlpError(f"{failure} {kept if result.history else NOTHING_SAVED}") from failure
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def learn(
    console: Console,
    dataset: Dataset,
    settings: Recipe,
    backend: Backend,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
) -> tuple[FitResult, FitError | None]:
    """Train, showing how it goes; return what was learned, and what ended it where it could not go on.

    Raises
    ------
    KeyboardInterrupt
        Where it was interrupted before the first epoch was over.
    """
    with contextlib.closing(make_progress(console)) as progress:
        try:
            result = fit_dataset(
                dataset, settings, backend=backend, callbacks=[*callbacks, progress], checkpoint=checkpoint
            )
        except FitError as error:
            return error.result, error
    if result.interrupted and not result.history:
        raise KeyboardInterrupt
    return result, None


def choose_settings(recipe: str, dataset: Dataset | None = None, **given: Any) -> Recipe:
    """Return the recipe of that name, default being what suits the dataset, with what was given in its place."""
    if recipe not in RECIPES:
        raise SettingsError(f"--recipe: {recipe!r} is not one of {', '.join(RECIPES)}.")
    base = default_recipe(dataset) if dataset is not None and recipe == "default" else RECIPES[recipe]
    try:
        return replace(base, **{name: value for name, value in given.items() if value is not None})
    except SettingsError as error:
        setting, _, rest = str(error).partition(":")
        raise SettingsError(f"{option_name(setting)}:{rest}" if setting in given else str(error)) from error


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
    goal = f"in {len(dataset.classes)} classes" if dataset.classes else "and a number to predict"
    console.print(
        Text.assemble(
            (dataset.name, "bold"),
            f": {dataset.train.rows:,} rows to train on, {dataset.test.rows:,} to test, of {shape} values {goal}",
        )
    )
    for note in dataset.notes:
        console.print(f"note: {note}", style="yellow")
    sizes = (math.prod(dataset.input_shape), *settings.hidden_layer_sizes, len(dataset.classes) or 1)
    activation = f"{settings.activation}, " if settings.hidden_layer_sizes else ""
    parameters = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    console.print(
        Text.assemble(
            ("-".join(map(str, sizes)), "bold"),
            f" network: {parameters:,} parameters, {activation}{settings.dtype}; {settings.optimizer}, "
            f"learning rate {settings.learning_rate:g} ({settings.schedule}), batches of {settings.batch_size:,}, "
            f"seed {settings.seed}",
        )
    )
