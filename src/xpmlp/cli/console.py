"""Where the commands write: results to standard output, errors and notes to standard error."""

import contextlib
import io
import os
import sys
from typing import IO, Any, cast

from rich.console import Console
from rich.text import Text

WIDTH_OF_FILES = 1000  # Nothing is folded in a file or a pipe: a line there is one line.


def make_console(*, quiet: bool = False, lasting: bool = False) -> Console:
    """Return a console on standard output.

    Parameters
    ----------
    quiet
        Whether nothing at all is written.
    lasting
        Whether work goes on when standard output cannot be written to any more; see `LastingStream`.
    """
    # Without standard output, as under pythonw, sys.stdout is None, and rich writes nowhere.
    file = cast(IO[str], LastingStream(sys.stdout)) if lasting and sys.stdout is not None else None
    # No markup and no emoji codes: what is printed holds names of files and classes, which may look like either.
    console = Console(file=file, quiet=quiet, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not writes_to_terminal(console):
        console.width = WIDTH_OF_FILES
    return console


def writes_to_terminal(console: Console) -> bool:
    """Tell whether someone looks at a screen.

    Not `console.is_terminal`: FORCE_COLOR, which continuous integration sets, makes that true of a log or a pipe.
    """
    return console.file.isatty()


def print_error(message: str) -> None:
    """Write a line to standard error that says what went wrong."""
    write_to_stderr(Text.assemble(("Error: ", "bold red"), message))


def print_note(message: str) -> None:
    """Write a line to standard error that the user should know, but that is no error."""
    write_to_stderr(Text.assemble(("note: ", "yellow"), message))


def write_to_stderr(text: Text) -> None:
    # There is nowhere left to say that standard error cannot be written to.
    with contextlib.suppress(OSError):
        Console(stderr=True, highlight=False, soft_wrap=True).print(text)


class LastingStream(io.TextIOBase):
    """A stream for as long as it can be written to; what comes later is dropped.

    A run is worth more than the report on it: it goes on when whoever read along has gone, or the log's disk is full.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, or go silent."""
        try:
            self.stream.write(text)
        except OSError as error:
            self.go_silent(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or go silent."""
        try:
            self.stream.flush()
        except OSError as error:
            self.go_silent(error)

    def go_silent(self, error: OSError) -> None:
        """Lead to nowhere what is still to come, and what is still buffered."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            print_note(f"the output cannot be written ({error.strerror or error}); the run goes on without it.")

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        """Return the number that the system knows it by."""
        return int(self.stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How text becomes bytes."""
        return str(self.stream.encoding)
