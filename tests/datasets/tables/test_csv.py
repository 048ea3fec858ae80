"""Reading CSV, against pandas and Python's own csv module."""

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.datasets.tables.files import read_table
from xpmlp.errors import DataError

pd = pytest.importorskip("pandas")

Write = Callable[..., Path]


def columns(path: Path) -> dict[str, list[Any]]:
    return {name: values.to_list() for name, values in read_table(path).frame.collect().to_dict().items()}


TEXT = 'id,height,smokes,city\n1,1.5,true,Bern\n2,-3e2,false,"Basel, Stadt"\n3,,true,\n'


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"table.{end}"
            for end in ("csv", "tsv", "csv.gz", "csv.bz2", "csv.xz", "csv.zst", "txt.zst", "data.gz", "xz")
        ),
        *("TABLE.CSV", "adult.data", "table.txt", "table.dat", "noname", "data.v2"),
    ],
)
def test_a_table_is_read_whatever_its_name_and_however_it_is_compressed(
    tmp_path: Path, compress: Callable[[bytes, str], bytes], name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(compress(TEXT.encode(), path.suffix[1:]))
    table = read_table(path)
    assert table.rows == 3
    assert columns(path) == {
        "id": [1, 2, 3],
        "height": [1.5, -300.0, None],
        "smokes": [True, False, True],
        "city": ["Bern", "Basel, Stadt", None],
    }


def test_pixels_take_a_byte_each(write: Write) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 5))
    frame = read_table(write("a,b,c,d,e\n" + "\n".join(",".join(map(str, row)) for row in pixels))).collect()
    assert set(frame.dtypes) == {pl.UInt8}
    np.testing.assert_array_equal(frame.to_numpy(), pixels)


def test_a_type_that_changes_far_down_is_found(write: Write) -> None:
    """The first rows tell the types, but not the last word."""
    text = "a,b,c,d\n" + "1,2,3,4\n" * 500 + "300,2.5,x,99999999999999999999\n"
    frame = read_table(write(text)).frame.collect()
    assert frame["a"].to_list()[-2:] == [1, 300]
    assert frame["b"].to_list()[-2:] == [2.0, 2.5]
    assert frame["c"].to_list()[-2:] == ["3", "x"]
    assert frame["d"].cast(pl.Float64).to_list()[-2:] == [4.0, 1e20]


@pytest.mark.parametrize("mark", ["", "NA", "N/A", "NaN", "nan", "null", "None", "#N/A"])
@pytest.mark.parametrize("row", [0, 500])
def test_what_pandas_takes_for_missing_is_missing(write: Write, mark: str, row: int) -> None:
    lines = [f"{i},{i}.5,x{i % 2}" for i in range(600)]
    lines[row] = f"{mark},{mark},{mark}"
    path = write("a,b,c\n" + "\n".join(lines) + "\n")
    ours, truth = read_table(path).frame.collect(), pd.read_csv(path)
    for name in "abc":
        missing = ours[name].is_null() | (ours[name].is_nan() if ours[name].dtype.is_float() else False)
        assert missing.to_list() == truth[name].isna().tolist()
        present = ~missing
        assert ours[name].filter(present).to_list() == truth[name][present.to_numpy()].tolist()


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(categories=["L", "P", "S"]), min_size=1, max_size=8).map(lambda word: "x" + word)


@given(
    data=st.integers(1, 30).flatmap(
        lambda count: st.tuples(
            st.lists(st.none() | NUMBERS, min_size=count, max_size=count),
            st.lists(st.none() | WORDS, min_size=count, max_size=count),
            st.lists(st.integers(0, 300), min_size=count, max_size=count),
        )
    )
)
def test_any_table_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, data: tuple[Any, ...]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "word", "whole"])
    for row in zip(*data, strict=True):
        writer.writerow(["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in row])
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    frame = read_table(path).frame.collect()
    assert frame["whole"].to_list() == data[2]
    assert frame["word"].to_list() == data[1]
    numbers = frame["number"].cast(pl.Float64, strict=False).to_list()
    for ours, truth in zip(numbers, data[0], strict=True):
        assert (ours is None) == (truth is None)
        assert ours is None or truth is None or math.isclose(ours, float(truth), rel_tol=1e-15, abs_tol=0.0)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_table_or_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "data.csv"
    path.write_bytes(content)
    try:
        table = read_table(path)
        assert table.frame.collect().height == table.rows > 0
    except DataError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
