"""Tables as people have them: each is read, and a note says what was done."""

import gzip
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

import xpmlp
from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.loading import rows_to_predict
from xpmlp.datasets.tables.numbers import apply_format, find_format
from xpmlp.datasets.tables.options import TableOptions
from xpmlp.errors import DataError, SettingsError

load_dataset: Any = xpmlp.load_dataset
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
        for name, values in list(frames.items())[:: 2 if ending == ".arrow" else 1]:
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
        (
            "city,label\n" + "Moscow,1\n" * 20_000 + 20 * "Москва,1\nКазань,0\nСанкт-Петербург,1\n",
            "cp1251",
            "is not UTF-8; read as cp1251. Change it with --encoding NAME",
        ),
    ],
)
def test_encodings_are_detected_and_noted(
    tmp_path: Path, text: str, encoding: str, note: str | None, compress: Callable[[bytes], bytes]
) -> None:
    # Without a byte order mark, the content of UTF-16 does not tell that it is text.
    suffix = ".csv" if encoding == "utf-16-le" else ".txt"
    path = tmp_path / f"data{suffix}{'.gz' if compress is gzip.compress else ''}"
    path.write_bytes(compress(text.encode(encoding)))
    table = read_table(path)
    assert table.notes == (() if note is None else (note,))
    lines = [line.split(",") for line in text.splitlines()]
    assert list(table.schema) == lines[0]
    assert [list(map(str, row)) for row in table.collect().rows()] == lines[1:]
    assert table.find_line is not None
    assert table.find_line(1) == 3
    path.unlink()
    assert table.place(1) == "row 2"


def test_an_encoding_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("miasto,label\nŁódź,1\nKraków,0\n".encode("cp1250"))
    table = read_table(path, TableOptions(encoding="cp1250"))
    assert (table.column("miasto").to_list(), table.notes) == (["Łódź", "Kraków"], ())
    with pytest.raises(DataError, match=r"is not utf-16-le text .* --encoding NAME"):
        read_table(path, TableOptions(encoding="utf-16-le"))
    path.write_bytes(b"a,b\n" + b"1,x\n" * 20_000 + b"2,\xe9\n")
    with pytest.raises(DataError, match=r"is not utf-8 text \(.* in position 80006: .* --encoding NAME"):
        read_table(path, TableOptions(encoding="utf-8"))
    with pytest.raises(SettingsError, match="--encoding: 'klingon' is unknown"):
        load_dataset(path, encoding="klingon")


def test_markers_among_numbers_are_missing_and_among_text_are_text(write: Write) -> None:
    path = write("age,work,size,label\n?,?,1.5,0\n-,gov,n/a,1\n37,?,-,0\n41,self,.,1\n", "people.csv")
    table = read_table(path)
    assert table.collect().to_dict(as_series=False) == {
        "age": [None, None, 37, 41],
        "work": ["?", "gov", "?", "self"],
        "size": [1.5, None, None, None],
        "label": [0, 1, 0, 1],
    }
    assert table.notes == (
        "read markers such as ? and - as missing values in 'age' (2), 'size' (2); keep them with --na none",
    )


def test_markers_may_be_added_or_kept(write: Write) -> None:
    path = write("code,x,label\nNA,-99,0\nDE,5,1\n?,-99,0\nFR,7,1\n")
    plain = {"code": [None, "DE", "?", "FR"], "x": [-99, 5, -99, 7], "label": [0, 1, 0, 1]}
    for na, changed in (
        ((), {}),
        (("-99", "?"), {"code": [None, "DE", None, "FR"], "x": [None, 5, None, 7]}),
        (("none",), {"code": ["NA", "DE", "?", "FR"]}),
        (("none", "?"), {"code": ["NA", "DE", None, "FR"]}),
    ):
        assert read_table(path, TableOptions(na=na)).collect().to_dict(as_series=False) == plain | changed
    kept = read_table(write("x,label\n?,0\n1,1\n", "kept.csv"), TableOptions(na=("none",)))
    assert (kept.column("x").to_list(), kept.notes) == (["?", "1"], ())


def test_markers_far_down_and_at_prediction_are_missing_too(write: Write) -> None:
    rows = "".join(f"{'?' if i == 400 else i},{'ab'[i % 2]},{i % 2}\n" for i in range(500))
    dataset = load_dataset(write(f"x,kind,label\n-99,a,1\n{rows}", "train.csv"), missing="median", na="-99")
    assert [column.kind for column in dataset.table_schema.columns] == ["number", "category"]
    assert any("'x' (1)" in note for note in dataset.notes)

    options = TableOptions.recorded({"provenance": asdict(dataset.provenance)})
    found = rows_to_predict(read_table(write("x,kind\n?,a\n-,b\n-99,a\n"), options), dataset.table_schema)
    assert found.usable.all()
    np.testing.assert_allclose(found.x[:, 0], found.x[0, 0])
    for damaged in ({}, {"provenance": 3}, {"provenance": {"options": {"na": 5}}}):
        assert TableOptions.recorded(damaged).na == ()


