"""The options of tables, declared once: keywords in Python, options of the commands, and their help."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

from xpmlp.errors import SettingsError
from xpmlp.model.table_schema import MISSING, SCALINGS, Missing, Scaling

from ..splitting import TEST_FRACTION

# Options of text files and spreadsheets.
READING = ("sheet", "encoding", "header", "names", "separator", "skip_rows", "skip_footer", "comment", "na", "numbers")
NO_MARKERS = "none"  # the choice of --na
TASKS = ("classification", "regression")
Task = Literal["classification", "regression"]


class Help(NamedTuple):
    """What the command line shows of an option: a placeholder for its value, and a description."""

    metavar: str
    text: str


@dataclass(frozen=True)
class TableOptions:
    """How a table becomes training and test samples.

    The names are the keywords of `load_dataset`; ``--test-fraction`` is the option for ``test_fraction``.

    Raises
    ------
    SettingsError
        For an unknown choice, a value out of range, or two options that contradict each other.
    """

    target: Annotated[
        str | None, Help("COLUMN", "Column to predict; by default one named label, target, class or y.")
    ] = None
    target_file: Annotated[
        str | Path | None, Help("FILE.npy", "Targets of rows in a .npy file; short for it: --target FILE.npy.")
    ] = None
    features: Annotated[
        tuple[str, ...], Help("COLUMNS", "Columns to predict from, such as a,b,c; by default all others.")
    ] = ()
    exclude: Annotated[tuple[str, ...], Help("COLUMNS", "Columns to leave out, such as a,b,c.")] = ()
    categories: Annotated[
        tuple[str, ...], Help("COLUMNS", "Columns of numbers that are codes, such as a,b,c. Text is always categories.")
    ] = ()
    test: Annotated[str | Path | None, Help("FILE", "Table of test rows; by default they are split off DATA.")] = None
    test_fraction: Annotated[
        float | None, Help("FRACTION", f"Fraction of the rows to split off for the test; {TEST_FRACTION} by default.")
    ] = None
    missing: Annotated[
        Missing,
        Help(
            "HOW",
            f"How to handle missing values: {', '.join(MISSING)} (leave the rows out). By default, numbers get the "
            "median and an input that marks the missing ones, and categories one more category.",
        ),
    ] = "auto"
    scale: Annotated[
        Scaling | None,
        Help(
            "HOW",
            f"How to scale numbers: {', '.join(SCALINGS)}. By default standard (mean 0, standard deviation 1), "
            "and unit (0 to 1) for pixels.",
        ),
    ] = None
    image_size: Annotated[
        str | None,
        Help("SIZE", "Width and height of pictures in class folders, such as 32 or 48x32; at most 32 by default."),
    ] = None
    task: Annotated[Task | None, Help("NAME", f"{' or '.join(TASKS)}; inferred from the target by default.")] = None

    sheet: Annotated[
        str | None, Help("NAME", "Sheet of a spreadsheet, by its name or number; by default the first with a table.")
    ] = None
    header: Annotated[
        bool | None, Help("", "Whether the first line of a text file has the columns' names; found by default.")
    ] = None
    names: Annotated[tuple[str, ...], Help("NAMES", "Names of all columns, such as a,b,c, in place of a header.")] = ()
    separator: Annotated[
        str | None, Help("TEXT", "Between the cells of a text file: ',', ';', '|', tab or space; found by default.")
    ] = None
    skip_rows: Annotated[int | None, Help("N", "Lines before the table in a text file; found by default.")] = None
    skip_footer: Annotated[
        int | None, Help("N", "Lines after the table in a text file, such as totals and remarks; found by default.")
    ] = None
    comment: Annotated[
        str | None, Help("TEXT", "Beginning of lines to leave out of a text file, or none; found by default.")
    ] = None
    numbers: Annotated[
        tuple[str, ...], Help("COLUMNS", "Columns of digits to read as numbers though some begin with 0, such as a,b.")
    ] = ()
    encoding: Annotated[
        str | None, Help("NAME", "Encoding of a CSV file, such as cp1252, utf-16 or shift_jis; detected by default.")
    ] = None
    strict: Annotated[
        bool,
        Help(
            "",
            "Refuse missing values, columns that cannot be inputs (names, empty ones), and text among numbers, instead "
            "of making the best of them.",
        ),
    ] = False
    date_format: Annotated[
        str | None, Help("FORMAT", "Format of dates that can be read in two ways, such as %d/%m/%Y.")
    ] = None
    na: Annotated[
        tuple[str, ...],
        Help("MARKERS", "More markers of missing values in a CSV file, such as -99,x; none for no markers at all."),
    ] = ()

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.target is not None and self.target.lower().endswith(".npy"):
            object.__setattr__(self, "target_file", self.target)
        if self.target_file is not None:
            object.__setattr__(self, "target", Path(self.target_file).stem)
        if self.strict and self.missing == "auto":
            object.__setattr__(self, "missing", "refuse")
        if self.encoding is not None and not is_text_encoding(self.encoding):
            raise SettingsError(
                f"--encoding: {self.encoding!r} is unknown. Give a name such as utf-8, cp1252 or utf-16."
            )
        for option, count in (("--skip-rows", self.skip_rows), ("--skip-footer", self.skip_footer)):
            if count is not None and count < 0:
                raise SettingsError(f"{option}: {count} is less than 0. Give the number of lines to skip.")
        if self.separator is not None and (not self.separator or set(self.separator) & set('"\r\n')):
            raise SettingsError(f"--separator: {self.separator!r} cannot be one. Give ',', ';', '|', tab or space.")
        if len(set(self.names)) != len(self.names):
            raise SettingsError("--names: a name stands there twice. Give each column a name of its own.")
        if self.test is not None and self.test_fraction is not None:
            raise SettingsError("--test and --test-fraction: give one of them; a file of test rows needs no split.")
        if self.test_fraction is not None and not 0.0 < self.test_fraction < 1.0:
            raise SettingsError(f"--test-fraction: {self.test_fraction} is not between 0 and 1. Give 0.2 for a fifth.")
        if self.target is not None and self.target in self.features:
            raise SettingsError(f"--features: {self.target} is the target. Leave it out of the features.")
        for name in self.exclude:
            if name in self.features:
                raise SettingsError(f"--exclude: {name} is also among the --features. Give it in one of them.")

    @staticmethod
    def parse(**values: Any) -> "TableOptions":
        """Return options from words that a user gave; a name may stand for a tuple, and columns may be numbers."""
        hints, target = get_type_hints(TableOptions), values.get("target")
        if hasattr(target, "__len__") and not isinstance(target, str | tuple):
            raise SettingsError(f"target: expected the name of one column, not a {type(target).__name__}.")
        values |= {} if target is None else {"target": str(target)}
        for name in values.keys() & hints.keys():
            choices = choices_of(hints[name])
            if choices and values[name] not in (*choices, None):
                raise SettingsError(f"--{name}: {values[name]!r} is not one of {', '.join(choices)}.")
            if hints[name] == tuple[str, ...]:
                given = values[name]
                values[name] = tuple(map(str, [given] if isinstance(given, str | int | float) else given))
        return TableOptions(**values)

    @staticmethod
    def recorded(training: Mapping[str, Any], given: "TableOptions | None" = None) -> "TableOptions":
        """Return the options for reading later tables: those given, and those of a model's training that apply."""
        source = training.get("provenance")
        options = source.get("options") if isinstance(source, dict) else None
        found: dict[str, Any] = {}
        if isinstance(options, dict):
            for name in ("na", "names", "numbers", "categories"):
                value = options.get(name)
                found |= {name: tuple(map(str, value))} if isinstance(value, list) else {}
        return TableOptions.parse(**found | ({} if given is None else given.to_json()))

    def to_json(self) -> dict[str, Any]:
        """Return the options that differ from their defaults as a JSON object; files by absolute path."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("test", "target_file"):
            if values[name] is not None:
                values[name] = os.path.abspath(values[name])
        return {
            field.name: list(values[field.name]) if isinstance(values[field.name], tuple) else values[field.name]
            for field in fields(self)
            if values[field.name] != field.default
        }

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the options that were given, as on the command line."""
        return tuple(f"--{name.replace('_', '-')}" for name in self.to_json())


DEFAULTS = TableOptions()


def is_text_encoding(name: str) -> bool:
    """Return whether Python knows an encoding of that name."""
    try:
        return bool("a".encode(name))
    except (LookupError, ValueError):
        return False


def choices_of(hint: Any) -> tuple[str, ...]:
    """Return the values of a ``Literal``, or of one beside None; none for other types."""
    found = [value for part in (hint, *get_args(hint)) for value in get_args(part)]
    return tuple(value for value in found if isinstance(value, str))
