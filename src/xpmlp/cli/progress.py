"""The progress of a run, on a terminal or in a file."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xpmlp.training import Callback, EpochRow, Run

from .console import describe_loss, writes_to_terminal


def make_progress(console: Console) -> "EpochLines":
    """Return a moving bar for a terminal, lines only for anything else."""
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


class EpochLines(Callback):
    """Print a line for every epoch."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def on_epoch_end(self, run: Run) -> None:
        """Print the epoch."""
        self.console.print(describe_epoch(run.history[-1], run.epochs))

    def close(self) -> None:
        """Restore the terminal, whatever ended the run."""


class LiveProgress(EpochLines):
    """Print a line for every epoch, and below them a bar with the time left."""

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
            # The bar moves once per epoch; redrawing it more often takes time from training.
            refresh_per_second=4,
        )

    def on_fit_start(self, run: Run) -> None:
        """Show the bar."""
        self.task = self.progress.add_task("training", total=run.epochs, epoch=1)
        self.progress.start()

    def on_epoch_end(self, run: Run) -> None:
        """Advance the bar, and print the epoch above it."""
        done = len(run.history)
        self.progress.update(self.task, completed=done, epoch=min(done + 1, run.epochs))
        super().on_epoch_end(run)

    def close(self) -> None:
        """Remove the bar."""
        self.progress.stop()
