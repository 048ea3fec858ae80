"""Arguments and options that several commands share."""

import contextlib
import csv
import functools
import inspect
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from xpmlp.backends import BACKENDS
from xpmlp.datasets import TableOptions
from xpmlp.datasets.streaming.limit import parse_memory
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
    metavar="DATA", help="By default, the data that MODEL was trained on; any that train takes."
)
RecordedData = Annotated[str | None, RECORDED]


def option(metavar: str, text: str, panel: str | None = None) -> Any:
    """Return an option named after its parameter."""
    return typer.Option(metavar=metavar, help=text, rich_help_panel=panel)


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
    Path | None,
    option("FOLDER", "Folder with MNIST's four files; by default the environment variable XPMLP_DATA_DIR."),
]
BackendName = Annotated[
    str,
    option(
        "NAME",
        f"Array library: {', '.join(BACKENDS)}, or auto for a GPU if one works, else numpy. "
        "[bold]xpmlp backends[/bold] lists what works here.",
        COMPUTE,
    ),
]
DeviceName = Annotated[
    str | None, option("NAME", "cpu, cuda, cuda:1 or mps; by default the library's default device.", COMPUTE)
]


def use_given_threads(context: CommandContext, threads: int | None) -> int | None:
    """Use this number of threads until the command ends."""
    context.with_resource(use_threads(threads))
    return threads


Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        callback=use_given_threads,
        help="Threads per matrix product, on numpy and on torch's cpu; by default the cores this process may use, or "
        "fewer while other work keeps them busy.",
        rich_help_panel=COMPUTE,
    ),
]


def check_memory(text: str | None) -> str | None:
    """Refuse a memory limit that is not a size."""
    if text is not None:
        parse_memory(text)
    return text


MemoryLimit = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        callback=check_memory,
        help="Memory limit of the data, such as 2GB; by default most of the free memory. Larger data in Parquet, "
        ".npy or IDX files are streamed from disk.",
        rich_help_panel=COMPUTE,
    ),
]
Mpi = Annotated[
    bool,
    typer.Option(
        "--mpi",
        help="Require the processes that mpiexec or srun started; without it, they are used if there are any.",
        rich_help_panel=COMPUTE,
    ),
]
ModelPath = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A model.safetensors from [bold]xpmlp train[/bold], or its folder."),
]
TargetName = Annotated[
    str | None, option("COLUMN", "Column of the true values, if its name differs from the one in training.", TABLES)
]
ForceFile = Annotated[bool, typer.Option("--force", help="Replace that file if it exists.")]
ForceRun = Annotated[bool, typer.Option("--force", help="Replace the run in that folder.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.", rich_help_panel=OUTPUT)]


def parse_output(text: str) -> Path:
    """Return the path of an output; an empty one, as from an unset shell variable, would mean the current folder."""
    if not text:
        raise OutputError("--output: the name is empty. Give a name, or leave the option out.")
    return Path(text)


def output_folder(text: str, panel: str | None = None) -> Any:
    """Return the option for the folder of a command's files."""
    return typer.Option("--output", "-o", metavar="FOLDER", help=text, rich_help_panel=panel, parser=parse_output)


def check_output(path: Path, kinds: tuple[str, ...], *, force: bool) -> None:
    """Refuse, before any work, an output file of an unknown type or one that must not be replaced."""
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


def table_option(name: str) -> Any:
    """Return the option for a field of `TableOptions`."""
    shown = get_type_hints(TableOptions, include_extras=True)[name].__metadata__[0]
    flag = "--header/--no-header" if name == "header" else f"--{name.replace('_', '-')}"
    return typer.Option(flag, metavar=shown.metavar or None, help=shown.text, rich_help_panel=TABLES)


def with_table_options(command: Callable[..., None], names: Collection[str] | None = None) -> Callable[..., None]:
    """Give a command table options, all or some, in place of its parameter `table`.

    `collect_table_options` reads them.
    """
    types: dict[str, Any] = {"test": Path | None, "test_fraction": float | None, "missing": str, "strict": bool}
    types |= {"header": bool | None, "skip_rows": int | None, "skip_footer": int | None}
    hints = get_type_hints(TableOptions)
    types |= {name: list[str] | None for name, hint in hints.items() if hint == tuple[str, ...]}
    options = {
        field.name: (
            Annotated[types.get(field.name, str | None), table_option(field.name)],
            field.default if field.name == "strict" else field.default or None,
        )
        for field in fields(TableOptions)
        if names is None or field.name in names
    }
    return with_options(command, "table", options)


def with_reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options on how text files are read, in place of its parameter `table`."""
    return with_table_options(command, READING)


def with_options(
    command: Callable[..., None], placeholder: str, options: Mapping[str, tuple[Any, Any]]
) -> Callable[..., None]:
    """Give a command options, each with its default, in place of one of its parameters; `context.params` has them."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(name, keyword, annotation=a, default=default) for name, (a, default) in options.items()]
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        parameters += added if parameter.name == placeholder else [parameter.replace(kind=keyword)]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        command(**{name: value for name, value in values.items() if name not in options})

    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def collect_table_options(values: Mapping[str, Any]) -> TableOptions:
    """Return the table options among a command's values."""
    table = {field.name: values[field.name] for field in fields(TableOptions) if field.name in values}
    for name, hint in get_type_hints(TableOptions).items():
        if name in table and hint == tuple[str, ...]:
            table[name] = split_names(table[name])
    return TableOptions.parse(**table)


def split_names(texts: str | list[str] | None) -> list[str]:
    """Return the names in lists with commas; quotes stand around a name with a comma, as in CSV."""
    rows = csv.reader([texts] if isinstance(texts, str) else texts or [], skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]
