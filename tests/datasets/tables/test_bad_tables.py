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


GOOD = "a,b,label\n" + "".join(f"{i},{i * 0.5},{i % 3}\n" for i in range(30))
QUOTE = GOOD.replace("20,10.0,2", '20,"10.0,2')


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (GOOD.replace("17,8.5", "17"), {}, "row 18 (line 19) has 2 values, but the first line has 3"),
        (GOOD.replace("17,8.5", "17,8,5"), {}, "row 18 (line 19) has 4 values, but the first line has 3"),
        ('note,b,label\n"one\ntwo",1,0\nx,2\nx,3,1\n', {}, "row 2 (line 4) has 2 values"),
        (QUOTE, {}, ""),
        (QUOTE.split("\n", 1)[1], {"target": "column_1"}, ""),
        (GOOD + "cheap,1,0\n", {"target": "a", "strict": True}, "no value in column 'a', the first of them row 31"),
        ("", {}, "is empty. Give a table"),
        ("a,b,label", {}, "has a header and no rows"),
        ("a,b,label\n\n\n", {}, "has a header and no rows"),
        ("PK\x03\x04 …", {}, "a zip archive or a spreadsheet"),
        ("<!DOCTYPE html><html></html>", {}, "an HTML page"),
        ("%PDF-1.7 …", {}, "a PDF document"),
        ("\x00\x01\x02\x03", {}, "is not text"),
        ("a,label\n1,x\n2,y\n3,z\n", {}, "every row has a class of its own in column 'label'"),
        ("a,label\n1,x\n2,x\n", {}, "all rows are of the class 'x'"),
        ("a,label\n1,TRUE\n2,\n3,TRUE\n4,\n", {}, "2 rows have no value there; if that means another class"),
    ],
)
def test_what_is_wrong_is_said(write: Write, text: str, options: Any, message: str) -> None:
    assert message in refused(write(text), **options)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("row", [3, 700])
def test_a_text_among_numbers_is_named(tmp_path: Path, compress: Any, row: int) -> None:
    lines = [f"{i},{'abc' if i == row else i * 0.5},{i % 2}" for i in range(1000)]
    path = tmp_path / ("data.csv" if compress is bytes else "data.csv.gz")
    path.write_bytes(compress(("a,b,label\n" + "\n".join(lines)).encode()))
    message = refused(path, strict=True)
    assert f"row {row + 1:,} (line {row + 2:,}), column 'b': 'abc' is not a number, but the other 999 values" in message
    assert "--exclude b" in message
    assert "--categories b" in message
    assert load_dataset(path, exclude=["b"]).train.x.shape[1] == 1


