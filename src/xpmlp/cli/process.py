"""The process that a command runs in: its streams, its signals, its log."""

import io
import logging
import signal
import sys


def prepare_process() -> None:
    """Make this process what a command expects. Meant for the program's own process, not for a host's."""
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what the terminal's encoding lacks; that is no reason to lose a result.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    # A shutdown, a batch system's limit and a closed terminal end a run as Ctrl-C does: with what was learned saved.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)

    # What takes long, such as a download, is said on standard error.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("xpmlp").setLevel(logging.INFO)
