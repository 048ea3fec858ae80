"""Arguments and options that several commands share."""

import contextlib
import csv
import functools
import inspect
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from xpmlp.backends import BACKENDS
from xpmlp.datasets import TableOptions
from xpmlp.datasets.memory import parse_memory
from xpmlp.datasets.tables.options import READING
from xpmlp.errors import OutputError, SettingsError
from xpmlp.threads import use_threads

COMPUTE, TABLES, OUTPUT = "Compute", "Tables", "Output"
INTERRUPTED = 130  # the exit code that shells know for Ctrl-C

# Commands receive a context of Click's class, of which typer.Context is a subclass for annotations only.
CommandContext: Any = typer.Context.__base__

DATA: Any = typer.Argument(
    metavar="DATA",
    help="[bold]digits[/bold], [bold]iris[/bold], [bold]wine[/bold], [bold]breast_cancer[/bold] or "
    "[bold]diabetes[/bold] (included), [bold]mnist[/bold] (downloaded on first use), a table (CSV, also .gz or .zst, "
    "Excel, JSON, Parquet, Arrow, .npz), a folder of pictures with a folder for each class, or one of IDX files "
    "such as Fashion-MNIST's.",
)
Data = Annotated[str, DATA]
RECORDED: Any = typer.Argument(
    metavar="DATA", help="Data to evaluate on, any that train takes; by default the data of MODEL's training."
)
RecordedData = Annotated[str | None, RECORDED]


def option(metavar: str | None, text: str, panel: str | None = None, *names: str, **settings: Any) -> Any:
    """Return an option, by default named after its parameter."""
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel, **settings)


def flag(names: str, text: str, panel: str | None = None) -> Any:
    """Return an option without a value."""
    return option(None, text, panel, *names.split())


def parameter_name(setting: str) -> str:
    """Return the parameter of a command for a setting."""
    return "hidden" if setting == "hidden_layer_sizes" else setting


def option_name(setting: str) -> str:
    """Return the option for a setting."""
    return "--" + parameter_name(setting).replace("_", "-").replace(" ", "-")


@contextlib.contextmanager
def named_as_options(*settings: str) -> Iterator[None]:
    """Name these settings as options in errors, which begin with the name."""
    try:
        yield
    except SettingsError as error:
        name, _, rest = str(error).partition(":")
        if name not in settings:
            raise
        raise SettingsError(f"{option_name(name)}:{rest}") from error


DataDirectory = Annotated[
    Path | None, option("FOLDER", "Folder with MNIST's four files; by default the environment variable XPMLP_DATA_DIR.")
]


def use_given_threads(context: CommandContext, threads: int | None) -> int | None:
    """Use this number of threads until the command ends."""
    context.with_resource(use_threads(threads))
    return threads


def check_memory(text: str | None) -> str | None:
    """Refuse a memory limit that is not a size."""
    if text is not None:
        parse_memory(text)
    return text


Group = dict[str, tuple[Any, Any]]
"""Options that a command gets together: the annotation and the default of each."""


def declare(kind: Any, metavar: str, text: str, panel: str | None = None, default: Any = None, **settings: Any) -> Any:
    """Return an option for a `Group`, named after its key."""
    return Annotated[kind | None if default is None else kind, option(metavar, text, panel, **settings)], default


COMPUTE_OPTIONS: Group = {
    "backend": declare(
        str,
        "NAME",
        f"Array library: {', '.join(BACKENDS)}, or auto for a GPU if one works, else numpy. "
        "[bold]xpmlp backends[/bold] lists what works here.",
        COMPUTE,
        "numpy",
    ),
    "device": declare(str, "NAME", "cpu, cuda, cuda:1 or mps; by default the library's default device.", COMPUTE),
    "threads": declare(
        int,
        "N",
        "Threads per matrix product, on numpy and on torch's cpu; by default the cores this process may use, or "
        "fewer while other work keeps them busy.",
        COMPUTE,
        min=1,
        callback=use_given_threads,
    ),
}
STREAMING_OPTIONS: Group = COMPUTE_OPTIONS | {
    "memory": declare(
        str,
        "SIZE",
        "Memory limit of the data, such as 2GB; by default most of the free memory. Larger data in Parquet, "
        ".npy or IDX files are streamed from disk.",
        COMPUTE,
        callback=check_memory,
    )
}

