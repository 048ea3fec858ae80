"""What may be said of a table besides its path."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from xpmlp.errors import SettingsError
from xpmlp.model.table_schema import MISSING, SCALINGS, Missing, Scaling

TASKS = ("classification", "regression")
TEST_FRACTION = 0.2

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class TableOptions:
    """How a table becomes data to train on; all is found out or as usual where nothing is said.

    Attributes
    ----------
    target
        The column to predict; by default one named label, target, class or y.
    features
        The columns to predict it from; by default all others.
    exclude
        Columns to leave out of those.
    categories
        Columns whose numbers are codes of categories.
    test
        A file with the test rows; by default they are split off the table.
    test_fraction
        The part of the rows to split off; by default a fifth.
    missing
        What becomes of missing values; see `TableSchema.missing`.
    scale
        How numbers are scaled; see `TableSchema.scaling`. By default ``"standard"``, and pixels are divided by 255.
    task
        What to learn; by default it is told by the target's values.

    Raises
    ------
    SettingsError
        For a value that cannot be, or two that contradict each other.
    """

    target: str | None = None
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    test: str | Path | None = None
    test_fraction: float | None = None
    missing: Missing = "refuse"
    scale: Scaling | None = None
    task: Task | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.test is not None and self.test_fraction is not None:
            raise SettingsError("--test and --test-fraction: give one of them; a file of test rows needs no split.")
        if self.test_fraction is not None and not 0.0 < self.test_fraction < 1.0:
            raise SettingsError(f"--test-fraction: {self.test_fraction} is not between 0 and 1. Give 0.2 for a fifth.")
        if self.target is not None and self.target in self.features:
            raise SettingsError(f"--features: {self.target} is the target. Leave it out of the features.")
        for name in self.exclude:
            if name in self.features:
                raise SettingsError(f"--exclude: {name} is also among the --features. Give it in one of them.")

    def to_json(self) -> dict[str, Any]:
        """Return the options that differ from their defaults as a JSON object; a file of test rows by absolute path."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.test is not None:
            values["test"] = os.path.abspath(self.test)
        return {
            field.name: list(values[field.name]) if isinstance(values[field.name], tuple) else values[field.name]
            for field in fields(self)
            if values[field.name] != field.default
        }

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the options that were given, as on the command line."""
        return tuple(f"--{name.replace('_', '-')}" for name in self.to_json())


def parse_choice(option: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    """Return a word that a user gave.

    Raises
    ------
    SettingsError
        Where it is none of the choices.
    """
    if value is not None and value not in choices:
        raise SettingsError(f"{option}: {value!r} is not one of {', '.join(choices)}.")
    return value


def make_options(
    *,
    target: str | None = None,
    features: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    test: str | Path | None = None,
    test_fraction: float | None = None,
    missing: str = "refuse",
    scale: str | None = None,
    task: str | None = None,
) -> TableOptions:
    """Return options out of words that a user gave; see `TableOptions`.

    Raises
    ------
    SettingsError
        For a word that is not known.
    """
    parse_choice("--missing", missing, MISSING)
    parse_choice("--scale", scale, SCALINGS)
    parse_choice("--task", task, TASKS)
    return TableOptions(
        target,
        features,
        exclude,
        categories,
        test,
        test_fraction,
        missing,  # type: ignore[arg-type]
        scale,  # type: ignore[arg-type]
        task,  # type: ignore[arg-type]
    )
