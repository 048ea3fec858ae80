"""The layout of text files: found by what the lines hold, or given; the truth is beside each text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xpmlp
from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.options import TableOptions
from xpmlp.datasets.tables.table import column_type
from xpmlp.errors import DataError, SettingsError
from xpmlp.model.table_schema import Column, NumberFormat, Reading, TableSchema

load_dataset: Any = xpmlp.load_dataset
Write = Callable[..., Path]
AB = {"a": [1, 3], "b": [2, 4]}
LETTERS = {"a": [1, 3], "b": [2.5, 4.5], "c": ["x", "y"]}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # Rows in place of a header: numbers above numbers, markers, texts that stand again below.
        ("41,0.3,a,yes\n42,0.5,b,no\n39,0.1,a,yes\n", None),
        ("Braund,22,x\nCum,38,y\nHeik,26,x\n", None),
        ("p,x,s,n\ne,x,y,n\np,b,s,w\n", None),
        ("?,1,a\n3,4,b\n", None),
        ('"$1,234",x\n$5,y\n', None),
        ("2020-01-01,a\n2020-01-02,b\n", None),
        ("1,2,3\n4,5,6\n", None),
        # Headers: texts above numbers, and numbers that count.
        ("name,age\nBraund,22\nCum,38\n", ["name", "age"]),
        ("a,2,x\n1,2,3\n", ["a", "2", "x"]),
        ("first,second\nx,y\nz,y\n", ["first", "second"]),
        ("country,2019,2020,2021\nChile,3,5,1\nPeru,3,4,5\n", ["country", "2019", "2020", "2021"]),
        ("0,1,2\n5.1,2,3\n3,4,5\n", ["0", "1", "2"]),
        (",400.5,401,401.5,402\nx,1,2,3,4\ny,1,2,4,4\n", ["column_1", "400.5", "401", "401.5", "402"]),
    ],
)
def test_a_header_is_known_by_what_stands_below(write: Write, text: str, names: list[str] | None) -> None:
    table = read_table(write(text))
    assert table.rows == text.count("\n") - (names is not None)
    assert list(table.schema) == (names or [f"column_{index + 1}" for index in range(len(table.schema))])
    assert any("has no header" in note and "--header" in note for note in table.notes) == (names is None)


@pytest.mark.parametrize(
    ("text", "expected", "note", "line"),
    [
        *((f"a{sep}b{sep}c\n1{sep}2.5{sep}x\n3{sep}4.5{sep}y\n", LETTERS, "", 3) for sep in ",;\t|"),
        ("\ufeffa,b,c\r\n1,2.5,x\r\n3,4.5,y", LETTERS, "", 3),
        ("a , b, c\n1, 2.5, x \n3, +4.5,y\n", LETTERS, "", 3),
        ("a,b,c\n1,2.5,x\n\n3,4.5,y\n\n\n", LETTERS, "", 4),
        ("a;b;c\n1;2,5;x\n3;4,5;y\n", LETTERS, "", 3),
        ("5,-1e3\n6,2\n", {"column_1": [5, 6], "column_2": [-1000.0, 2.0]}, "has no header", 2),
        ("a,a,b\n1,2,3\n4,5,6\n", {"a": [1, 4], "a_duplicated_0": [2, 5], "b": [3, 6]}, "columns are called a;", 3),
        ("a  b\n1   2\n  3 4 \n", AB, "separated by spaces", 3),
        ('a b\n1 "x y"\n\t3 z\n', {"a": [1, 3], "b": ["x y", "z"]}, "separated by spaces", 3),
        (
            '1.5   8\t"x y"\n2.5   9\t"z"\n',
            {"column_1": [1.5, 2.5], "column_2": [8, 9], "column_3": ["x y", "z"]},
            "separated by spaces",
            2,
        ),
        ("a,b\r1,2\r3,4\r", AB, "", 3),
        ("Report of 2020\nfrom Bob, me\n\na,b,c\n1,2,x\n3,4,y\n", AB | {"c": ["x", "y"]}, "begins in line 4", 6),
        ("# of 2020\n#\na,b\n1,2\n# more\n3,4\n", AB, "lines that begin with # are comments", 6),
        ("#a\tb\n1\t2\n3\t4\n", {"#a": [1, 3], "b": [2, 4]}, "", 3),
        ("a,b,\n1,2,\n3,4,\n", AB, "columns dropped: column_3", 3),
        ("a,b\n1,2,\n3,4,\n", AB, "columns dropped: column_3", 3),
        ("a,b,\n1,2\n3,4\n", AB, "", 3),
        ("a b\nr1 1 2\nr2 3 4\n", {"column_1": ["r1", "r2"], **AB}, "--exclude column_1", 3),
        (",a,b\n7,1,2\n9,3,4\n", {"column_1": [7, 9], **AB}, "--exclude column_1", 3),
        ("'a','b, c'\n1,'it''s'\n3,'say \"x\"'\n", {"a": [1, 3], "b, c": ["it's", 'say "x"']}, "", 3),
        ("'a'\t'b'\n1\t2\n3\t4\n", AB, "", 3),
        (
            '"a", "b, c" , "d"\n1, "x, y" , 2\n3, "z""s",  4\n',
            {"a": [1, 3], "b, c": ["x, y", 'z"s'], "d": [2, 4]},
            "",
            3,
        ),
        ("it's,b\nx's,2\n'y',4\n", {"it's": ["x's", "'y'"], "b": [2, 4]}, "", 3),
        ("a,,a\n1,2,3\n4,5,6\n", {"a": [1, 4], "column_2": [2, 5], "a_duplicated_0": [3, 6]}, "--names", 3),
    ],
)
def test_odd_layouts_are_found_and_said(
    write: Write, text: str, expected: dict[str, list[Any]], note: str, line: int
) -> None:
    table = read_table(write(text))
    assert table.collect().to_dict(as_series=False) == expected
    assert note in "".join(table.notes)
    assert bool(note) == bool(table.notes)
    assert table.find_line is not None
    assert table.find_line(1) == line


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("a::b\n1::2\n3::4\n", {"separator": "::"}, AB),
        ("a,b c\nx,2 3\n", {"separator": "space"}, {"a,b": ["x,2"], "c": [3]}),
        ("a\tb,c\n1\tx,3\n", {"separator": "tab"}, {"a": [1], "b,c": ["x,3"]}),
        ("x\ny,z\na,b\n1,2\n3,4\n", {"skip_rows": 2}, AB),
        ("a,b\n1,2\n% no\n3,4\n", {"comment": "%"}, AB),
        ("#a,b\n#1,2\n", {"comment": "none"}, {"#a": ["#1"], "b": [2]}),
        ("1,2\n3,4\n", {"names": ("a", "b")}, AB),
        ("p,q\n1,2\n3,4\n", {"names": ("a", "b")}, AB),
        ("a,b\nx,y\n", {"header": False}, {"column_1": ["a", "x"], "column_2": ["b", "y"]}),
        ("5,7\n1,2\n", {"header": True}, {"5": [1], "7": [2]}),
    ],
)
def test_a_layout_may_be_given(write: Write, text: str, options: dict[str, Any], expected: Any) -> None:
    assert read_table(write(text), TableOptions(**options)).collect().to_dict(as_series=False) == expected


def test_a_layout_that_cannot_be_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"data.csv: --names: 3 names for 2 columns"):
        read_table(write("1,2\n3,4\n"), TableOptions(names=("a", "b", "c")))
    for options, message in (
        ({"separator": '"'}, "--separator: "),
        ({"skip_rows": -1}, "--skip-rows: -1 is less than 0"),
        ({"names": ("a", "a")}, "--names: a name stands there twice"),
    ):
        with pytest.raises(SettingsError, match=message):
            TableOptions.parse(**options)


@pytest.mark.parametrize(
    ("cells", "values", "form"),
    [
        (["$1,234", "$2,000.50", "5"], [1234, 2000.5, 5], "'n' ($1,234 as 1234)"),
        (["12,345", "2,000", "?"], [12345, 2000, None], "(12,345 as 12345)"),
        (["1.234,50", "2,5", "7"], [1234.5, 2.5, 7], "(1.234,50 as 1234.5)"),
        (["45.1%", "3 %", "-4%"], [45.1, 3, -4], "(45.1% as 45.1)"),
        (["5 kg", "7kg", "n/a"], [5, 7, None], "(5 kg as 5)"),
        (["(1,500)", "20", "-3"], [-1500, 20, -3], "((1,500) as -1500)"),
        (["1 234,5", "1\u202f000", "3"], [1234.5, 1000, 3], "(1 234,5 as 1234.5)"),
        (["1'234.50", "5", "EUR 6"], [1234.5, 5, 6], "as 1234.5)"),
        (["−5", "1,2,3", "4"], None, ""),
        (["5 kg", "3 lb", "4 kg"], None, ""),
        (["A12", "B7", "C1"], None, ""),
        (["1.2.3", "1.2.4", "2.0"], None, ""),
        (["12:30", "11:15", "1"], None, ""),
        (["$5", "€6", "7"], None, ""),
    ],
)
def test_numbers_are_read_as_people_write_them(
    write: Write, cells: list[str], values: list[float | None] | None, form: str
) -> None:
    path = write("n|k\n" + "".join(f"{cell}|x\n" for cell in cells))
    table = read_table(path)
    assert table.column("n").to_list() == (cells if values is None else values)
    assert form in "".join(table.notes)
    assert ("--categories n" in "".join(table.notes)) == (values is not None)
    assert read_table(path, TableOptions(categories=("n",), na=("none",))).column("n").to_list() == cells


@pytest.mark.parametrize("row", [1, 250])
def test_digits_stay_text_if_one_cell_begins_with_0(write: Write, row: int) -> None:
    cells = ["02116" if index == row else str(10000 + index) for index in range(300)]
    path = write("zip,x\n" + "".join(f"{cell},0\n" for cell in cells))
    table = read_table(path)
    assert table.column("zip").to_list() == cells
    assert table.notes == ("kept as text, for leading zeros: 'zip' (02116); read numbers with --numbers zip",)
    assert read_table(path, TableOptions(numbers=("zip",))).column("zip").to_list() == [int(cell) for cell in cells]
    assert read_table(write("a\n0\n0.5\n-0\n")).column("a").to_list() == [0, 0.5, 0]


def test_a_file_for_a_model_is_read_as_its_training_data_were(write: Write) -> None:
    def read(text: str, **reading: Any) -> dict[str, list[Any]]:
        columns = tuple(Column(name, "number") for name in reading.pop("names", ("n", "k")))
        table = read_table(write(text), TableOptions(), TableSchema(columns, reading=Reading(**reading)))
        return dict(table.collect().to_dict(as_series=False))

    german = {"n": NumberFormat(",", "€")}
    assert read("k;n\n7;1.234\n8;2.500 €\n", separator=";", formats=german) == {"k": [7, 8], "n": [1234, 2500]}
    assert read("zip,n\n12345,1\n", texts=("zip",)) == {"zip": ["12345"], "n": [1]}
    assert read("first,second\n", header=False) == {"column_1": ["first"], "column_2": ["second"]}
    assert read("k,n\n1,2\n", header=False) == {"k": [1], "n": [2]}  # as a line with the model's names is a header
    assert read("title\n\nn,2\n1,3\n", names=("n", "2")) == {"n": [1], "2": [3]}
    assert read("n::k\n1::2\n", separator="::") == {"n": [1], "k": [2]}
    assert read("#n,k\nn,k\n1,2\n#3,4\n", comment="#") == {"n": [1], "k": [2]}


NUMBERS = "".join(f"{i}.5,{i * 2},{'no' if i % 2 else 'yes'}\n" for i in range(30))
MARKDOWN = NUMBERS.strip().replace(",", " | ").replace("\n", " |\n| ")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("Report,,\nMade in 2026,,\n\na,b,y\n" + NUMBERS + ",,\nSource: me,,\n", "the table begins in line 4"),
        (
            "a,b,y\nm,kg,-\n" + NUMBERS,
            "line 2 left out, for units or more names: 'm, kg, -'; keep it with --skip-rows 0",
        ),
        ("| a | b | y |\n|---|:-:|--:|\n| " + MARKDOWN + " |\n", ""),
    ],
)
def test_titles_units_and_rules_around_a_table_are_no_rows(write: Write, text: str, note: str) -> None:
    table = read_table(write(text))
    assert table.rows == 30
    assert list(table.schema) == ["a", "b", "y"]
    assert [column_type(dtype) for dtype in table.schema.values()] == ["number", "number", "text"]
    assert note in "\n".join(table.notes)


def test_codes_with_letters_and_numbered_names_are_no_numbers_with_units(write: Write) -> None:
    jobs = ("1. Industrial", "2. Information")
    rows = "".join(f"{'136A' if i % 3 else '007'},{jobs[i % 2]},{i}\n" for i in range(40))
    dataset = load_dataset(write("family,job,y\n" + rows), target="y")
    assert [column.categories for column in dataset.table_schema.columns] == [("007", "136A"), jobs]