def test_missing_files_and_infinite_values_are_named(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    assert "there is no such file" in refused(path)
    pl.DataFrame({"a": [*range(11), np.inf] * 4, "label": [0, 1] * 24}, strict=False).write_parquet(path)
    assert "row 12, column 'a': inf (and 3 more) is infinite" in refused(path, strict=True)
    assert any("used as missing values: row 12, column 'a': inf" in note for note in load_dataset(path).notes)


@pytest.mark.parametrize("scale", ["none", "unit", "standard"])
def test_values_too_far_apart_are_refused(tmp_path: Path, scale: str) -> None:
    path = tmp_path / "data.parquet"
    for values in ([0.0, 1.7e308, 1.7e308] * 20, [-1.7e308, 1.7e308] * 30):
        pl.DataFrame({"a": values, "label": [0, 0, 1] * 20}).write_parquet(path)
        message = refused(path, missing="mean", scale=scale)
        assert "column 'a'" in message
        assert "to compute with" in message


def test_a_missing_target_is_answered_with_the_near_names(write: Write) -> None:
    path = write("size,weight,Species,lables\n" + "1,2,x,0\n" * 10)
    message = refused(path, target="species")
    assert "there is no column 'species'. Did you mean 'Species'?" in message
    assert "'size', 'weight', 'Species', 'lables'" in message
    assert "Name it with --target. Perhaps 'lables'?" in refused(path)
    assert "--features: there is no column 'wieght'. Did you mean 'weight'" in refused(
        path, target="Species", features=["size", "wieght"]
    )
    assert "--exclude: there is no column" in refused(path, target="Species", exclude="nothing")


def test_several_targets_and_nothing_but_text_are_for_the_estimators(write: Write) -> None:
    path = write("text,a,b\n" + "".join(f"the film of day {row},{row % 2},{row % 3}\n" for row in range(60)))
    message = refused(path, target="a, b")
    assert "'a, b' names 2 columns, which are not one-hot; give one. In Python, xpmlp.MLPRegressor and" in message
    assert "make_pipeline(TfidfVectorizer(), xpmlp.MLPClassifier())" not in refused(path, target="a", features=["text"])
    remarks = write("text,a\n" + "".join(f"{'good ' * (row % 50 + 1)}film,{row % 2}\n" for row in range(120)))
    message = refused(remarks, target="a")
    assert "(free text). No others are left" in message
    assert "make_pipeline(TfidfVectorizer(), xpmlp.MLPClassifier())" in message


def test_missing_values_are_refused_with_their_place_and_the_remedies(write: Write, three_classes: str) -> None:
    path = write(three_classes.replace("\n17,8.5,2\n", "\n17,,2\n").replace("\n20,10.0,2\n", "\n,,2\n"))
    message = refused(path, missing="refuse")
    assert "1 of 30 rows have no value in column 'a', the first of them row 21 (line 22); 1 more columns" in message
    assert "--missing auto, mean or median" in message
    for how in ("auto", "mean", "median", "drop"):
        assert np.isfinite(load_dataset(path, missing=how).train.x).all()
    path = write(three_classes.replace("\n17,8.5,2\n", "\n17,8.5,\n"))
    assert "no value in column 'label', the first of them row 18 (line 19)" in refused(path, strict=True)
    dataset = load_dataset(path, missing="mean")
    assert dataset.train.rows + dataset.test.rows == 29
    assert any("1 row dropped: no value in 'label', the target" in note for note in dataset.notes)


def test_a_table_that_cannot_fit_in_memory_is_refused(
    write: Write, tmp_path: Path, three_classes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.parquet"
    pl.DataFrame({"a": np.arange(1000.0), "label": np.arange(1000) % 2}).write_parquet(path)
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    with pytest.raises(DataError, match="kB of memory, but 100 bytes are free"):
        load_dataset(path, memory="1GB")
    with pytest.raises(DataError, match="Save it as Parquet"):
        load_dataset(write(three_classes), memory="1GB")
    monkeypatch.undo()
    if os.path.exists("/proc/meminfo"):
        assert 2**20 < (memory.available_memory() or 0) < 2**50


def test_options_that_cannot_be_are_refused(write: Write, three_classes: str) -> None:
    path = write(three_classes)
    for options, message in (
        ({"missing": "guess"}, "--missing: 'guess' is not one of auto, refuse"),
        ({"scale": "log"}, "--scale: 'log' is not one of none, unit"),
        ({"task": "ranking"}, "--task: 'ranking' is not one of classification"),
        ({"test_fraction": 1.0}, "--test-fraction: 1.0 is not between 0 and 1"),
        ({"test_fraction": 0.2, "test": path}, "--test and --test-fraction"),
        ({"target": "a", "features": ["a"]}, "--features: a is the target"),
        ({"features": ["a"], "exclude": ["a"]}, "--exclude: a is also among"),
    ):
        with pytest.raises(SettingsError, match="^" + message.replace("(", r"\(")):
            load_dataset(path, **options)
    with pytest.raises(SettingsError, match="digits: is no table, so --target, --missing cannot be used"):
        load_dataset("digits", target="label", missing="mean")