Mpi = Annotated[
    bool,
    flag(
        "--mpi",
        "Require the processes that mpiexec or srun started; without it, they are used if there are any.",
        COMPUTE,
    ),
]
ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model.safetensors from [bold]xpmlp train[/bold], or its folder.")
]
TargetName = Annotated[
    str | None, option("COLUMN", "Column of the true values, if its name differs from the one in training.", TABLES)
]
ForceFile = Annotated[bool, flag("--force", "Replace that file if it exists.")]
ForceRun = Annotated[bool, flag("--force", "Replace the run in that folder.", OUTPUT)]
Quiet = Annotated[bool, flag("--quiet -q", "Print only errors.", OUTPUT)]


FILE_TYPES = (".png", ".pdf", ".svg", ".json", ".md", ".csv", ".html", ".onnx", ".safetensors")


def parse_output(text: str) -> Path:
    """Return the path of an output; an empty one, as from an unset shell variable, would mean the current folder."""
    if not text:
        raise OutputError("--output: the name is empty. Give a name, or leave the option out.")
    return Path(text)


def parse_folder(text: str) -> Path:
    """Return the path of a folder for several files; a new one is not named like a file."""
    path = parse_output(text)
    if path.suffix.lower() in FILE_TYPES and not path.is_dir():
        raise OutputError(f"--output: {text} is named like a file, but several files are written. Name a folder.")
    return path


def output_folder(text: str, panel: str | None = None) -> Any:
    """Return the annotation of the option for the folder of a command's files."""
    return Annotated[Path | None, option("FOLDER", text, panel, "--output", "-o", parser=parse_folder)]


def check_output(path: Path | None, kinds: tuple[str, ...], *, force: bool) -> None:
    """Refuse, before any work, an output file of an unknown type or one that must not be replaced, if one is given."""
    if path is None:
        return
    if path.suffix.lower() not in kinds:
        named = " or ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))
        raise OutputError(f"{path}: unknown file type. Name it {named}.")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder. Choose another name.")
    if path.exists() and not force:
        raise OutputError(f"{path}: already exists. Choose another name, or give --force to replace it.")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: no such folder. Create it first, or choose another.")


def prepare_folder(folder: Path, files: Iterable[str], *, force: bool) -> None:
    """Create the folder for some files; refuse one that holds any of them, without `force`, or cannot be written to."""
    existing = [file for file in files if (folder / file).exists()]
    if existing and not force:
        raise OutputError(
            f"{folder}: already holds {', '.join(existing)}. Choose another --output, or give --force to replace them."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{folder}: cannot be written ({reason}). Choose another --output.") from error


def table_options(*names: str) -> Group:
    """Return the options for fields of `TableOptions`, or for all; `collect_table_options` reads them."""
    types: dict[str, Any] = {"test": Path | None, "test_fraction": float | None, "missing": str, "strict": bool}
    types |= {"header": bool | None, "skip_rows": int | None, "skip_footer": int | None}
    group = {}
    for field in fields(TableOptions):
        if not names or field.name in names:
            kind, shown = get_args(field.type)
            given: Any = list[str] | None if kind == tuple[str, ...] else types.get(field.name, str | None)
            name = "--header/--no-header" if field.name == "header" else option_name(field.name)
            declared = Annotated[given, option(shown.metavar or None, shown.text, TABLES, name)]
            group[field.name] = declared, field.default if field.name == "strict" else field.default or None
    return group


TABLE_OPTIONS, READING_OPTIONS = table_options(), table_options(*READING)


def grouped(**groups: Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command groups of options, each in place of the parameter of that name, which gets their values."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            group = groups.get(parameter.name, {parameter.name: (parameter.annotation, parameter.default)})
            parameters += [inspect.Parameter(name, keyword, annotation=a, default=d) for name, (a, d) in group.items()]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            of_groups = {place: {name: values.pop(name) for name in group} for place, group in groups.items()}
            command(**values, **of_groups)

        vars(run)["__signature__"] = inspect.Signature(parameters)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def collect_table_options(values: Mapping[str, Any]) -> TableOptions:
    """Return the table options among a command's values; quotes stand around a name with a comma, as in CSV."""
    table = {field.name: values[field.name] for field in fields(TableOptions) if field.name in values}
    for name, hint in get_type_hints(TableOptions).items():
        if name in table and hint == tuple[str, ...]:
            texts = table[name] or []
            rows = csv.reader([texts] if isinstance(texts, str) else texts, skipinitialspace=True)
            table[name] = [name.strip() for row in rows for name in row if name.strip()]
    return TableOptions.parse(**table)
