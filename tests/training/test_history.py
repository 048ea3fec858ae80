import csv
import io

import polars as pl

from xpmlp.training import EpochRow, history_to_csv

NAMES = ["epoch", "train_loss", "test_loss", "test_accuracy", "learning_rate", "seconds", "samples_per_second"]
FIRST = EpochRow(1, 0.1 + 0.2, 1 / 3, 0.9605, 1e-05, 0.25, 240000.0)
SECOND = EpochRow(2, 5e-324, None, None, 0.1, 0.5, 120000.0)


def test_a_history_is_a_line_of_names_and_a_line_for_each_epoch() -> None:
    lines = history_to_csv([FIRST, SECOND]).split("\n")
    assert lines[0] == ",".join(NAMES)
    assert lines[1].startswith("1,0.30000000000000004,")
    assert lines[2] == "2,5e-324,,,0.1,0.5,120000.0"
    assert lines[3:] == [""]


def test_every_number_is_written_so_that_it_reads_back_the_same() -> None:
    rows = list(csv.DictReader(io.StringIO(history_to_csv([FIRST, SECOND]))))
    for row, expected in zip(rows, (FIRST, SECOND), strict=True):
        for name in NAMES:
            value = getattr(expected, name)
            assert row[name] == "" if value is None else float(row[name]) == value


def test_polars_reads_what_is_none_as_missing() -> None:
    table = pl.read_csv(io.StringIO(history_to_csv([FIRST, SECOND])))
    assert table.columns == NAMES
    assert table["epoch"].to_list() == [1, 2]
    assert table["test_loss"].to_list() == [1 / 3, None]


def test_no_epochs_are_the_names_alone() -> None:
    assert history_to_csv([]) == ",".join(NAMES) + "\n"
