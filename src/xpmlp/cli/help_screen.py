"""Help without the types that recent versions of Typer show: ``<bool>`` beside a flag looks as if it took a value."""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command whose help says what its parameters are, not of which type."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, their types hidden."""
        return hide_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands, likewise."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, their types hidden."""
        return hide_types(super().get_params(ctx))


def hide_types(parameters: list[Any]) -> list[Any]:
    """Leave the place of the type empty for flags and arguments; options with a value have names for it."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        if parameter.param_type_name == "argument":
            vars(parameter)["display_type_rich"] = show_nothing  # older versions of Typer do not ask for it
    return parameters


def show_nothing(ctx: Any) -> None:
    """Return no type to show."""
