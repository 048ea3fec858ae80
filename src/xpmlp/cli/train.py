"""``xpmlp train``: from data to a folder with a model, its history and its figures."""

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.text import Text

from xpmlp.backends import load_backend
from xpmlp.datasets import Dataset
from xpmlp.datasets.splitting import VALIDATION_FRACTION
from xpmlp.errors import OutputError, XpmlpError
from xpmlp.threads import describe_threads, use_threads
from xpmlp.training import RECIPES, Checkpoint, DivergedError, EarlyStopping, FitError, Recipe, fit_dataset
from xpmlp.training.cross_validation import cross_validate, describe_scores, split_folds
from xpmlp.training.distributed import Communicator
from xpmlp.training.progress import LiveProgress
from xpmlp.training.recipes import SETTINGS, parse_sizes
from xpmlp.training.targets import choose_loss
from xpmlp.training.train import class_weights, describe_stream, find_recipe, layer_sizes

from . import long_run, options
from .console import can_move, make_console, print_error
from .options import OUTPUT, flag
from .processes import abort, connect_processes, describe_inputs, load_together
from .run_folder import RunFolder, make_run_folder
from .saving import save_run

NETWORK, TRAINING = "Network", "Training"
OF_NETWORK = ("hidden_layer_sizes", "activation", "initializer", "ensemble", "dtype")
NUMBERS = {"N": int, "ROWS": int, "NUMBER": float, "FRACTION": float}  # the other settings are texts
NOTHING_SAVED = "Nothing is saved."
TF32 = Annotated[
    bool,
    flag("--tf32", "Round the inputs of float32 matrix products to TF32 on an NVIDIA GPU, for speed.", options.COMPUTE),
]
PAGE = Annotated[bool, flag("--page", "Add model.html, a page that shows the network at work.", OUTPUT)]


EPILOG = "\n\n".join(
    f"[bold]--recipe {name}[/bold] stands for --hidden {','.join(map(str, recipe.hidden_layer_sizes)) or 'none'} "
    + " ".join(
        f"{options.option_name(setting)} {value}"
        for setting in SETTINGS
        if setting != "hidden_layer_sizes" and (value := getattr(recipe, setting)) is not None
    )
    for name, recipe in RECIPES.items()
)


OPTIONS: options.Group = {
    "recipe": options.declare(
        str,
        "NAME",
        f"Defaults for the network and the training: {', '.join(RECIPES)}; see below. For a table without images, "
        "default means table, adapted to the number of rows; for images that are not mostly black, photo.",
        default="default",
    ),
    **{
        options.parameter_name(name): options.declare(
            NUMBERS.get(setting.metavar, str),
            setting.metavar,
            setting.help,
            NETWORK if name in OF_NETWORK else TRAINING,
        )
        for name, setting in SETTINGS.items()
    },
    "validation_fraction": options.declare(
        float,
        "FRACTION",
        "Fraction of the training rows to hold out for choosing the best epoch, whose weights are kept; none by "
        f"default, or {VALIDATION_FRACTION} with --patience. Nothing is chosen on the test rows.",
        TRAINING,
    ),
    "folds": options.declare(
        int,
        "K",
        "Also cross-validate: train K more networks, each on all but one of K parts of the training rows, and print "
        "the mean and spread of their scores on the parts left out.",
        TRAINING,
        min=2,
    ),
    **options.TABLE_OPTIONS,
    **options.STREAMING_OPTIONS,
    "mpi": (options.Mpi, False),
    "tf32": (TF32, False),
    **long_run.OPTIONS,
    "data_dir": (options.DataDirectory, None),
    "output": (options.output_folder("Folder for the run's files; by default a new one under runs/.", OUTPUT), None),
    "force": (options.ForceRun, False),
    "page": (PAGE, False),
    "quiet": (options.Quiet, False),
}


@options.grouped(values=OPTIONS)
def train(
    context: options.CommandContext, data: Annotated[str | None, options.DATA] = None, values: Any = None
) -> None:
    """Train a network on DATA.

    Writes the model, its history and figures into a folder. [bold]xpmlp train digits[/bold] learns handwritten digits
    in seconds.
    """
    values = {"data": data, **values}
    processes, resume = connect_processes(required=values["mpi"]), values["resume"]
    if resume is not None:
        # The folder may be on the first process's disk alone.
        found = processes.together(lambda: long_run.resume_command(context, values) if processes.rank == 0 else None)
        run(processes, *cast(Any, processes.from_first(found)))
    elif data is None:
        raise typer.BadParameter("DATA is missing. Start with: xpmlp train digits", param_hint="DATA")
    else:
        run(processes, values)


