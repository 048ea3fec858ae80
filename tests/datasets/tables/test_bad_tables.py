"""What is wrong with a table is said with file, row and column, and what to do."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from xpmlp import load_dataset
from xpmlp.datasets import memory
from xpmlp.errors import DataError, SettingsError

Write = Callable[..., Path]


def refused(path: Path, **options: Any) -> str:
    """What is said of a table that is not loaded; it must begin with the path."""
    with pytest.raises(DataError) as caught:
        load_dataset(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_short_row_is_named(write: Write, three_classes: str) -> None:
    path = write(three_classes.replace("\n17,8.5,2\n", "\n17,8.5\n"))
    assert "row 18 (line 19) has 2 values, but the first line has 3" in refused(path)


def test_a_long_row_is_named(write: Write, three_classes: str) -> None:
    path = write(three_classes.replace("\n17,8.5,2\n", "\n17,8,5,2\n"))
    assert "row 18 (line 19) has 4 values, but the first line has 3" in refused(path)


def test_lines_are_counted_where_a_value_spans_several(write: Write) -> None:
    text = 'note,b,label\n"one\ntwo",1,0\nx,2\n' + "x,3,1\n" * 5
    assert "row 2 (line 4) has 2 values" in refused(write(text))


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
@pytest.mark.parametrize("row", [3, 700])
def test_a_text_among_numbers_is_named(tmp_path: Path, name: str, row: int) -> None:
    lines = [f"{i},{i * 0.5},{i % 2}" for i in range(1000)]
    lines[row] = f"{row},abc,0"
    content = ("a,b,label\n" + "\n".join(lines)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    message = refused(path)
    assert f"row {row + 1:,} (line {row + 2:,}), column 'b': 'abc' is not a number, but the other 999 values" in message
    assert "--exclude b" in message
    assert "--categories b" in message
    assert load_dataset(path, exclude=["b"]).train.x.shape[1] == 1


@pytest.mark.parametrize("header", ["a,b,label\n", ""])
def test_a_quote_without_its_partner_is_refused(write: Write, header: str) -> None:
    lines = [f"{i},{i * 0.5},{i % 2}" for i in range(40)]
    lines[20] = '20,"x,0'
    assert refused(write(header + "\n".join(lines) + "\n"))


def test_a_text_in_the_column_to_predict_is_named(write: Write) -> None:
    text = "a,price\n" + "".join(f"{i},{i}.5\n" for i in range(50)) + "50,cheap\n"
    assert "row 51 (line 52), column 'price': 'cheap' is not a number" in refused(write(text), target="price")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty. Give a table"),
        ("a,b,label\n", "has a header and no rows"),
        ("a,b,label", "has a header and no rows"),
        ("a,b,label\n\n\n", "has a header and no rows"),
    ],
)
def test_a_table_of_nothing_is_refused(write: Write, text: str, message: str) -> None:
    assert message in refused(write(text))


def test_a_missing_target_is_answered_with_the_near_names(write: Write) -> None:
    path = write("size,weight,Species,labels\n" + "1,2,x,0\n" * 10)
    message = refused(path, target="species")
    assert "there is no column 'species'. Did you mean 'Species'?" in message
    assert "'size', 'weight', 'Species', 'labels'" in message
    assert "Name it with --target. Perhaps 'labels'?" in refused(path)
    assert "--features: there is no column 'wieght'. Did you mean 'weight'" in refused(
        path, target="Species", features=["size", "wieght"]
    )
    assert "--exclude: there is no column" in refused(path, target="Species", exclude="nothing")


def test_a_class_in_one_row_is_named(write: Write, three_classes: str) -> None:
    path = write(three_classes + "99,1,7\n" + "3,4,0\n" * 20)
    message = refused(path)
    assert "the class 7 of column 'label' has one row only, row 31 (line 32)" in message
    assert "--test" in message


def test_one_class_is_not_enough(write: Write) -> None:
    assert "all rows are of the class 'x'" in refused(write("a,label\n" + "1,x\n2,x\n" * 10))


def test_too_few_rows_for_every_class_are_said(write: Write) -> None:
    text = "a,label\n" + "".join(f"{i},c{i % 5}\n" for i in range(10))
    assert "10 rows cannot be split so that every class is in both parts" in refused(write(text), test_fraction=0.1)


def test_missing_values_are_refused_with_their_place_and_the_remedies(write: Write, three_classes: str) -> None:
    path = write(three_classes.replace("\n17,8.5,2\n", "\n17,,2\n").replace("\n20,10.0,2\n", "\n,,2\n"))
    message = refused(path)
    assert "1 of 30 rows have no value in column 'a', the first of them row 21 (line 22); 1 more columns" in message
    assert "--missing mean or median" in message
    for how in ("mean", "median", "drop"):
        assert np.isfinite(load_dataset(path, missing=how).train.x).all()


def test_a_missing_target_is_refused_and_left_out_where_that_was_asked_for(write: Write, three_classes: str) -> None:
    path = write(three_classes.replace("\n17,8.5,2\n", "\n17,8.5,\n"))
    assert "no value in column 'label', the first of them row 18 (line 19)" in refused(path)
    dataset = load_dataset(path, missing="mean")
    assert len(dataset.train.x) + len(dataset.test.x) == 29
    assert any("1 rows dropped: no value in 'label', the target" in note for note in dataset.notes)


def test_infinite_values_are_named(tmp_path: Path) -> None:
    values = np.arange(40.0)
    values[11] = np.inf
    pl.DataFrame({"a": values, "label": np.arange(40) % 2}).write_parquet(tmp_path / "data.parquet")
    assert "row 12, column 'a'" in refused(tmp_path / "data.parquet")


@pytest.mark.parametrize("name", ["data.csv.gz", "data.parquet", "data.arrow", "data.npz", "data.feather"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = gzip.compress(b"a,label\n" + b"".join(b"%d,%d\n" % (i * i, i % 2) for i in range(5000)))
    path.write_bytes(content[: len(content) // 2])
    assert refused(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + b"x" * 50, "a zip archive or a spreadsheet"),
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"\x00\x01\x02\x03", "is not text"),
    ],
)
def test_what_is_no_csv_is_called_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    assert message in refused(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "missing.csv")


def test_a_csv_that_cannot_fit_in_memory_is_refused_before_it_is_read(
    write: Write, three_classes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(three_classes)
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    message = refused(path)
    assert "GB of memory" in message
    assert "Parquet" in message


def test_a_parquet_file_that_cannot_fit_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.parquet"
    pl.DataFrame({"a": np.arange(1000.0), "label": np.arange(1000) % 2}).write_parquet(path)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    assert "GB of memory" in refused(path)


def test_free_memory_is_told_on_linux() -> None:
    found = memory.available_memory()
    if os.path.exists("/proc/meminfo"):
        assert found is not None
        assert 2**20 < found < 2**50


def test_options_that_cannot_be_are_refused(write: Write, three_classes: str) -> None:
    path = write(three_classes)
    for options, message in (
        ({"missing": "guess"}, "--missing: 'guess' is not one of refuse, mean"),
        ({"scale": "log"}, "--scale: 'log' is not one of none, unit"),
        ({"task": "ranking"}, "--task: 'ranking' is not one of classification"),
        ({"test_fraction": 1.0}, "--test-fraction: 1.0 is not between 0 and 1"),
        ({"test_fraction": 0.2, "test": path}, "--test and --test-fraction"),
        ({"target": "a", "features": ["a"]}, "--features: a is the target"),
        ({"features": ["a"], "exclude": ["a"]}, "--exclude: a is also among"),
    ):
        with pytest.raises(SettingsError, match="^" + message.replace("(", r"\(")):
            load_dataset(path, **options)


def test_options_of_tables_are_refused_for_what_is_none() -> None:
    with pytest.raises(SettingsError, match="digits: is no table, so --target, --missing cannot be used"):
        load_dataset("digits", target="label", missing="mean")
