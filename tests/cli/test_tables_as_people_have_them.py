"""Twenty small files as people have them: the first command trains on each, says what it did, and predicts its rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("no_pictures")
GENERATOR = np.random.default_rng(0)
ROWS = 60
SIZE = GENERATOR.normal(size=ROWS)
KIND = GENERATOR.choice(["ann", "bob", "cy"], ROWS)
CLASS = np.where(SIZE + (KIND == "bob") > 0.3, "yes", "no")
TABLE = [(f"{size:.3f}", str(kind), str(label)) for size, kind, label in zip(SIZE, KIND, CLASS, strict=True)]


def lines(row: str, header: str = "size,kind,y", end: str = "\n") -> str:
    """A table: in each row, {s}, {k}, {y} and the row's number {i} are replaced."""
    rows = [row.format(s=size, k=kind, y=label, i=index) for index, (size, kind, label) in enumerate(TABLE)]
    return end.join([*([header] if header else []), *rows, ""])


def amount(index: int) -> float:
    return 1000 * float(np.exp(SIZE[index]))


def formatted(pattern: str, swap: bool = False) -> str:
    """A table in which the number is written in another way."""
    marks = str.maketrans(",.", ".,") if swap else {}
    rows = [
        f"{pattern.format(amount(index)).translate(marks)}|{kind}|{label}"
        for index, (_, kind, label) in enumerate(TABLE)
    ]
    return "\n".join(["size|kind|y", *rows, ""])


# Name, content, options of train and a part of the note.
FILES: list[tuple[str, str | bytes, tuple[str, ...], str]] = [
    ("no header", lines("{s},{k},{y}", ""), ("--target", "column_3"), "has no header"),
    ("named", lines("{s},{k},{y}", ""), ("--names", "size,kind,y"), ""),
    ("all text", lines("{k},{y},{k}", ""), ("--target", "column_2"), "has no header"),
    ("western", lines("{s},{k}é,{y}").encode("cp1252"), (), "read as cp1252"),
    ("utf-16", lines("{s},{k}é,{y}").encode("utf-16"), (), "encoded in UTF-16"),
    ("markers", lines("{s},{k},{y}").replace("0.", "?0.", 1).replace("?0.", "?,x,no\n0."), (), "'size' (1)"),
    ("money", formatted("${:,.2f}"), (), "read as numbers: 'size' ($"),
    ("thousands", formatted("{:,.0f}"), (), "read as numbers: 'size'"),
    ("comma", formatted("{:,.2f}", swap=True), (), "read as numbers: 'size'"),
    ("percent", lines("{s}%,{k},{y}"), (), "read as numbers: 'size'"),
    ("unit", lines("{s} kg,{k},{y}"), (), "read as numbers: 'size'"),
    ("codes", lines("{s},0{i:02d}1,{y}").replace("0591", "1591"), (), "kept as text, for leading zeros: 'kind'"),
    ("title", "Report of 2026\n\n" + lines("{s},{k},{y}"), (), "the table begins in line 3"),
    ("comments", "# made by me\n" + lines("{s},{k},{y}"), (), "lines that begin with # are comments"),
    ("spaces", lines("{s}   {k}  {y}", "size  kind y"), (), "separated by spaces"),
    ("bars", lines("{s}|{k}|{y}", "size|kind|y"), (), ""),
    ("old Mac", lines("{s},{k},{y}", end="\r"), (), ""),
    ("trailing", lines("{s},{k},{y},", "size,kind,y,"), (), "columns dropped: column_4"),
    ("no name", lines("{s},{k},{s},{y}", ",kind,size,y"), (), "column_1"),
    ("repeated", lines("{s},{s},{k},{y}", "size,size,kind,y"), (), "several columns are called size"),
    ("comma in name", lines("{s},{k},{y}", '"size, m",kind,y'), ("--exclude", '"size, m"', "--exclude", "z"), "!"),
]


QUICK = ("no header", "western", "money", "title")


@pytest.mark.parametrize(
    ("name", "content", "options", "note"),
    [pytest.param(*file, marks=() if file[0] in QUICK else pytest.mark.slow, id=file[0]) for file in FILES],
)
def test_the_first_command_trains_and_predict_reads_the_same_way(
    xpmlp: Run, name: str, content: str | bytes, options: tuple[str, ...], note: str
) -> None:
    path = Path(f"{name.replace(' ', '_')}.csv")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if note == "!":
        assert "--exclude: there is no column 'z'" in xpmlp("train", path, *options, "-o", "run", status=1).err
        options, note = options[:2], ""
    target = () if "--target" in options else ("--target", "y")
    code, out, err = xpmlp("train", path, *target, *options, "--epochs", "30", "--seed", "1", "-o", "run")
    assert (code, err) == (0, "")
    assert note in out
    trained = json.loads(Path("run/run.json").read_text(encoding="utf-8"))["test_accuracy"]
    _, out, err = xpmlp("evaluate", "run", path, "--json")
    assert json.loads(out)["accuracy"] == trained

    # The same rows from another file, fewer of them: predicted alike.
    whole = json.loads(xpmlp("predict", "run", path, "--json").out)
    start = 1 if isinstance(content, bytes) and content[:2] == b"\xff\xfe" else 0
    encoding = "utf-16" if start else "cp1252" if isinstance(content, bytes) else "utf-8"
    text = content.decode(encoding) if isinstance(content, bytes) else content
    end = "\r" if "\r" in text else "\n"
    few = end.join(text.split(end)[:12]) + end
    Path("few.csv").write_bytes(few.encode(encoding))
    _, out, err = xpmlp("predict", "run", "few.csv", "--json")
    found = json.loads(out)
    assert 7 < len(found) <= 12
    for one, other in zip(found, whole, strict=False):
        assert one["probabilities"] == pytest.approx(other["probabilities"], rel=1e-5)
