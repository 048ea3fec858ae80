import base64
import io
import json
import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from rich.console import Console

from xpmlp.cli.inspect import print_inspection
from xpmlp.inspection.inspection import inspect_data

Run = Callable[..., Any]


class Page(HTMLParser):
    """Checks that every element is closed, and collects texts and what is loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_iris_is_shown_whole_and_json_holds_everything(xpmlp: Run) -> None:
    code, out, err = xpmlp("inspect", "iris")
    assert (code, err) == (0, "")
    assert out.startswith("iris: 150 rows, 5 columns\n")
    for words in ("sepal length (cm)", "5.843", "0.8281", "duplicate rows     1", "versicolor", "33.3 %"):
        assert words in out, words
    found = json.loads(xpmlp("inspect", "iris", "--json").out)
    assert (found["rows"], found["target"], found["task"]) == (150, "target", "classification")
    assert [column["name"] for column in found["columns"]][-1] == "target"
    assert found["columns"][0]["mean"] == pytest.approx(5.843333333)
    assert found["classes"][0] == {"label": "setosa", "rows": 50, "share": pytest.approx(1 / 3)}
    assert len(found["first_rows"]) == 5


def test_many_columns_are_readable_in_a_terminal(xpmlp: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pl.from_numpy(generator.integers(0, 256, (40, 784)), schema=[f"pixel{i}" for i in range(784)])
    frame = frame.with_columns(pixel9=pl.lit(0), pixel5=pl.when(pl.col("pixel1") > 99).then(pl.col("pixel5")))
    frame.with_columns(label=pl.Series(np.arange(40) % 4)).write_csv(tmp_path / "wide.csv")
    out = xpmlp("inspect", tmp_path / "wide.csv").out
    assert len(out.splitlines()) < 70
    assert "40 rows, 785 columns" in out
    described = out[out.index("columns, the 24 most notable") :]
    names = [line.split()[0] for line in described[described.index("──") :].splitlines()[1:3]]
    assert names == ["label", "pixel5"]
    assert "constant columns   1: pixel9" in out


def test_a_narrow_terminal_shows_fewer_numbers_but_whole_ones() -> None:
    screen = io.StringIO()
    print_inspection(Console(file=screen, width=80, color_system=None), inspect_data("wine"))
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    first = next(line for line in lines if "alcohol" in line)
    assert first.split()[0] == "target"  # what is to be predicted is seen, whatever else is not
    (described,) = (line for line in lines if line.split()[:1] == ["proline"])
    assert described.split() == ["proline", "·", "746.9", "314.9", "278", "673.5", "1680"]
    title = next(line.rstrip() for line in lines if line.startswith("columns"))
    assert title == "columns; all with --json or --html"


def test_the_page_needs_no_other_file_and_holds_pictures(xpmlp: Run, tmp_path: Path) -> None:
    out = xpmlp("inspect", "digits", "--html", "report.html").out
    assert "written to report.html" in out
    text = Path("report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    pictures = [Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) for source in page.sources]
    assert len(pictures) == 3
    for picture in pictures:
        assert min(picture.size) > 200
        assert np.asarray(picture.convert("L")).std() > 5.0
    assert "pixel_7_7" in page.texts
    assert "duplicate columns" not in page.texts
    assert not re.search(r"https?://", text)


def test_whole_numbers_are_years_codes_classes_or_amounts_and_durations_are_seconds(xpmlp: Run) -> None:
    columns = {"year": [1984, *[2026] * 59], "zip": [10115] * 60, "wait": [timedelta(minutes=2), *[None] * 59]}
    pl.DataFrame(columns | {"y": [index % 4 for index in range(60)]}).write_parquet("data.parquet")
    out = xpmlp("inspect", "data.parquet").out
    assert "note: durations are numbers of seconds: 'wait'" in out
    assert next(line.split() for line in out.splitlines() if "1984" in line) == ["1984", "10115", "120", "0"]
    assert "10115" in next(line for line in out.splitlines() if "zip" in line and "Int64" in line)
    assert "change it with --task regression" in out
    assert "classes of y" in out
    assert "classes of y" not in xpmlp("inspect", "data.parquet", "--task", "regression").out


def test_what_cannot_be_is_refused(xpmlp: Run, refused: Run) -> None:
    refused(("inspect", "nothing.csv"), "nothing.csv: there is no such file. Give CSV (plain, .gz, ")
    refused(("inspect", "iris", "--target", "species"), "there is no column 'species'")
    refused(("inspect", "iris", "--task", "both"), "--task: 'both' is not one of classification, regression")
    Path("report.html").write_text("mine", encoding="utf-8")
    refused(("inspect", "iris", "--html", "report.html"), "already exists")
    assert Path("report.html").read_text(encoding="utf-8") == "mine"
    # Names that look like markup are text.
    odd = pl.DataFrame({"<script>alert(1)</script>": [1, 2, 3], "$body": ["<b>", "&", "x"]})
    odd.write_csv("odd.csv")
    xpmlp("inspect", "odd.csv", "--html", "report.html", "--force")
    page = Page(Path("report.html").read_text(encoding="utf-8"))
    assert {*odd.columns, "<b>"} <= set(page.texts)


def test_whole_numbers_have_a_bar_each_and_whole_ticks(xpmlp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []

    def keep(figure: Any) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr("xpmlp.inspection.report.to_png", keep)
    rooms, prices = [1 + row**2 % 9 for row in range(300)], [40_000 * (row % 60) for row in range(300)]
    pl.DataFrame({"rooms": [*rooms, None], "price": [*prices, 0]}).write_csv("flats.csv")
    out = xpmlp("inspect", "flats.csv", "--html", "flats.html").out
    assert out.startswith("flats.csv: 301 rows, 2 columns\n")
    assert "in 1 column and 1 row: rooms (1)" in out
    axes = {each.get_title(): each for each in figures[-1].axes}
    heights = [patch.get_height() for patch in axes["rooms"].patches]
    assert heights == [rooms.count(number) for number in range(1, max(rooms) + 1)]
    assert all(place == round(place) for place in axes["rooms"].get_xticks())
    assert axes["price"].xaxis.get_major_formatter()(2_000_000.0, 0) == "2,000,000"
    assert axes["price"].xaxis.get_major_formatter()(2019.0, 0) == "2019"
