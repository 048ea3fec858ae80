"""The command line: ``xpmlp train``, ``xpmlp evaluate``, ``xpmlp predict`` and more."""

import os
import sys
from typing import Any

USAGE_ERROR = 2  # the exit code of a wrong option, as typer has it


def main() -> None:
    """Run the command line and exit.

    A user's mistake is one line on standard error and exit code 1, never a traceback.
    """
    try:
        from xpmlp.errors import MissingDependencyError, XpmlpError
        from xpmlp.optional_imports import import_optional

        try:
            # Every command needs both of these.
            for module in ("typer", "rich"):
                import_optional(module, extra="cli", purpose="The command line")
        except MissingDependencyError as error:
            sys.exit(f"Error: {error}")
        prepare_process()
        from .console import print_error

        try:
            from .app import app

            app()
        except SystemExit as error:
            if error.code == USAGE_ERROR:
                explain_to_launcher(error)
            raise
        except XpmlpError as error:
            print_error(str(error))
        except MemoryError as error:
            print_error(f"There is not enough memory ({error}). Use less data or a smaller network.")
        except BrokenPipeError:
            # The reader of our output, such as `head`, has seen enough. Python would complain again on closing it.
            sys.stdout = None
        except OSError as error:
            # It names the file if there is one; otherwise it is standard output that cannot be written.
            where = "" if error.filename else "The output cannot be written: "
            print_error(f"{where}{error}")
        except Exception as error:
            if not interruption.came:
                raise
            print_error(f"Interrupted ({type(error).__name__}: {error}).")
            sys.exit(130)
    except KeyboardInterrupt:
        # Commands handle their own; this one came during an import.
        sys.exit(130)
    sys.exit(1)


class Interruption:
    """Whether Ctrl-C was pressed: C code that calls Python may report another error in place of a KeyboardInterrupt."""

    came = False

    def __call__(self, number: int, frame: Any) -> None:
        """Handle a signal."""
        self.came = True
        raise KeyboardInterrupt


interruption = Interruption()


def explain_to_launcher(error: SystemExit) -> None:
    """Say which process of an MPI launcher has a wrong command line; the first one has printed a message itself."""
    import shlex

    from .console import place_among_processes, print_as_process

    if (place := place_among_processes()) is not None and place[0] > 0:
        command = shlex.join(["xpmlp", *sys.argv[1:]])
        reason: Any = error.__context__  # of Typer, which has printed it and then left
        print_as_process(*place, f"{reason.format_message()} Its command is {command}. Give all the same command.")


def prepare_process() -> None:
    """Set up the memory, streams, signals and log of the program's own process."""
    # Imported where `main` catches Ctrl-C.
    import atexit
    import gc
    import io
    import logging
    import signal

    # Modules and figures are many objects that stay; looking for garbage among them takes 8 % of a short command.
    gc.set_threshold(50_000, 20, 100)

    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what the terminal's encoding lacks; that must not lose a result.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    # A shutdown, a batch system's time limit and a closed terminal end a run as Ctrl-C does: its results are saved.
    interruption.came = False
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, interruption)
            # While Python shuts down, they end it without a traceback.
            atexit.register(signal.signal, number, signal.SIG_DFL)

    from .console import escape, place_among_processes

    # Of several processes under an MPI launcher, the first alone speaks. `abort` still has the others' standard error.
    if (place := place_among_processes()) is not None and place[0] > 0:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends

    # Messages about what takes long, such as a download, go to standard error.
    handler = logging.StreamHandler()
    handler.format = lambda record: escape(record.getMessage())  # type: ignore[method-assign]
    logging.basicConfig(handlers=[handler])
    logging.getLogger("xpmlp").setLevel(logging.INFO)
