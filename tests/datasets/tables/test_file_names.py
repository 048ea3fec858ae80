"""A table is known by its content where its name does not tell."""

import contextlib
import gzip
import os
import shlex
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.io

from xpmlp.datasets import load_dataset
from xpmlp.datasets.tables.files import table_format
from xpmlp.errors import DataError

TEXT = "width,height,kind\n" + "".join(f"{row},{row % 7},{'ab'[row % 2]}\n" for row in range(40))


def test_binary_tables_are_known_without_their_names(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    frame.write_parquet(tmp_path / "one")
    frame.write_ipc(tmp_path / "two")
    assert [table_format(tmp_path / name) for name in ("one", "two")] == ["parquet", "arrow"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train-images-idx3-ubyte", struct.pack(">4B3I", 0, 0, 8, 3, 1, 2, 2) + bytes(4)),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(20)),
        ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("images.gz", gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 1, 2, 2), mtime=0)),
        ("broken.gz", b"\x1f\x8b\x08\x00damaged"),
        ("empty", b""),
    ],
)
def test_other_files_are_no_tables(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert table_format(path) is None


@pytest.mark.parametrize("name", ["rows.sqlite", "rows.mat", "rows.pkl"])
def test_the_command_that_converts_a_table_does(tmp_path: Path, name: str) -> None:
    path, x = tmp_path / name, np.arange(40.0)
    if name == "rows.sqlite":
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("create table things (x, y)")
            connection.executemany("insert into things values (?, ?)", zip(x, x % 2, strict=True))
    elif name == "rows.mat":
        scipy.io.savemat(path, {"X": x[:, None], "y": x % 2})
    else:
        pytest.importorskip("pandas").DataFrame({"x": x, "y": x % 2}).to_pickle(path)
    with pytest.raises(DataError) as refused:
        load_dataset(path)
    command = shlex.split(str(refused.value).partition("Convert it: ")[2].replace("TABLE", "things"))
    assert command[:2] == ["python", "-c"]
    subprocess.run([sys.executable, *command[1:]], check=True)
    (made,) = {*tmp_path.glob("rows.csv"), *tmp_path.glob("rows.npz")}
    assert load_dataset(made, target="y").train.rows == 32


OTHER, PICTURE = b"PK\x03\x04", b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("file", "content", "data", "message"),
    [
        ("study.sav", OTHER, "study.sav", r"read_spss\(.*study\.sav.*\)\.to_csv\(.*study\.csv"),
        ("table.numbers", OTHER, "table.numbers", r"cannot be read as tables\. Save the table as CSV"),
        ("tables.tar.gz", OTHER, "tables.tar.gz", "is an archive. Unpack it first"),
        (
            "letter",
            OTHER,
            "letter",
            r"letter: is (not a table that can be read. Give|no table that can be read. Give a table, such as) CSV",
        ),
        ("a.csv", TEXT.encode(), ".", r"is a folder\. Name the table in it, as .*a\.csv"),
        ("cats/1.png", PICTURE, ".", r"pictures, but not those of several classes\. Put the pictures of each class"),
        ("1.JPG", PICTURE, ".", r"Put the pictures of each class into a folder of its own: .*/cat/1\.jpg"),
        ("x.npy", PICTURE, "x.npy", r"holds a single array\. Give its targets, too, such as --target y\.npy"),
        # Paths that are not files.
        ("x", b"", "https://example.com/a b.csv", r"Download it first: curl -LO 'https://example\.com/a b\.csv'"),
        ("x", b"", "s3://bucket/x.csv", r"s3://bucket/x\.csv: is not on this machine\. Download it first\."),
        ("x", b"", "-", "is a stream. Save it to a file first"),
        ("x", b"", os.devnull, "is a stream. Save it to a file first"),
        ("x", b"", "file:///data/a b/x.csv", "Give the path: '/data/a b/x.csv'"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"target": "y"}])
def test_what_people_try_is_refused_with_the_way_to_a_known_format(
    tmp_path: Path,
    file: str,
    content: bytes,
    data: str,
    message: str,
    options: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(content)
    (tmp_path / "README.txt").write_text("All that is in this folder.")
    with pytest.raises(DataError, match=message):
        load_dataset(data, **options)
