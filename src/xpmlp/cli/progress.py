"""The progress of a run, on a terminal or in a file."""

from rich.console import Console

from xpmlp.training.progress import LiveProgress

from .console import writes_to_terminal


def make_progress(console: Console) -> LiveProgress:
    """Return a line for every epoch, and on a terminal a bar below them."""
    can_move = writes_to_terminal(console) and not console.is_dumb_terminal and not console.quiet
    return LiveProgress(console, can_move=can_move)
