"""Spreadsheets, JSON, ARFF, and archives hold the same table as CSV."""

import bz2
import gzip
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from xpmlp import datasets, predict, train
from xpmlp.datasets import TableOptions, load_table
from xpmlp.datasets.tables.frames import table_in_memory
from xpmlp.errors import DataError, MissingDependencyError

load_dataset: Any = datasets.load_dataset
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
    "table.jsonl.gz": lambda path: path.write_bytes(gzip.compress(FRAME.write_ndjson().encode())),
    "table.json.zip": lambda path: as_zip(path, {"table.json": FRAME.write_json().encode()}),
    # As web services send it, and pandas' to_json writes it.
    "rows/table.json": lambda path: path.write_text(json.dumps({"count": 40, "items": FRAME.to_dicts()})),
    "columns/table.json": lambda path: path.write_text(json.dumps(FRAME.to_dict(as_series=False))),
    "labelled/table.json": lambda path: path.write_text(
        json.dumps({name: dict(enumerate(values)) for name, values in FRAME.to_dict(as_series=False).items()})
    ),
    "index/table.json": lambda path: path.write_text(json.dumps(dict(enumerate(FRAME.to_dicts())))),
    "split/table.json": lambda path: path.write_text(json.dumps({"columns": FRAME.columns, "data": FRAME.rows()})),
    "table.ods": lambda path: as_sheets(path, {"data": ROWS}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_table_is_that_of_its_csv_file(name: str, tmp_path: Path) -> None:
    if name.endswith(".ods"):
        pytest.importorskip("fastexcel")
    (tmp_path / "table.csv").write_bytes(CSV)
    (tmp_path / name).parent.mkdir(exist_ok=True)
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
    assert [column.name for column in dataset.table_schema.columns] == ["temperature", "the sky"]


@pytest.mark.parametrize("name", ["a9a", "a9a.txt", "a9a.svm", "a9a.libsvm.bz2"])
def test_absent_values_of_libsvm_are_zeros(name: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 3, (40, 4)) / 2
    lines = [" ".join(f"{n}:{value}" for n, value in enumerate(row, start=1) if value) for row in values]
    text = "".join(f"{'-+'[row % 2]}1 {line or '1:0'}\n" for row, line in enumerate(lines)).encode()
    (tmp_path / name).write_bytes(bz2.compress(text) if name.endswith("bz2") else text)
    dataset = load_dataset(tmp_path / name)
    expected = load_table(table_in_memory(values, pl.Series("label", [-1, 1] * 20)), TableOptions(target="label"))
    assert dataset.classes == (-1, 1)
    np.testing.assert_array_equal(dataset.train.x, expected.train.x)
    np.testing.assert_array_equal(dataset.train.labels, expected.train.labels)


def test_fields_of_objects_and_numbers_of_lists_are_columns(tmp_path: Path) -> None:
    n = np.arange(40)
    place = [{"height": float(row % 7), "at": {"x": row % 3, "y": [row % 5, row % 2]}} for row in n.tolist()]
    frame = pl.DataFrame({"place": place, "vector": np.c_[n % 4, n % 9] / 2, "tags": [["a"] * (row % 3) for row in n]})
    frame = frame.with_columns(kind=pl.Series(["u", "v"] * 20))
    flat: dict[str, Any] = {"place.height": n % 7, "place.at.x": n % 3, "place.at.y_0": n % 5, "place.at.y_1": n % 2}
    flat |= {"vector_0": n % 4 / 2, "vector_1": n % 9 / 2, "kind": ["u", "v"] * 20}
    expected = load_table(table_in_memory(flat), TableOptions(target="kind"))
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in frame.to_dicts()))
    for name in ("a.parquet", "a.arrow", "a.jsonl"):
        dataset = load_dataset(tmp_path / name, target="kind")
        assert [column.name for column in dataset.table_schema.columns] == list(flat)[:-1]
        np.testing.assert_array_equal(dataset.train.x, expected.train.x)
        assert any("columns dropped: 'tags'" in note for note in dataset.notes)
    model, _ = train(frame, "kind", epochs=1, verbose=False)
    np.testing.assert_array_equal(predict(model, frame).labels, predict(model, flat).labels)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"x": {"0": ["a"]}, "y": {"0": ["b"]}}', "holds no rows of values. Write one object for each row"),
        ("a.libsvm", "1 1:0.5\n1 0.5\n", "cannot be read in LIBSVM's format"),
        ("a.json", '[{"x": 1}, ', "cannot be read as a table in JSON"),
        *(
            ("a.json", content, "a.json: .*Write one object for each row")
            for content in ("null", "3", '"x"', "[]", "[1]", "[" * 10**5)
        ),
        ("a.arff", "@relation t\n@attribute a string\n@data\nx\n", "cannot be read as ARFF"),
        ("a.zip", "text", "a damaged or incomplete zip file"),
        ("a.zip", {"train.csv": CSV, "test.csv": CSV}, r"it holds 'train\.csv', 'test\.csv'\. Unpack it"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: Any, message: str) -> None:
    as_zip(tmp_path / name, content) if isinstance(content, dict) else (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / name, target="x")


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
