"""``xpmlp sweep``: many settings tried at once, and the best of them trained."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpmlp import plots
from xpmlp.backends import load_backend
from xpmlp.datasets import Dataset, TableOptions
from xpmlp.plots.sweep import describe_value
from xpmlp.threads import use_threads
from xpmlp.training import RECIPES, Recipe, fit_dataset
from xpmlp.training.progress import make_bar
from xpmlp.training.sweep import Range, Space, Sweep, Trial, default_space, parse_space
from xpmlp.training.sweep import sweep as search
from xpmlp.training.sweep.search import PRUNERS, check_search, count_trials, rank
from xpmlp.training.sweep.space import SWEPT, check_space

from . import options
from .console import can_move, describe_seconds, make_console, make_table, print_error
from .options import OUTPUT, option
from .processes import connect_processes, load_together
from .run_folder import RunFolder, make_run_folder
from .saving import save_run
from .train import choose_settings

SETTINGS, SEARCH = "Settings to try", "Search"
SHOWN = 5  # of the best trials

EPILOG = (
    "A setting is a list of values, [bold]0.001,0.01[/bold], a range, [bold]0.1..0.9[/bold], or a range in powers of "
    '[bold]ten, "1e-4..0.1 log"[/bold]. Give --hidden once for each network.'
)


SETTING_OPTIONS: options.Group = {
    name: (Annotated[str | None, option("VALUES", "As for xpmlp train.", SETTINGS, options.option_name(name))], None)
    for name in SWEPT
} | {
    "hidden_layer_sizes": (
        Annotated[
            list[str] | None,
            option("SIZES", "A network: 128, or 256,128, or none. Repeat it for others.", SETTINGS, "--hidden"),
        ],
        None,
    )
}
OTHERS = f"The other settings: {', '.join(RECIPES)}; see xpmlp train --help."
Folder: Any = options.output_folder("Folder for the results; by default a new one under runs/.", OUTPUT)
SEARCH_OPTIONS: options.Group = {
    "trials": options.declare(
        int, "N", "How many settings to try; by default 64, or all combinations of a grid.", SEARCH
    ),
    "sampler": options.declare(
        str, "NAME", "tpe learns from earlier trials, random draws, grid takes every combination.", SEARCH, "tpe"
    ),
    "folds": options.declare(
        int, "N", "Folds of cross-validation; 1 scores on a fifth of the training rows.", SEARCH, 1
    ),
    "seeds": options.declare(int, "N", "Networks with different initial weights for each trial.", SEARCH, 1),
    "prune": options.declare(str, "NAME", f"Stop trials early that fall behind: {', '.join(PRUNERS)}.", SEARCH, "none"),
    "storage": options.declare(
        str, "URL", "Keep the trials in a file, sqlite:///FILE, to resume the sweep or watch it in a dashboard.", SEARCH
    ),
}


@options.grouped(
    settings=SETTING_OPTIONS, how=SEARCH_OPTIONS, table=options.TABLE_OPTIONS, compute=options.STREAMING_OPTIONS
)
def sweep(
    data: options.Data,
    settings: Any = None,
    recipe: Annotated[str, option("NAME", OTHERS, SETTINGS)] = "default",
    how: Any = None,
    table: Any = None,
    compute: Any = None,
    mpi: options.Mpi = False,
    data_dir: options.DataDirectory = None,
    output: Folder = None,
    force: options.ForceRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Try many settings on DATA at once, and train the best.

    Nothing is chosen on the test rows. [bold]xpmlp sweep digits[/bold] tries 64 settings in seconds.
    """
    space = parse_space(
        {name: texts if isinstance(texts, list) else [texts] for name, texts in settings.items() if texts}
    )
    fixed: dict[str, Any] = {
        name: values[0] for name, values in space.items() if not isinstance(values, Range) and len(values) == 1
    }
    space = {name: values for name, values in space.items() if name not in fixed}
    processes = connect_processes(required=mpi)

    def check() -> TableOptions:
        base = choose_settings(recipe, None, **fixed)
        with options.named_as_options("sampler", "prune", "trials", "folds", "seeds"):
            check_search(**{name: how[name] for name in how if name != "storage"}, processes=processes.size)
            if space:
                check_space(space, base)
                count_trials(space, how["sampler"], how["trials"])
        return options.collect_table_options(table)

    given = processes.together(check)
    console = make_console(quiet=quiet, tolerant=True)
    leads = processes.rank == 0  # the first process alone speaks and writes
    backend = processes.together(lambda: load_backend(compute["backend"], compute["device"]))
    folder = processes.together(lambda: RunFolder(output, force=force) if leads and output is not None else None)
    try:
        dataset = load_together(processes, data, data_dir, given, compute["memory"])
        base = choose_settings(recipe, dataset, **fixed)
        space = space or {name: values for name, values in default_space(base).items() if name not in fixed}
        if output is None:
            folder = processes.together(lambda: make_run_folder(f"{dataset.name}-sweep") if leads else None)
        print_start(console, dataset, space, base)
        with (
            options.named_as_options("storage"),
            contextlib.closing(Board(console, dataset, count_trials(space, how["sampler"], how["trials"]))) as board,
        ):
            found = search(
                dataset, space, recipe=base, backend=backend, on_trial=board.add, communicator=processes, **how
            )
            seconds = time.monotonic() - board.started

        def finish() -> Any:
            if folder is not None:
                folder.save("trials.csv", lambda: found.to_csv().encode())
                print_best(console, dataset, found, len(board.done), seconds)
                for name, draw in figures(dataset, found).items():
                    folder.save(name, draw)
            if processes.rank < processes.size - 1:
                return None
            # The last process trains while the first draws; a backend cannot be sent.
            result = fit_dataset(dataset, found.best_recipe, backend=backend, threads=compute["threads"])
            return replace(result, backend=cast(Any, None))

        result = replace(processes.from_last(processes.together(finish)), backend=backend)
        if folder is None:
            return
        if result.interrupted and not result.history:
            raise KeyboardInterrupt
        with use_threads(result.threads):
            save_run(console, folder, dataset, found.best_recipe, result, backend)
    except KeyboardInterrupt as error:
        before = "the end" if folder is not None and folder.saved else "the first trial was complete"
        saved = folder.describe() if folder is not None and folder.saved else "Nothing is saved."
        print_error(f"Interrupted before {before}. {saved}")
        raise typer.Exit(options.INTERRUPTED) from error
    finally:
        if folder is not None:
            folder.discard()
    if found.interrupted:
        raise typer.Exit(options.INTERRUPTED)


