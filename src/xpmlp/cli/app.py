"""The commands, put together."""

from typing import Annotated

import typer

from xpmlp import __version__

from .backends import backends
from .bench import bench
from .evaluate import evaluate
from .export import export
from .help_screen import Command, Group
from .inspect import inspect
from .plot import plot
from .predict import predict
from .train import describe_recipes, train

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> bool:
    """Print the version where it is wanted, and end."""
    if wanted:
        typer.echo(f"xpmlp {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def xpmlp(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train multilayer perceptrons, and use them.

    Start with [bold]xpmlp train digits[/bold]: it needs no data, and takes seconds.
    """


app.command(cls=Command, epilog=describe_recipes())(train)
for command in (evaluate, predict, plot, export, inspect, backends, bench):
    app.command(cls=Command)(command)
