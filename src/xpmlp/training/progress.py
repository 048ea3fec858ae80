"""The progress of a run: lines, with a bar below them on a terminal."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from .run import Callback, EpochRow, Run

FEWEST_LINES, LONG_SECONDS = 20, 1.0  # more lines than that only for epochs that take so long


def describe_loss(loss: float) -> str:
    """Return a loss with four decimals, or with an exponent if the run is about to diverge."""
    return f"{loss:.4f}" if loss < 1e4 else f"{loss:.3e}"


def describe_number(number: float) -> str:
    """Return a number of any unit with about four digits: ``0.0123``, ``45.67``, ``29,458``."""
    return f"{number:,.0f}" if 1e4 <= abs(number) < 1e12 else f"{number:.4g}"


def describe_epoch(row: EpochRow, epochs: int) -> str:
    """Return one epoch as a line of text."""
    width = len(str(epochs))
    parts = [f"epoch {row.epoch:>{width}}/{epochs}"]
    held_out = "test" if row.validation_loss is None else "validation"
    if row.train_rmse is not None:
        parts.append(f"RMSE {describe_number(row.train_rmse)}")
    elif row.train_loss is not None:
        parts.append(f"loss {describe_loss(row.train_loss)}")
    if row.held_out_rmse is not None:
        parts.append(f"{held_out} RMSE {describe_number(row.held_out_rmse)}")
    elif row.held_out_loss is not None:
        parts.append(f"{held_out} loss {describe_loss(row.held_out_loss)}")
    if row.held_out_accuracy is not None:
        parts.append(f"{held_out} accuracy {100 * row.held_out_accuracy:5.2f} %")
    parts.append(f"{row.samples_per_second:>9,.0f} samples/s")
    return "   ".join(parts)


class EpochLines(Callback):
    """Write a line for every epoch; of many short ones, for some and the last."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write
        self.written, self.time = 0, time.monotonic()

    def on_epoch_end(self, run: Run) -> None:
        """Write the epoch."""
        done, now = len(run.history), time.monotonic()
        if done in (1, run.epochs) or done % max(1, run.epochs // FEWEST_LINES) == 0 or now > self.time + LONG_SECONDS:
            self.write(describe_epoch(run.history[-1], run.epochs))
            self.written, self.time = done, now

    def on_fit_end(self, run: Run) -> None:
        """Write the last epoch if the run ended early, and restore the terminal."""
        if run.history and self.written and self.written < len(run.history):
            self.write(describe_epoch(run.history[-1], run.epochs))
        self.close()

    def close(self) -> None:
        """Restore the terminal, whatever ended the run."""


def make_bar(console: Any, what: str, *, can_move: bool) -> Any:
    """Return a progress of rich: the number of what is done, a bar and the time left; nothing unless it `can_move`."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn(f"[bold]{{task.completed:.0f}}/{{task.total:.0f}} {what}[/bold]"),
        BarColumn(bar_width=None),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        refresh_per_second=4,  # redrawing it more often takes time from training
        disable=not can_move,
    )


class LiveProgress(EpochLines):
    """Print a line for every epoch on a console of rich, with a bar and the time left below them if it `can_move`."""

    def __init__(self, console: Any, *, can_move: bool = True) -> None:
        super().__init__(console.print)
        self.progress = make_bar(console, "epochs", can_move=can_move)

    def on_fit_start(self, run: Run) -> None:
        """Show the bar."""
        self.task = self.progress.add_task("", total=run.epochs)
        self.progress.start()

    def on_epoch_end(self, run: Run) -> None:
        """Advance the bar, and write the epoch above it."""
        self.progress.update(self.task, completed=len(run.history))
        super().on_epoch_end(run)

    def close(self) -> None:
        """Remove the bar."""
        self.progress.stop()


def make_progress(notes: Sequence[str] = (), *, can_move: bool = True) -> EpochLines:
    """Return the progress for standard output, and show notes on the data first.

    Without `can_move` there is no bar on a terminal: an MPI launcher passes on what processes write in pieces.
    """
    progress: EpochLines = EpochLines(lambda line: sys.stdout.write(line + "\n"))
    if can_move and sys.stdout is not None and sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console

            console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
            progress = progress if console.is_dumb_terminal else LiveProgress(console)
    for note in notes:
        progress.write(f"note: {note}")
    return progress
