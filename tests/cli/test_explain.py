"""Which columns of a table matter to a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import xpmlp as package
from xpmlp.plots import Picture, draw_importances
from xpmlp.training.importance import permutation_importance

Run = Callable[..., Any]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Rows whose class depends on a category most, on a number a little, and on noise not at all."""
    rng = np.random.default_rng(0)
    city, size, noise = rng.choice(["Bern", "Ulm", "Rom"], 600), rng.normal(size=600), rng.normal(size=600)
    label = np.where((city == "Ulm") * 3.0 + 1.0 * size > 1.0, "yes", "no")
    path = tmp_path / "towns.csv"
    pl.DataFrame({"noise": noise, "size": size, "city": city, "label": label}).write_csv(path)
    return path


def test_columns_are_ranked_and_drawn(
    xpmlp: Run, refused: Callable[..., None], table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []

    def draw(*columns: Any, metric: str, title: str) -> Picture:
        titles.append(title)
        return draw_importances(*columns, metric=metric, title=title)

    monkeypatch.setattr("xpmlp.training.importance.draw_importances", draw)
    xpmlp("train", table, "--epochs", 30, "-o", "run")
    said = json.loads(xpmlp("explain", "run", "--json", "-o", "importances.png").out)
    assert titles == [f"towns: accuracy {said['score']:.4f} on 120 test rows"]
    assert Path("importances.png").read_bytes().startswith(b"\x89PNG")
    assert [column["column"] for column in said["columns"]] == ["city", "size", "noise"]
    city, size, noise = (column["mean"] for column in said["columns"])
    assert city > 0.2 > size > 0.02 > abs(noise)
    assert said["rows"] == 120
    lines = xpmlp("explain", "run").out.splitlines()
    assert lines[0] == f"{table}: accuracy {said['score']:.4f} on 120 test rows"
    assert any(line.split()[:2] == ["city", f"{city:.4f}"] and "█" in line for line in lines)
    refused(["explain", "run", table, "-o", "importances.png"], "already exists")
    whole = xpmlp("evaluate", "run", table)
    assert xpmlp("evaluate", "run") == whole
    names, *rows = table.read_text(encoding="utf-8").splitlines()
    Path("rows.csv").write_text("\n".join(rows).replace(",", "|"), encoding="utf-8")
    same = xpmlp("explain", "run", "rows.csv", "--separator", "|", "--names", names, "--json")
    assert json.loads(same.out)["columns"][0]["column"] == "city"


def test_a_shuffled_columns_importance_is_the_fall_of_the_score(table: Path) -> None:
    frame = pl.read_csv(table)
    model, _ = package.train(frame, target="label", epochs=30, verbose=False)
    found = permutation_importance(model, frame, repeats=20)
    report: Any = package.evaluate(model, frame)
    assert found.score == pytest.approx(report.accuracy)
    # Of a shuffled category, the fall computed from the table itself, through the whole of `evaluate`.
    falls = []
    for seed in range(20):
        shuffled = frame.with_columns(pl.Series("city", np.random.default_rng(seed).permutation(frame["city"])))
        falls.append(report.accuracy - package.evaluate(model, shuffled).accuracy)  # type: ignore[union-attr]
    city = next(column for column in found.columns if column.column == "city")
    assert city.mean == pytest.approx(np.mean(falls), abs=0.02)
    assert city.deviation == pytest.approx(np.std(falls), abs=0.02)


def test_of_predicted_quantiles_the_median_is_scored(
    xpmlp: Run, no_pictures: None, refused: Callable[..., None], table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def draw(_: object, __: object, name: str, ___: str) -> bytes:
        names.append(name)
        return b"a picture"

    monkeypatch.setattr("xpmlp.plots.draw_predicted", draw)
    settings = ("--target", "size", "--loss", "quantile:0.1,0.5,0.9", "--epochs", 3)
    xpmlp("train", table, *settings, "-o", "run", "-q")
    assert names == ["size"]
    said = json.loads(xpmlp("explain", "run", table, "--json").out)
    assert said["score"] == json.loads(xpmlp("evaluate", "run", table, "--json").out)["r2"]
    Path("one.csv").write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    refused(["explain", "run", "one.csv"], "1 rows are too few to shuffle a column; give 2 or more.")


def test_a_model_of_images_has_no_columns(refused: Callable[..., None], digits_run: Path) -> None:
    refused(["explain", digits_run, "digits"], "the model was not trained on a table")
