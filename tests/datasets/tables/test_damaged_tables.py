"""Damaged files, and whatever Polars raises, panics included, give an error of the package that names the file."""

import gzip
import io
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from xpmlp import load_dataset
from xpmlp.datasets import memory, read_idx
from xpmlp.datasets.tables import text_file, trial
from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.loading import rows_to_predict
from xpmlp.datasets.tables.table import Table
from xpmlp.errors import DataError
from xpmlp.inspection.inspection import inspect_data


@pytest.mark.parametrize("error", [pl.exceptions.ComputeError, pl.exceptions.PanicException])
def test_an_error_while_values_are_read_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    path = tmp_path / "data.parquet"
    pl.DataFrame({"a": np.arange(20.0), "label": np.arange(20) % 2}).write_parquet(path)
    schema, table = load_dataset(path).table_schema, read_table(path)
    assert schema is not None

    def broken(*_: Any) -> Any:
        raise error("page 3 is damaged\nat some place")

    # While a file is read, and in any other call.
    for attribute, what in (("collect", "read"), ("column_groups", "used as a table")):
        with monkeypatch.context() as patch:
            patch.setattr(pl.LazyFrame if attribute == "collect" else Table, attribute, broken)
            for use in (lambda: rows_to_predict(table, schema), lambda: inspect_data(path), lambda: load_dataset(path)):
                with pytest.raises(DataError, match=rf"data.parquet: cannot be .*{what}.* \(page 3 is damaged\)\."):
                    use()


@pytest.mark.parametrize("name", ["data.csv.gz", "data.parquet", "data.arrow", "data.npz", "data.feather"])
def test_half_a_gzip_file_is_refused_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = gzip.compress(b"a,label\n" + b"".join(b"%d,%d\n" % (i * i, i % 2) for i in range(5000)))
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{name}: "):
        load_dataset(path)


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    values = np.random.default_rng(0).normal(size=5000)
    pl.DataFrame({"a": values, "label": np.arange(5000) % 2}).write_parquet(path)
    content = bytearray(path.read_bytes())
    for place in range(4, len(content) // 2, 97):
        content[place] ^= 0xFF
    path.write_bytes(bytes(content))
    for use in (load_dataset, inspect_data):
        with pytest.raises(DataError, match=r"data.parquet: .*\. Is the file whole\?"):
            use(path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no Unicode")
@pytest.mark.parametrize("end", ["csv", "parquet", "arrow", "npz"])
def test_a_file_may_have_a_name_that_is_not_unicode(tmp_path: Path, end: str) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff." + end.encode()))
    frame = pl.DataFrame({"a": np.arange(20.0), "label": np.arange(20) % 2})
    content = io.BytesIO()
    writers: dict[str, Any] = {"csv": frame.write_csv, "parquet": frame.write_parquet, "arrow": frame.write_ipc}
    writers.get(end, lambda file: np.savez(file, a=frame["a"], label=frame["label"]))(content)
    path.write_bytes(content.getvalue())
    if end in ("csv", "npz"):
        assert load_dataset(path).train.x.shape == (16, 1)
    else:
        with pytest.raises(DataError, match=r"has a name that is not Unicode, so Polars cannot open it\. Rename"):
            load_dataset(path)


def test_members_of_an_npz_that_are_no_arrays_are_left_out_and_false_sizes_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, a=np.arange(20.0), label=np.arange(20) % 2)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("read me.txt", "hello")
    table = read_table(path)
    assert (list(table.schema), table.rows) == (["a", "label"], 20)
    assert table.notes == ("left out, as they are no arrays: 'read me.txt'",)

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    for content in (header.getvalue() + b"\0" * 800, header.getvalue()):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", content)
        with pytest.raises(DataError, match=r"data.npz: cannot be read as \.npz \(.*allocate"):
            read_table(path)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
def test_a_compressed_file_that_holds_far_more_than_memory_is_refused(
    tmp_path: Path, compress: Callable[[bytes, str], bytes], monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"bomb.csv.{suffix}"
    content = compress(b"a,label\n" + b"1,0\n" * 10**6, suffix)
    path.write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(text_file, "available_memory", lambda: 10**7)
        with pytest.raises(DataError, match=rf"bomb.csv.{suffix}: holds more than 2.5 MB"):
            read_table(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"bomb.csv.{suffix}: a damaged or incomplete \w+ file"):
        read_table(path)
    monkeypatch.setattr(text_file, "LONGEST_LINE", 2**20)
    path.write_bytes(compress(b"a" * 2**21, suffix))
    with pytest.raises(DataError, match=rf"bomb.csv.{suffix}: holds a line of more than 1 MB"):
        read_table(path)


def test_an_array_that_an_idx_file_promises_must_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + (10**7).to_bytes(4, "big") + bytes(10**7)))
    assert read_idx(path).shape == (10**7,)
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    with pytest.raises(DataError, match=r"images.gz: needs about 10 MB of memory, but 1 MB are free"):
        read_idx(path)


# One in thousands: a length that Polars tries to allocate, and Rust ends the process that it cannot.
@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_a_file_that_ends_the_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = tmp_path / f"data.{name}"
    frame = pl.DataFrame({"a": np.arange(20.0), "label": np.arange(20) % 2})
    (frame.write_parquet if name == "parquet" else frame.write_ipc)(path)
    assert load_dataset(path).train.rows == 16
    process = trial.reader()
    monkeypatch.setattr(trial, "READER", "import os, sys\nsys.stdin.readline()\nos.abort()")
    process.kill()  # as if the file did
    for _ in range(2):
        with pytest.raises(DataError, match=rf"data.{name}: is damaged, or larger than memory"):
            load_dataset(path)
    monkeypatch.undo()
    assert load_dataset(path).train.rows == 16
