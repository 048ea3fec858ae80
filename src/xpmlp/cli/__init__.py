"""The command line: ``xpmlp train``, ``xpmlp evaluate``, ``xpmlp predict``."""

import sys


def main() -> None:
    """Run the command line, and end the process.

    What the user can mend is one line on standard error and exit code 1, never a traceback.
    """
    from xpmlp.errors import MissingDependencyError, XpmlpError
    from xpmlp.optional_imports import import_optional

    try:
        # The commands need both of these from their first line on.
        for module in ("typer", "rich"):
            import_optional(module, extra="cli", purpose="The command line")
    except MissingDependencyError as error:
        sys.exit(f"Error: {error}")
    from .console import print_error
    from .process import prepare_process

    prepare_process()
    try:
        from .app import app

        app()
    except XpmlpError as error:
        print_error(str(error))
    except MemoryError as error:
        print_error(f"There is not enough memory ({error}). Use less data or a smaller network.")
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has seen enough. Python would complain once more when it closes it.
        sys.stdout = None
    except OSError as error:
        # It names the file where there is one; where there is none, it is the output that cannot be written.
        where = "" if error.filename else "The output cannot be written: "
        print_error(f"{where}{error}")
    except KeyboardInterrupt:
        # Commands handle their own; this one came while they were being imported.
        sys.exit(130)
    sys.exit(1)