def test_columns_that_cannot_help_are_dropped_in_one_note_or_refused(tmp_path: Path) -> None:
    rows = 200
    frame = pl.DataFrame(
        {
            "name": [f"n{i}" for i in range(rows)],
            "my, remark": [f"a remark of several words, number {i}" for i in range(rows)],
            "when": pl.Series(["2026-01-01"] * rows).str.to_date(),
            "list": [["a", "b"]] * rows,
            "nothing": pl.Series([None] * rows),
            "gap": pl.Series([None] * rows, dtype=pl.Float64),
            "unit": ["kg"] * rows,
            "one": [4] * rows,
            "size": range(rows),
            "label": [i % 2 for i in range(rows)],
        }
    )
    path = tmp_path / "data.parquet"
    frame.write_parquet(path)
    dataset = load_dataset(path)
    assert [column.name for column in dataset.table_schema.columns] == ["size"]
    (note,) = (note for note in dataset.notes if "dropped" in note)
    assert note == (
        "columns dropped: 'name' (ids or names: different in all rows), 'my, remark' (free text), 'list' (of "
        "type List(String)), 'nothing' (no values), 'when' (constant), 'gap' (no values), 'unit' (constant), 'one' "
        "(constant); use text as categories with --categories 'name,\"my, remark\"'"
    )
    assert load_dataset(path, categories=["name"]).train.x.shape[1] == 161  # of the training rows, and the size
    for options, names in (
        ({"strict": True}, ["name", "my, remark", "list", "nothing"]),
        ({"features": ["when", "size"]}, ["when"]),
        ({"exclude": "size"}, ["name", "my, remark", "when", "list", "nothing", "gap", "unit", "one"]),
    ):
        with pytest.raises(DataError, match="columns that cannot be inputs: ") as caught:
            load_dataset(path, **options)
        assert [name for name in frame.columns if f"'{name}' (" in str(caught.value)] == names
        remedy = "No others are left" if "exclude" in options else "Leave them out with --exclude"
        assert remedy in str(caught.value)


