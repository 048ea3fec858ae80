"""Files as people have them: the first command trains on each, says what it did, and predicts its rows.

The layouts that are found are those of tests/datasets/tables/test_layout.py; here are those that a model records.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("no_pictures")
GENERATOR = np.random.default_rng(0)
SIZE = GENERATOR.normal(size=60)
KIND = GENERATOR.choice(["ann", "bob", "cy"], 60)


def lines(row: str, header: str = "size,kind,y") -> str:
    """A table: in each row, {s}, {k} and {y} are replaced, and {a} by an amount as Germans write it."""
    rows = [header] if header else []
    for size, kind in zip(SIZE, KIND, strict=True):
        amount = f"{1000 * np.exp(size):,.2f}".translate(str.maketrans(",.", ".,"))
        rows.append(row.format(s=f"{size:.3f}", k=kind, y="yes" if size + (kind == "bob") > 0.3 else "no", a=amount))
    return "\n".join([*rows, ""])


# Content, encoding, options of train and a part of the note.
FILES: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "no header": (lines("{s},{k},{y}", ""), "utf-8", ("--target", "column_3"), "has no header"),
    "named": (lines("{s},{k},{y}", ""), "utf-8", ("--names", "size,kind,y"), ""),
    "western": (lines("{s},{k}é,{y}"), "cp1252", (), "read as cp1252"),
    "wide": (lines("{s},{k}é,{y}"), "utf-16", (), "encoded in UTF-16"),
    "money": (lines("{a} €|{k}|{y}", "size|kind|y"), "utf-8", (), "€ as 1133.98)"),
    "title": ("Report of 2026\n\n" + lines("{s},{k},{y}"), "utf-8", (), "the table begins in line 3"),
    "spaces": ("# made by me\n" + lines("{s}   {k}  {y}", "size  kind y"), "utf-8", (), "separated by spaces"),
    "comma": (lines("{s},{k},{y}", '"size, m",kind,y'), "utf-8", ("--exclude", '"size, m"'), ""),
}
QUICK = ("no header", "western", "money", "title")


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.slow] * (each not in QUICK)) for each in FILES])
def test_the_first_command_trains_and_predict_reads_the_same_way(xpmlp: Run, name: str) -> None:
    content, encoding, options, note = FILES[name]
    path = Path(f"{name.replace(' ', '_')}.csv")
    path.write_text(content, encoding)
    target = () if "--target" in options else ("--target", "y")
    code, out, err = xpmlp("train", path, *target, *options, "--epochs", "30", "--seed", "1", "-o", "run")
    assert (code, err) == (0, "")
    assert note in out
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert record["data"]["columns"] == 2 - (name == "comma")
    assert json.loads(xpmlp("evaluate", "run", path, "--json").out)["accuracy"] == record["test_accuracy"]
    # The same rows from another file, fewer of them: predicted alike.
    whole = json.loads(xpmlp("predict", "run", path, "--json").out)
    Path("few.csv").write_text("".join(content.splitlines(keepends=True)[:12]), encoding)
    found = json.loads(xpmlp("predict", "run", "few.csv", "--json").out)
    assert len(whole) == 60
    assert 8 < len(found) <= 12
    for one, other in zip(found, whole, strict=False):
        assert one["probabilities"] == pytest.approx(other["probabilities"], rel=1e-5)
