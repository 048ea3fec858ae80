"""Tables as people have them: each is read, and a note says what was done."""

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from xpmlp import load_dataset
from xpmlp.datasets.tables import TableOptions, read_table
from xpmlp.errors import DataError, SettingsError

Write = Callable[..., Path]
ROWS = "stadt,größe,label\nZürich,1,ja\nGenève,2,nein\nTokyo,3,ja\n"
RUSSIAN = "город,label\nМосква,1\nКазань,0\n"


def test_a_path_names_one_file_whatever_characters_it_has(tmp_path: Path) -> None:
    frames = {"data[1]": [1, 2], "data1": [3, 4], "s*": [5, 6], "s1": [7, 8], "s?": [9, 10]}
    for ending, write in (
        (".csv", pl.DataFrame.write_csv),
        (".parquet", pl.DataFrame.write_parquet),
        (".arrow", pl.DataFrame.write_ipc),
    ):
        for name, values in frames.items():
            write(pl.DataFrame({"a": values, "label": [0, 1]}), tmp_path / f"{name}{ending}")
        for name, values in frames.items():
            assert read_table(tmp_path / f"{name}{ending}").column("a").to_list() == values


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        (ROWS, "utf-8", None),
        (ROWS, "utf-8-sig", None),
        (ROWS, "utf-16", "is encoded in UTF-16"),
        (ROWS, "utf-16-le", "is encoded in UTF-16-LE"),
        (ROWS, "utf-32", "is encoded in UTF-32"),
        (ROWS, "cp1252", "is not UTF-8; read as cp1252. Change it with --encoding NAME"),
        (RUSSIAN, "cp1251", "is not UTF-8; read as cp1251. Change it with --encoding NAME"),
    ],
)
def test_encodings_are_detected_and_noted(
    tmp_path: Path, text: str, encoding: str, note: str | None, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / ("data.csv.gz" if compress is gzip.compress else "data.csv")
    path.write_bytes(compress(text.encode(encoding)))
    table = read_table(path)
    assert table.notes == (() if note is None else (f"{path}: {note}",))
    lines = [line.split(",") for line in text.splitlines()]
    assert list(table.schema) == lines[0]
    assert [list(map(str, row)) for row in table.collect().rows()] == lines[1:]
    assert table.find_line is not None
    assert table.find_line(1) == 3


def test_an_encoding_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("miasto,label\nŁódź,1\nKraków,0\n".encode("cp1250"))
    table = read_table(path, TableOptions(encoding="cp1250"))
    assert (table.column("miasto").to_list(), table.notes) == (["Łódź", "Kraków"], ())
    with pytest.raises(DataError, match=r"is not utf-16-le text .* --encoding NAME"):
        read_table(path, TableOptions(encoding="utf-16-le"))
    with pytest.raises(SettingsError, match="--encoding: 'klingon' is unknown"):
        load_dataset(path, encoding="klingon")