def test_spaces_around_texts_are_of_no_importance(tmp_path: Path) -> None:
    frame = pl.DataFrame({"kind": ["a ", " b", "c", " a"] * 10, "label": ["yes", " no"] * 20})
    frame.write_parquet(tmp_path / "data.parquet")
    frame.write_csv(tmp_path / "data.csv")
    datasets = [load_dataset(tmp_path / name) for name in ("data.parquet", "data.csv")]
    for dataset in datasets:
        assert dataset.classes == ("no", "yes")
        (column,) = dataset.table_schema.columns
        assert column.categories == ("a", "b", "c")
        np.testing.assert_array_equal(dataset.train.x, datasets[0].train.x)
        old = msgspec.structs.replace(column, categories=("a ", " b", "c"), fill="a ")
        schema = msgspec.structs.replace(dataset.table_schema, columns=(old,))
        x = rows_to_predict(read_table(tmp_path / "data.csv"), schema).x
        np.testing.assert_array_equal(x[:4], [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("write", [pl.DataFrame.write_csv, pl.DataFrame.write_parquet, pl.DataFrame.write_ipc])
def test_text_is_read_alike_whatever_the_format(tmp_path: Path, write: Callable[..., None]) -> None:
    numbers = np.random.default_rng(0).uniform(5, 5000, 60)
    frame = pl.DataFrame(
        {
            "price": [f"${value:,.2f}" for value in numbers],
            "share": [f"{value / 100:.1f} %" for value in numbers],
            "when": [" " if row % 3 else f"2026-{1 + row % 12:02d}-{1 + row % 28:02d}" for row in range(60)],
            "zip": ["" if row % 5 == 1 else f"{row % 5:05d}" for row in range(60)],
            "mark": ["?" if row % 9 == 0 else f"{value:.2f}" for row, value in enumerate(numbers)],
            "cost": [f"{value:.2f} €" for value in numbers],
        }
    )
    path = tmp_path / ("data" + {"write_csv": ".csv", "write_parquet": ".parquet"}.get(write.__name__, ".arrow"))
    write(frame, path)
    dataset = load_dataset(path, target="cost")
    assert [column.kind for column in dataset.table_schema.columns] == [
        "number",
        "number",
        "date",
        "category",
        "number",
    ]
    assert dataset.classes == ()
    assert dataset.table_schema.columns[2].indicator
    assert dataset.table_schema.columns[3].categories == ("00000", "00002", "00003", "00004", "missing")
    assert len(rows_to_predict(read_table(path), dataset.table_schema).x) == 60
    np.testing.assert_allclose(np.sort([*dataset.train.labels, *dataset.test.labels]), np.sort(numbers.round(2)))
    assert dict(read_table(path).markers) == {"mark": {"?": 7}}
    with pytest.raises(DataError, match=r"--strict: .*'mark' \(7\).*'price' \(\$.*--numbers.*'zip' \(00000\)"):
        load_dataset(path, target="cost", strict=True)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["€110.5M", "€565K", "€0"], [110.5e6, 565e3, 0]),
        (["19M", "14k", "1.2k"], [19e6, 14e3, 1200]),
        (["3 bn", "4 bn"], [3e9, 4e9]),
        (["1,5 Mio €", "2 Mrd €"], [1.5e6, 2e9]),
        (["(2k)", "-1.5 million"], [-2000, -1.5e6]),
        (["5 m", "6.5 m"], [5, 6.5]),  # metres
        (["5 kg", "6 M"], None),
        (["1.234,50-", "2,00", "3,10- €"], [-1234.5, 2, -3.1]),  # a minus behind, as in accounts
        (["12,-", "12,50", "1.200,--"], [12, 12.5, 1200]),  # a dash for no cents
        (["Fr. 12.–", "Fr. 1'200.50"], [12, 1200.5]),
        (["2-", "1", "3"], None),  # grades
    ],
)
def test_magnitudes_multiply_and_a_minus_may_stand_behind(cells: list[str], values: list[float] | None) -> None:
    form = find_format(pl.Series(cells), decimal_comma=False)
    assert (form is None) == (values is None)
    if form is not None and values is not None:
        np.testing.assert_allclose(apply_format(pl.Series(cells), form).to_numpy(), values)


def test_a_column_of_amounts_may_be_empty_in_a_later_table(write: Write) -> None:
    model = load_dataset(write("price,size,y\n" + "".join(f"${i}.50,{i % 7},{i % 2}\n" for i in range(60))))
    for empty in ("", "?"):
        later = read_table(write(f"price,size\n{empty},1\n{empty},2\n", "later.csv"), schema=model.table_schema)
        assert rows_to_predict(later, model.table_schema).usable.all()


def test_a_few_texts_among_numbers_are_missing_and_those_that_recur_are_categories(write: Write) -> None:
    rows = "".join(f"{i},{i % 3 or 'many'},{i * 2}\n" for i in range(60))
    path = write(f"a,doors,y\n{rows}inf,1,3\n7,2,oops\n8,1,inf\n")
    dataset = load_dataset(path, target="y")
    assert {column.name: column.kind for column in dataset.table_schema.columns} == {"a": "number", "doors": "category"}
    assert dataset.train.rows + dataset.test.rows == 61
    notes = "\n".join(dataset.notes)
    assert "without a target: row 62 (line 63), column 'y': 'oops' is not a number" in notes
    assert "row 63 (line 64), column 'y': the value is infinite" in notes
    assert "used as missing values: row 61 (line 62), column 'a': inf is infinite" in notes
    grades = write("a,y\n" + "".join(f"{i},{'X' if i % 4 == 0 else i % 4}\n" for i in range(40)), "grades.csv")
    assert load_dataset(grades, target="y").classes == ("1", "2", "3", "X")


def test_excels_first_line_names_the_separator_and_later_rows_may_have_another_decimal_separator(write: Write) -> None:
    rows = "".join(f"{i},{i % 10}|{'ab'[i % 2]}\n" for i in range(60))
    dataset = load_dataset(write(f"sep=|\nlength|y\n{rows}"), target="y")
    assert not any("begins in line" in note for note in dataset.notes)
    later = read_table(write("length\n3.5\n12.25\n", "later.csv"), schema=dataset.table_schema)
    found = rows_to_predict(later, dataset.table_schema)
    same = rows_to_predict(
        read_table(write("length\n'3,5'\n'12,25'\n".replace("'", '"'), "same.csv"), schema=dataset.table_schema),
        dataset.table_schema,
    )
    np.testing.assert_array_equal(found.x, same.x)
    assert any("written unlike in training: 'length' (3.5 as 3.5)" in note for note in found.notes)
