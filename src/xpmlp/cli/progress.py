"""A run as it goes, for a terminal or for a file."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xpmlp.training import Callback, EpochRow, Run

from .console import writes_to_terminal


def make_progress(console: Console) -> "EpochLines":
    """Return what suits where the console writes: a bar that moves on a terminal, lines alone anywhere else."""
    can_move = writes_to_terminal(console) and not console.is_dumb_terminal and not console.quiet
    return LiveProgress(console) if can_move else EpochLines(console)


def describe_epoch(row: EpochRow, epochs: int) -> str:
    """Return one epoch as a line of text."""
    width = len(str(epochs))
    parts = [f"epoch {row.epoch:>{width}}/{epochs}", f"loss {describe_loss(row.train_loss)}"]
    if row.test_loss is not None:
        parts.append(f"test loss {describe_loss(row.test_loss)}")
    if row.test_accuracy is not None:
        parts.append(f"test accuracy {100 * row.test_accuracy:5.2f} %")
    parts.append(f"{row.samples_per_second:>9,.0f} samples/s")
    return "   ".join(parts)


def describe_loss(loss: float) -> str:
    """Return a loss with four decimals, or with an exponent where a run is about to diverge."""
    return f"{loss:.4f}" if loss < 1e4 else f"{loss:.3e}"


def describe_seconds(seconds: float) -> str:
    """Return a time, with the digits that a short one needs to be seen."""
    return f"{seconds:.1f} s" if seconds >= 1.0 else f"{seconds:.2g} s"


class EpochLines(Callback):
    """Write a line for every epoch: the plain progress of a run whose output is not a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def on_epoch_end(self, run: Run) -> None:
        """Write the epoch that is over."""
        self.console.print(describe_epoch(run.history[-1], run.epochs))

    def close(self) -> None:
        """Leave the terminal as it was, whatever ended the run."""


class LiveProgress(EpochLines):
    """Lines for the epochs that are over, and below them a bar with the time that is left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.progress = Progress(
            TextColumn("[bold]epoch {task.fields[epoch]}/{task.total:.0f}[/bold]"),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            # The bar moves once an epoch; a thread that redraws it more often than needed takes time from training.
            refresh_per_second=4,
        )

    def on_fit_start(self, run: Run) -> None:
        """Show the bar."""
        self.task = self.progress.add_task("training", total=run.epochs, epoch=1)
        self.progress.start()

    def on_epoch_end(self, run: Run) -> None:
        """Move the bar, and write the epoch that is over above it."""
        done = len(run.history)
        self.progress.update(self.task, completed=done, epoch=min(done + 1, run.epochs))
        super().on_epoch_end(run)

    def close(self) -> None:
        """Take the bar away."""
        self.progress.stop()
