"""Spreadsheets, JSON, ARFF, and archives hold the same table as CSV."""

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from xpmlp.datasets import load_dataset
from xpmlp.errors import DataError, MissingDependencyError

FRAME = pl.DataFrame(
    {
        "zip": [f"0{row}" for row in range(10, 50)],
        "price": [f"$1,{100 + row}" for row in range(40)],
        "size": [None if row == 3 else row / 4 for row in range(40)],
        "kind": ["ab"[row % 2] for row in range(40)],
    }
)
CSV = FRAME.write_csv().encode()


def as_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def as_sheets(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    """Write the least that LibreOffice's format needs."""
    body = "".join(
        f'<table:table table:name="{name}">'
        + "".join(
            "<table:table-row>"
            + "".join(
                "<table:table-cell/>"
                if cell is None
                else f'<table:table-cell office:value-type="float" office:value="{cell}"/>'
                if isinstance(cell, float)
                else f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
                for cell in row
            )
            + "</table:table-row>"
            for row in rows
        )
        + "</table:table>"
        for name, rows in sheets.items()
    )
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in SPACES)
    content = f"<office:document-content {spaces}><office:body><office:spreadsheet>{body}</office:spreadsheet>"
    files = {
        "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
        "META-INF/manifest.xml": b"<manifest/>",
        "content.xml": f"{content}</office:body></office:document-content>".encode(),
    }
    as_zip(path, files)


SPACES = ("office", "table", "text")
ROWS = [FRAME.columns, *map(list, FRAME.rows())]
WRITERS: dict[str, Callable[[Path], Any]] = {
    "table.zip": lambda path: as_zip(path, {"folder/table.csv": CSV, "__MACOSX/folder/._table.csv": b"\0"}),
    "table.json": lambda path: path.write_text(FRAME.write_json()),
    "table.jsonl": lambda path: path.write_text(FRAME.write_ndjson()),
    "table.ods": lambda path: as_sheets(path, {"data": ROWS}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_table_is_that_of_its_csv_file(name: str, tmp_path: Path) -> None:
    if name.endswith(".ods"):
        pytest.importorskip("fastexcel")
    (tmp_path / "table.csv").write_bytes(CSV)
    WRITERS[name](tmp_path / name)
    expected = load_dataset(tmp_path / "table.csv", target="kind")
    found = load_dataset(tmp_path / name, target="kind")
    np.testing.assert_array_equal(found.train.x, expected.train.x)
    np.testing.assert_array_equal(found.test.labels, expected.test.labels)
    assert [note.replace(name, "table.csv") for note in found.notes] == list(expected.notes)
    assert found.name == "table"


def test_the_first_sheet_with_cells_is_read_below_its_title(tmp_path: Path) -> None:
    pytest.importorskip("fastexcel")
    path = tmp_path / "book.ods"
    as_sheets(path, {"cover": [], "data": [["Prices of 2026"], [None], *ROWS], "remarks": [["made by hand"]]})
    dataset = load_dataset(path, target="kind")
    assert dataset.train.rows + dataset.test.rows == 40
    assert any("sheet 'data' read, not 'remarks'" in note for note in dataset.notes)
    with pytest.raises(DataError, match="sheet 'data' read"):
        load_dataset(path, target="kind", strict=True)


def test_a_spreadsheet_needs_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(MissingDependencyError, match=r'pip install "xpmlp\[excel\]"'):
        load_dataset(tmp_path / "book.xlsx", target="kind")


def test_attributes_of_weka_become_columns(tmp_path: Path) -> None:
    path = tmp_path / "weather.arff"
    rows = "".join(f"{20 + row},{'?' if row == 5 else 'sunny'},{('yes', 'no')[row % 2]}\n" for row in range(20))
    attributes = "@attribute temperature real\n@attribute 'the sky' {sunny,rainy}\n@attribute play {yes,no}\n"
    path.write_text(f"% measured by hand\n@relation weather\n{attributes}@data\n{rows}")
    dataset = load_dataset(path, target="play")
    assert dataset.classes == ("no", "yes")
    assert dataset.table_schema is not None
    assert [column.name for column in dataset.table_schema.columns] == ["temperature", "the sky"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            json.dumps({"x": {"0": 1}, "y": {"0": 2}}),
            "holds no rows of values. Write one object for each row",
        ),
        ("a.jsonl", '{"x": 1, "place": {"street": "A"}}\n' * 5, "values of 'place' are lists or objects"),
        ("a.json", '[{"x": 1}, ', "cannot be read as a table in JSON"),
        ("a.arff", "@relation t\n@attribute a string\n@data\nx\n", "cannot be read as ARFF"),
        ("a.zip", "text", "cannot be unpacked"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / name, target="x")


def test_an_archive_of_several_files_is_refused_by_their_names(tmp_path: Path) -> None:
    as_zip(tmp_path / "two.zip", {"train.csv": CSV, "test.csv": CSV})
    with pytest.raises(DataError, match=r"it holds 'train\.csv', 'test\.csv'\. Unpack it"):
        load_dataset(tmp_path / "two.zip", target="kind")


def test_a_sheet_is_chosen_by_its_table_its_name_or_its_number(tmp_path: Path) -> None:
    pytest.importorskip("fastexcel")
    path = tmp_path / "book.ods"
    other: list[list[Any]] = [["a", "kind"], *([float(row % 7), "uv"[row % 2]] for row in range(50))]
    groups = [["What", None, "More", None], *ROWS]
    as_sheets(path, {"read me": [["Sales.", "By Bob."]], "data": groups, "2025": other})
    dataset = load_dataset(path, target="kind")
    assert any("sheet 'data' read, not 'read me', '2025'" in note for note in dataset.notes)
    assert any("line 1 left out, for units or more names: 'What, , More, '" in note for note in dataset.notes)
    for sheet in ("2025", "3"):
        assert load_dataset(path, target="kind", sheet=sheet).classes == ("u", "v")
    with pytest.raises(
        DataError, match=r"book.ods: --sheet: no sheet '4' has cells. Those that have are 'read me', 'd"
    ):
        load_dataset(path, target="kind", sheet="4")
    (tmp_path / "table.csv").write_bytes(CSV)
    with pytest.raises(DataError, match=r"table.csv: --sheet: is no spreadsheet"):
        load_dataset(tmp_path / "table.csv", target="kind", sheet="1")
