"""The commands, each imported when it is run: ``xpmlp --help`` needs nothing that trains a network."""

import importlib
import inspect
import re
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

# Each command is the function of its name in the module of its name; beside it the first line of its help.
COMMANDS = {
    "train": "Train a network on DATA.",
    "sweep": "Try many settings on DATA at once, and train the best.",
    "evaluate": "Evaluate MODEL on the test rows of DATA.",
    "predict": "Classify pictures with MODEL, or predict each row of a table.",
    "explain": "Show how much each column of TABLE matters to MODEL.",
    "plot": "Draw a run's figures again, or compare the curves of several runs.",
    "export": "Write MODEL as a page to look at, as an ONNX graph, or as a Python file.",
    "draw": "Open a page that shows MODEL at work: draw a digit, change a value.",
    "inspect": "Describe DATA: first rows, column statistics, missing values, classes, duplicates.",
    "backends": "List the array libraries and devices that work here.",
    "bench": "Compare how fast each array library trains a network here.",
}
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
# Messages for the error types of pydantic, which parses the values for Typer.
WRONG_VALUES = {
    **dict.fromkeys(("int_parsing", "int_from_float", "int_parsing_size"), "is not a whole number"),
    "float_parsing": "is not a number",
    "greater_than_equal": "is less than {ge}",
}


class Command(TyperCommand):
    """A command whose errors name wrong values, and whose help shows no types: ``--quiet <bool>`` seems to take one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a value of the wrong type is named, and so is the option that was meant."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if (errors := getattr(error.__cause__, "errors", None)) is not None:
                first = errors()[0]
                wrong = WRONG_VALUES.get(first["type"], f"cannot be used: {error.message}")
                error.message = f"{first['input']!r} {wrong.format(**first.get('ctx', {}))}."
            raise
        except Exception as error:
            if name := vars(error).get("option_name", ""):
                from xpmlp.training.recipes import OTHER_NAMES

                from .options import option_name

                meant = option_name(OTHER_NAMES.get(name.lstrip("-").replace("-", "_"), ""))
                if any(meant in parameter.opts for parameter in self.params):
                    vars(error)["possibilities"] = [meant]
            elif self.name in ("train", "sweep", "inspect") and "extra argument" in str(vars(error).get("message")):
                vars(error)["message"] += ". Give one table; the column to predict is named by --target."
            raise

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters with their types hidden; the metavar shows the kind of value."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
            if parameter.param_type_name == "argument":
                vars(parameter)["display_type_rich"] = lambda ctx: None  # older versions of Typer do not ask for it
        return parameters


class Group(TyperGroup):
    """The program, whose help is printed without importing the commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast(Any, dict.fromkeys(COMMANDS))  # for suggestions

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:
        """Import a command; None if there is no such command."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f".{name}", __package__)
        single = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings=HELP_OPTIONS)
        function = getattr(module, name)
        # Within a paragraph of the help, Typer keeps a docstring's line ends.
        text = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(function.__doc__))
        single.command(name, cls=Command, help=text, epilog=getattr(module, "EPILOG", None))(function)
        return typer.main.get_command(single)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help as Typer does, whose own code for it takes as long to import as NumPy."""
        from rich.console import Console
        from rich.padding import Padding
        from rich.panel import Panel
        from rich.table import Table

        console = Console(highlight=False)
        console.print(f"\n [yellow]Usage:[/] [bold]{ctx.command_path} COMMAND \\[OPTIONS][/]\n")
        console.print(Padding((self.help or "").replace("\n\n", "\n \n"), (0, 1, 1, 1)))
        options = [record for option in self.get_params(ctx) if (record := option.get_help_record(ctx))]
        for title, rows in (("Commands", COMMANDS.items()), ("Options", options)):
            table = Table.grid(padding=(0, 2, 0, 0))
            for name, text in rows:
                table.add_row(f"[bold cyan]{name}[/]", text)
            console.print(Panel(table, title=title, title_align="left", border_style="dim"))


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)


def print_version(wanted: bool) -> bool:
    """Print the version and exit, if it is wanted."""
    if wanted:
        from xpmlp import __version__

        typer.echo(f"xpmlp {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def xpmlp(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train multilayer perceptrons and use them.

    Start with [bold]xpmlp train digits[/bold]: it needs no data and takes seconds.
    """