def print_start(console: Console, dataset: Dataset, space: Space, recipe: Recipe) -> None:
    """Print what is tried on what."""
    rows = f"{dataset.train.rows:,} training rows, {dataset.test.rows:,} test rows"
    console.print(Text.assemble((dataset.name, "bold"), f": {rows}"))
    if dataset.stream is not None:
        console.print(
            f"they are a sample of {dataset.train_rows:,} and {dataset.test_rows:,}, as the data take "
            f"{dataset.why_streamed}; the best settings are then trained on all",
            style="yellow",
        )
    for note in dataset.notes:
        console.print(f"note: {note}", style="yellow")
    for name, values in space.items():
        if isinstance(values, Range):
            text = f"{values.low:g} to {values.high:g}{', in powers of ten' if values.log else ''}"
        else:
            text = ", ".join(map(describe_value, values))
        console.print(Text.assemble((name, "bold"), f": {text}"))
    others = [name for name in ("optimizer", "batch_size", "epochs") if name not in space]
    if others:
        console.print("always: " + ", ".join(f"{name} {describe_value(getattr(recipe, name))}" for name in others))


def format_score(dataset: Dataset, score: float | None) -> str:
    """Return an accuracy in percent, or R²."""
    if score is None:
        return "–"
    return f"{100 * score:.2f} %" if dataset.classes else f"{score:.4f}"


def score_name(dataset: Dataset) -> str:
    """Return what the scores are."""
    return "validation accuracy (%)" if dataset.classes else "validation R²"


class Board:
    """Prints each trial that is better than all before, above a bar and the time left on a terminal."""

    def __init__(self, console: Console, dataset: Dataset, trials: int) -> None:
        self.console = console
        self.dataset = dataset
        self.done: list[Trial] = []
        self.started = time.monotonic()
        self.progress = make_bar(console, "trials", can_move=can_move(console))
        self.task = self.progress.add_task("", total=trials)
        self.progress.start()

    def add(self, trial: Trial) -> None:
        """Show a finished trial."""
        if trial.state == "complete" and all(rank(trial) > rank(other) for other in self.done):
            settings = ", ".join(f"{name} {describe_value(value)}" for name, value in trial.settings.items())
            self.console.print(f"trial {trial.number}: {format_score(self.dataset, trial.score)}, {settings}")
        self.done.append(trial)
        self.progress.advance(self.task)

    def close(self) -> None:
        """Remove the bar."""
        self.progress.stop()


def best_table(dataset: Dataset, trials: list[Trial]) -> Table:
    """Return a table of the best trials."""
    best = sorted((trial for trial in trials if trial.score is not None), key=rank, reverse=True)[:SHOWN]
    names = list(dict.fromkeys(name for trial in best for name in trial.settings))
    table = make_table("", "trial", score_name(dataset).removesuffix(" (%)"), *names, left=0)
    for trial in best:
        score = format_score(dataset, trial.score) + (f" ± {100 * trial.spread:.2f}" if trial.spread else "")
        table.add_row(str(trial.number), score, *(describe_value(trial.settings.get(name, "")) for name in names))
    return table


def print_best(console: Console, dataset: Dataset, found: Sweep, trained: int, seconds: float) -> None:
    """Print the best trials, the time of those trained now, counts of the others, and the settings' importances."""
    console.print(best_table(dataset, list(found.trials)))
    states = [trial.state for trial in found.trials]
    others = [f"{states.count(state)} {state}" for state in ("pruned", "diverged") if state in states]
    if len(states) > trained:
        others.insert(0, f"{len(states) - trained} earlier")
    console.print(", ".join([f"{trained} trials in {describe_seconds(seconds)}", *others]))
    if found.importances:
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.importances.items())
        console.print(f"what matters (share of the scores' variance): {shares}")
    console.print(f"training on all training rows with the settings of trial {found.best.number}")


def figures(dataset: Dataset, found: Sweep) -> Mapping[str, Any]:
    """Return what draws each picture of a sweep."""
    factor = 100.0 if dataset.classes else 1.0
    scored = [trial for trial in found.trials if trial.score is not None and trial.curve]
    best = scored.index(found.best)
    curves = [[factor * score for score in trial.curve] for trial in scored]
    scores = [factor * trial.score for trial in scored if trial.score is not None]
    settings = {name: [trial.settings[name] for trial in scored] for name in scored[0].settings}
    name = score_name(dataset)
    title = f"{dataset.name}: {len(scored)} trials, best {format_score(dataset, found.best.score)}"
    return {
        "sweep_curves.png": lambda: plots.draw_trial_curves(curves, best, name, title),
        "sweep_settings.png": lambda: plots.draw_scores_by_setting(
            settings, scores, best, name, title, found.importances
        ),
        "sweep_parallel.png": lambda: plots.draw_parallel_coordinates(settings, scores, best, name, title),
    }
