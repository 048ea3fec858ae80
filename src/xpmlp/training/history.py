"""What a run was like, a row for each epoch."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class EpochRow:
    """One epoch.

    Attributes
    ----------
    epoch
        From 1.
    train_loss
        Mean of the batches' objectives as they were trained on, so with the penalty, and with weights that changed
        from batch to batch.
    test_loss, test_accuracy
        On the validation rows after the epoch, the loss without penalty; None without validation rows, and the
        accuracy where the loss knows no right and wrong.
    learning_rate
        Mean over the epoch's steps.
    seconds
        The training alone, without the validation.
    samples_per_second
        Rows trained on in each of these seconds.
    """

    epoch: int
    train_loss: float
    test_loss: float | None
    test_accuracy: float | None
    learning_rate: float
    seconds: float
    samples_per_second: float


def history_to_csv(history: Sequence[EpochRow]) -> str:
    """Write a history as comma-separated values under a line of names; what is None stays empty."""
    names = [field.name for field in fields(EpochRow)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in history)
    return text.getvalue()
