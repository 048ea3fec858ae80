"""Output: results to standard output, errors and notes to standard error."""

import contextlib
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, cast

from rich import box
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

# How Open MPI, MPICH and its descendants, and Slurm's srun give a process their number and its own rank.
LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
FILE_WIDTH = 1000  # in a file or a pipe nothing is folded: a line there is one line
WIDEST = 10_000  # characters of a table that is measured
ROWS_SHOWN = 40  # on a terminal; a file gets all of them
CONTROL_CHARACTERS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160)) if chr(code) != "\n"}


def place_among_processes() -> tuple[int, int] | None:
    """Return this process's rank, and the number of processes that an MPI launcher started; None without a launcher."""
    for size, rank in LAUNCHERS:
        if size in os.environ and rank in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return None


def print_as_process(rank: int, size: int, message: str) -> None:
    """Print an error of one of several processes; only the first still has a standard error of its own."""
    time.sleep(0.3 * min(rank, 1))  # an error that all have is printed by the first, which ends the others
    print(f"Error: process {rank} of {size}: {message}", file=sys.__stderr__, flush=True)


class SafeConsole(Console):
    """A console that escapes control characters: names from data files must not steer the terminal."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        """Render as rich does, with control characters escaped."""
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else segment._replace(text=escape(segment.text))

    def render_str(self, text: str, **options: Any) -> Text:
        """Escape a string before it is measured and laid out."""
        return super().render_str(escape(text), **options)


def escape(text: str) -> str:
    """Escape control characters other than newlines, as in ``\\x1b``."""
    return text.translate(CONTROL_CHARACTERS)


def make_console(*, quiet: bool = False, tolerant: bool = False) -> Console:
    """Return a console on standard output; a tolerant one carries on if that can no longer be written to.

    With `quiet`, it prints nothing, and messages of less weight than a warning are not logged.
    """
    if quiet:
        logging.getLogger("xpmlp").setLevel(logging.WARNING)
    # Without standard output, as under pythonw, sys.stdout is None, and rich writes nowhere.
    file = cast(IO[str], TolerantStream(sys.stdout)) if tolerant and sys.stdout is not None else None
    # No markup and no emoji codes: names of files and classes may look like either.
    console = SafeConsole(
        file=file,
        quiet=quiet,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        force_terminal=None if place_among_processes() is None else False,  # a launcher's may end in a file
    )
    if not writes_to_terminal(console):
        console.width = FILE_WIDTH
    return console


def writes_to_terminal(console: Console) -> bool:
    """Return whether a console writes to a terminal.

    Not `console.is_terminal`: FORCE_COLOR, which continuous integration sets, makes that true of a log or a pipe. An
    MPI launcher gives its processes a terminal, but passes on what they write in pieces.
    """
    return console.file.isatty() and place_among_processes() is None


def can_move(console: Console) -> bool:
    """Return whether what a console shows can be drawn over."""
    return writes_to_terminal(console) and not console.is_dumb_terminal and not console.quiet


def make_table(title: str = "", *columns: str, left: int = 1) -> Table:
    """Return an empty table without a frame; the first `left` columns are aligned left, the others right."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right", overflow="fold")
    return table


def print_first_that_fits(console: Console, tables: Iterator[Table]) -> None:
    """Print the first of some tables that is not wider than the console, or else the last."""
    table = next(tables)
    for smaller in tables:  # the last one is not measured, which takes half as long as printing it
        if console.measure(table, options=console.options.update_width(WIDEST)).minimum <= console.width:
            break
        table = smaller
    console.print(table)


def print_rows(rows: int, make_tables: Callable[[int], Iterator[Table]]) -> None:
    """Print a table of that many rows, in the first form that fits; on a terminal, only its first rows."""
    console = make_console()
    shown = min(rows, ROWS_SHOWN) if writes_to_terminal(console) else rows
    print_first_that_fits(console, make_tables(shown))
    if shown < rows:
        console.print(f"and {rows - shown:,} more; --output FILE writes all of them")


def shell_command(*arguments: object) -> str:
    """Return a command of xpmlp, quoted for a shell."""
    return shlex.join(["xpmlp", *map(str, arguments)])


def print_error(message: str) -> None:
    """Print an error to standard error."""
    print_to_stderr(Text.assemble(("Error: ", "bold red"), message))


def print_notes(*messages: str) -> None:
    """Print notes to standard error: something to know that is no error."""
    for message in messages:
        print_to_stderr(Text.assemble(("note: ", "yellow"), message))


def print_to_stderr(text: Text) -> None:
    """Print to standard error, if that can be written to."""
    with contextlib.suppress(OSError):
        SafeConsole(stderr=True, highlight=False, soft_wrap=True).print(text)


def describe_seconds(seconds: float) -> str:
    """Return a time, with two significant digits if it is short."""
    return f"{seconds:.1f} s" if seconds >= 1.0 else f"{seconds:.2g} s"


def describe_prediction(value: float) -> str:
    """Return a predicted number with six significant digits, in full up to a trillion."""
    return f"{value:.0f}" if 1e5 <= abs(value) < 1e12 else f"{value:.6g}"


class TolerantStream:
    """A stream that drops what cannot be written.

    A run is worth more than its log: it carries on if the reader of a pipe has gone or the log's disk is full.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, or give up writing."""
        self.attempt(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, or give up writing."""
        self.attempt(self.stream.flush)

    def attempt(self, method: Callable[..., object], *arguments: str) -> None:
        """Call a method of the stream; if it fails, redirect everything buffered and to come to the null device."""
        try:
            method(*arguments)
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)
            if not isinstance(error, BrokenPipeError):
                print_notes(f"the output cannot be written ({error.strerror or error}); the run continues without it.")