def run(processes: Communicator, values: Mapping[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Train with these values of the arguments and options of `train`, from the beginning or from a checkpoint."""
    # Validate settings and the output folder before data are read, or even downloaded.
    given, table = processes.together(lambda: check_values(values))
    console = make_console(quiet=values["quiet"], tolerant=True)
    compute = processes.together(lambda: load_backend(values["backend"], values["device"], tf32=values["tf32"]))
    leads = processes.rank == 0  # the first process alone speaks and writes
    folder: RunFolder | None = None
    if values["output"] is not None:
        processes.together(lambda: long_run.check_checkpoints(values["output"], force=values["force"] or not leads))
        folder = processes.together(lambda: RunFolder(values["output"], force=values["force"]) if leads else None)
    failure: FitError | None = None
    try:
        processes.together(lambda: None if folder is None else long_run.write_command(folder.path, values))
        whole = load_together(processes, values["data"], values["data_dir"], table, values["memory"])
        if whole.stream is not None:  # on which the order of the rows depends
            values = {**values, "memory": str(whole.stream.memory)}
        dataset, settings = processes.together(lambda: prepare(whole, values, given))
        if processes.size > 1:
            processes.compare(describe_inputs(dataset, settings, compute))
        if values["output"] is None:
            folder = processes.together(lambda: make_run_folder(dataset.name) if leads else None)
            processes.together(lambda: None if folder is None else long_run.write_command(folder.path, values))
        callbacks = long_run.make_callbacks(values, None if folder is None else folder.path)
        print_start(console, dataset, settings)
        if streamed := describe_stream(dataset, settings, compute):
            console.print(streamed)
        hosts = processes.hosts() if processes.size > 1 else []
        if hosts:
            machines = ", ".join(sorted(set(hosts)))
            console.print(f"{processes.size} processes on {machines}; each computes a part of every batch")
        threads = values["threads"] or (None if checkpoint is None or processes.size > 1 else checkpoint.threads)
        place: dict[str, Any] = {"backend": compute, "threads": threads, "communicator": processes}
        if checkpoint is not None:
            in_threads = f", in {describe_threads(threads)}" if threads else ""
            console.print(f"resuming after epoch {checkpoint.epoch}{in_threads}")
        elif values["resume"] is not None:
            console.print("there is no checkpoint yet, so the run starts over")
        with contextlib.closing(LiveProgress(console, can_move=can_move(console))) as progress:
            try:
                watching = [*callbacks, progress]
                result = fit_dataset(dataset, settings, callbacks=watching, checkpoint=checkpoint, **place)
            except FitError as error:
                result, failure = error.result, error
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - raised again if there are no others
                abort(processes, error)
        if result.interrupted and not result.history:
            raise KeyboardInterrupt
        folds: list[float] = []
        if failure is None and not result.interrupted:
            folds = score_folds(console, whole, settings, values, **place)
        if result.history and folder is not None:
            with use_threads(result.threads):
                states = [each.last_state for each in callbacks if isinstance(each, EarlyStopping) and each.last_state]
                last = replace(result, state=states[0], kept_epoch=len(result.history)) if states else None
                record = {"folds": folds, "page": values["page"]}
                save_run(console, folder, dataset, settings, result, compute, last, hosts, **record)
    except KeyboardInterrupt as error:
        if folder is not None and folder.saved:  # Ctrl-C was pressed a second time
            print_error(f"Interrupted while saving. {folder.describe()}")
        else:
            print_error(f"Interrupted before the end of the first epoch. {NOTHING_SAVED}")
        raise typer.Exit(options.INTERRUPTED) from error
    except OutputError as error:
        raise OutputError(f"{failure} {error}" if failure else str(error)) from error
    finally:
        if folder is not None:
            long_run.remove_command(folder.path)
            folder.discard()
    if failure is not None:
        if processes.size > 1 and not isinstance(failure, DivergedError):
            abort(processes, failure)  # it is this process's alone
        kept = f"The network after epoch {len(result.history)} is saved in {folder and folder.path}."
        raise XpmlpError(f"{failure} {kept if result.history else NOTHING_SAVED}") from failure
    if result.interrupted:
        raise typer.Exit(options.INTERRUPTED)


def check_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return the settings that are given, and the options of a table; refuse those that are wrong for any data."""
    given = {name: values[options.parameter_name(name)] for name in SETTINGS}
    if values["hidden"] is not None:
        given["hidden_layer_sizes"] = parse_sizes(values["hidden"])
    choose_settings(values["recipe"], **given)
    long_run.check_long_run(values)
    return given, options.collect_table_options(values)


def prepare(whole: Dataset, values: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Dataset, Recipe]:
    """Return the dataset with validation rows, and the recipe for it; refuse options that its rows do not allow."""
    with options.named_as_options("folds", "class_weight"):
        if values["folds"] is not None:
            next(split_folds(whole, values["folds"]))
        if values["class_weight"] == "balanced":
            class_weights(whole)
    dataset, fraction, chooses = whole, values["validation_fraction"], values["patience"] is not None
    if fraction == long_run.CHOSEN_BY_TEST_ROWS:
        dataset = replace(whole, validation=whole.test) if chooses else whole
    elif fraction is not None or chooses:
        dataset = whole.with_validation(VALIDATION_FRACTION if fraction is None else fraction)
    return dataset, choose_settings(values["recipe"], dataset, **given)


def score_folds(
    console: Console, dataset: Dataset, settings: Recipe, values: Mapping[str, Any], **options: Any
) -> list[float]:
    """Cross-validate as a command asks for, printing the score of each fold and their mean; none without folds.

    Ctrl-C ends it, and so does a network that diverges; the scores so far are returned.
    """
    count, scores = values["folds"], list[float]()
    if count is None:
        return scores
    fraction = values["validation_fraction"] or (None if values["patience"] is None else VALIDATION_FRACTION)
    found = cross_validate(
        dataset, settings, count, validation_fraction=fraction, patience=values["patience"], **options
    )
    is_classifier = bool(dataset.classes)
    try:
        for score in found:
            scores.append(score)
            shown = f"accuracy {100 * score:.2f} %" if is_classifier else f"R² {score:.4f}"
            console.print(f"fold {len(scores)}/{count}: {shown}")
    except (DivergedError, KeyboardInterrupt) as error:
        reason = str(error) if isinstance(error, XpmlpError) else "interrupted"
        console.print(f"fold {len(scores) + 1}/{count}: {reason}", style="yellow")
    if scores:
        summary = describe_scores(scores, is_classifier=is_classifier)
        console.print(f"cross-validation, {len(scores)} folds of the training rows: {summary}", style="bold")
    return scores


def choose_settings(recipe: str, dataset: Dataset | None = None, **given: Any) -> Recipe:
    """Return the recipe of that name, with the given settings replaced; default depends on the dataset."""
    with options.named_as_options("recipe", *given):
        base = find_recipe(recipe, dataset)
        return replace(base, **{name: value for name, value in given.items() if value is not None})


def print_start(console: Console, dataset: Dataset, settings: Recipe) -> None:
    """Print the data, the network and the settings."""
    sizes = layer_sizes(dataset, settings, choose_loss(dataset, settings))
    shape = " × ".join(f"{size:,}" for size in dataset.input_shape)
    target = f"{len(dataset.classes)} classes" if dataset.classes else "a number to predict"
    validation = "" if dataset.validation is None else f"{dataset.validation_rows:,} validation rows, "
    rows = f"{dataset.train_rows:,} training rows, {validation}{dataset.test_rows:,} test rows"
    console.print(Text.assemble((dataset.name, "bold"), f": {rows}, {shape} inputs, {target}"))
    for note in dataset.notes:
        console.print(f"note: {note}", style="yellow")
    activation = f"{settings.activation}, " if settings.hidden_layer_sizes else ""
    parameters = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    regularization = {"penalty": settings.penalty, "dropout": settings.dropout}
    regularized = "".join(f"{name} {value:g}, " for name, value in regularization.items() if value)
    console.print(
        Text.assemble(
            ("" if settings.ensemble == 1 else f"{settings.ensemble} × ", "bold"),
            ("-".join(map(str, sizes)), "bold"),
            f" network{'s' if settings.ensemble > 1 else ''}: {settings.ensemble * parameters:,} parameters, "
            f"{activation}{settings.dtype}; {settings.optimizer}, "
            f"learning rate {settings.learning_rate:g} ({settings.schedule}), batch size {settings.batch_size:,}, "
            f"{regularized}seed {settings.seed}",
        )
    )
