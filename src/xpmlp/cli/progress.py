"""The progress of a run, on a terminal or in a file."""

from rich.console import Console

from xpmlp.training.progress import LiveProgress

from .console import can_move


def make_progress(console: Console) -> LiveProgress:
    """Return a line for every epoch, and on a terminal a bar below them."""
    return LiveProgress(console, can_move=can_move(console))
