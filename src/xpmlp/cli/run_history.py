"""Reading again what a run was like."""

import csv
from dataclasses import fields
from pathlib import Path

from xpmlp.errors import DataError
from xpmlp.training import EpochRow

OPTIONAL = ("test_loss", "test_accuracy")


def read_history(path: Path) -> list[EpochRow]:
    """Read a ``history.csv``.

    Raises
    ------
    DataError
        Where it cannot be read, naming the line that is no epoch.
    """
    names = [field.name for field in fields(EpochRow)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            there = reader.fieldnames or ()
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}). Give the folder of a run of xpmlp train.") from error
    missing = [name for name in names if name not in there]
    if missing:
        raise DataError(f"{path}: has no column {', '.join(missing)}, so it is no history of xpmlp train.")
    history = []
    for number, line in enumerate(lines, start=2):
        try:
            history.append(parse_epoch(line))
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: line {number} is no epoch of a run ({error}). The file is damaged.") from error
    if not history:
        raise DataError(f"{path}: holds no epochs.")
    return history


def parse_epoch(line: dict[str, str]) -> EpochRow:
    """Return an epoch out of its cells."""
    test_loss, test_accuracy = (float(line[name]) if line[name] else None for name in OPTIONAL)
    return EpochRow(
        epoch=int(line["epoch"]),
        train_loss=float(line["train_loss"]),
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        learning_rate=float(line["learning_rate"]),
        seconds=float(line["seconds"]),
        samples_per_second=float(line["samples_per_second"]),
    )
