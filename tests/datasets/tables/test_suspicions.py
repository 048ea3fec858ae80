"""Columns that number the rows or give the target away are named; all others are not."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from xpmlp import load_dataset
from xpmlp.inspection import inspect_data

ROWS = 600
GENERATOR = np.random.default_rng(0)
SCORE = GENERATOR.normal(size=ROWS)
LABEL = np.where(SCORE + GENERATOR.normal(size=ROWS) > 0.8, "yes", "no")
PRICE = 100 * np.exp(SCORE + 0.3 * GENERATOR.normal(size=ROWS))


def notes_of(path: Path, target: str, **columns: Any) -> list[str]:
    """Return the notes on suspicious columns of a table with one good column, which inspect and train must share."""
    honest = {"score": SCORE, target: LABEL if target == "label" else PRICE}
    pl.DataFrame({**columns, **honest}).write_parquet(path / "data.parquet")
    found = [
        [note for note in notes if "--exclude" in note and "dropped" not in note]
        for notes in (
            load_dataset(path / "data.parquet", target=target).notes,
            inspect_data(path / "data.parquet", target=target).notes,
        )
    ]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("a", np.arange(ROWS)),
        ("a", 1 + GENERATOR.permutation(ROWS)),
        ("a", np.arange(ROWS) + np.arange(ROWS) // 3),  # a third of the rows was dropped
        ("CustomerId", GENERATOR.permutation(10**7)[:ROWS]),
        ("order_id", GENERATOR.permutation(10**7)[:ROWS]),
        ("ID", GENERATOR.permutation(10**7)[:ROWS]),
    ],
)
@pytest.mark.parametrize("target", ["label", "price"])
def test_columns_that_number_the_rows_are_named(tmp_path: Path, target: str, name: str, values: Any) -> None:
    (note,) = notes_of(tmp_path, target, **{name: values})
    assert note == f"{name!r} numbers the rows, which says nothing about new ones; leave it out with --exclude {name}"


@pytest.mark.parametrize(
    ("target", "values"),
    [
        ("label", np.where(LABEL == "yes", "gone", "here")),
        ("label", (LABEL == "yes") ^ (np.arange(ROWS) == 5)),  # but for one mistake
        ("label", np.where(LABEL == "yes", 5.0, 0.0) + GENERATOR.random(ROWS)),
        ("label", pl.Series(np.where(LABEL == "yes", 700, 20) + np.arange(ROWS) % 9).cast(pl.Date)),
        ("label", [None if label == "yes" else "x" for label in LABEL]),
        ("price", 0.92 * PRICE + GENERATOR.normal(size=ROWS)),
        ("price", -np.log(PRICE)),
    ],
)
def test_columns_that_give_the_target_away_are_named(tmp_path: Path, target: str, values: Any) -> None:
    (note,) = notes_of(tmp_path, target, leak=values)
    assert note.startswith(f"'leak' alone predicts {target!r} nearly perfectly on held-out rows; ")
    assert note.endswith("leave it out with --exclude leak")


def test_honest_columns_are_not_named(tmp_path: Path) -> None:
    honest = {
        "amount": GENERATOR.permutation(10**7)[:ROWS],
        "paid": GENERATOR.permutation(10**6)[:ROWS],
        "count": GENERATOR.poisson(3, ROWS),
        "mostly": np.where(GENERATOR.random(ROWS) < 0.1, "x", LABEL),
        "city": GENERATOR.choice(["a", "b"], ROWS),
    }
    for target in ("label", "price"):
        assert notes_of(tmp_path, target, **honest) == []
    for name in ("iris", "wine", "breast_cancer", "diabetes"):
        assert not any("--exclude" in note for note in load_dataset(name).notes)


def test_a_rare_class_is_not_predicted_by_a_column_that_says_nothing(tmp_path: Path) -> None:
    """Being right in 99.5 % of the rows is nothing if the other class has 0.5 % of them."""
    label = np.arange(ROWS) % 200 == 0
    pl.DataFrame({"a": GENERATOR.random(ROWS), "b": SCORE, "y": label}).write_parquet(tmp_path / "data.parquet")
    assert not any("--exclude" in note for note in load_dataset(tmp_path / "data.parquet").notes)


def test_several_columns_share_a_note_that_can_be_pasted_and_of_many_the_first_ten_are_named(tmp_path: Path) -> None:
    (note,) = notes_of(tmp_path, "price", **{"in euro, cents": 92 * PRICE, "pounds": 0.8 * PRICE})
    assert note.startswith("'in euro, cents', 'pounds' each alone predict 'price' nearly perfectly")
    assert "leave them out with --exclude" in note
    assert "in euro, cents" in note
    (note,) = notes_of(tmp_path, "price", **{f"p{i}": (i + 1.0) * PRICE for i in range(12)})
    assert "'p9', … (12 in all) each alone predict 'price'" in note
    assert note.endswith("leave them out with --exclude COLUMNS")
