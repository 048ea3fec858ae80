"""What is found out about data, against pandas."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.errors import DataError
from xpmlp.inspection.columns import by_interest
from xpmlp.inspection.inspection import inspect_data

pd = pytest.importorskip("pandas")


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """A table with something of everything."""
    generator = np.random.default_rng(0)
    rows = 120
    a = generator.normal(size=rows)
    frame = pl.DataFrame(
        {
            "a": a,
            "whole": generator.integers(0, 1000, rows),
            "gaps": [None if i % 7 == 0 else i / 3 for i in range(rows)],
            "nan": [float("nan") if i % 10 == 0 else 1.5 * i for i in range(rows)],
            "city": [None if i == 5 else "xyyz"[i % 4] for i in range(rows)],
            "flag": [i % 3 == 0 for i in range(rows)],
            "one": [4] * rows,
            "empty": pl.Series([None] * rows, dtype=pl.Float64),
            "same": a,
            "label": ["u", "v", "v"] * (rows // 3),
        }
    )
    path = tmp_path / "messy.parquet"
    pl.concat([frame, frame[:4]]).write_parquet(path)
    return path


def pandas_frame(path: Path) -> Any:
    return pd.DataFrame(pl.read_parquet(path).to_dict(as_series=False))


def test_columns_are_described_as_pandas_describes_them(messy: Path) -> None:
    truth = pandas_frame(messy)
    for column in inspect_data(messy).columns:
        values = truth[column.name]
        assert (column.missing, column.distinct) == (values.isna().sum(), values.nunique())
        if column.kind == "number" and column.count:
            described = values.astype(float).describe()[["mean", "std", "min", "25%", "50%", "75%", "max"]]
            ours = [column.mean, column.std, column.min, column.q25, column.median, column.q75, column.max]
            np.testing.assert_allclose(np.array(ours, float), described, rtol=1e-12)
        elif column.kind != "number":
            described = values.dropna().astype(str).str.lower().describe()
            assert (column.top, column.top_count) == (described["top"], described["freq"])


def test_classes_duplicates_constants_and_missing_rows_are_those_of_pandas(messy: Path) -> None:
    found, truth = inspect_data(messy), pandas_frame(messy)
    assert (found.rows, found.target, found.task) == (len(truth), "label", "classification")
    assert found.duplicate_rows == truth.duplicated().sum() == 4
    assert found.rows_with_missing == truth.isna().any(axis=1).sum()
    assert found.constant == tuple(name for name in truth if truth[name].nunique() <= 1)
    assert found.duplicated == (("same", "a"),)
    assert {one.label: one.rows for one in found.classes} == truth["label"].value_counts().to_dict()
    assert sum(one.share for one in found.classes) == pytest.approx(1.0)

    assert inspect_data(messy, target="city").target == "city"
    assert inspect_data(messy, target="a").task == "regression"
    with pytest.raises(DataError, match="Did you mean 'label'"):
        inspect_data(messy, target="lable")


def test_rows_that_contradict_each_other_are_counted(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, 1, 2, 3, 3], "label": ["x", "y", "x", "z", "z"]}).write_csv(tmp_path / "data.csv")
    found = inspect_data(tmp_path / "data.csv")
    assert (found.duplicate_rows, found.contradicting_rows) == (1, 2)


def test_what_cannot_be_learned_from_can_still_be_looked_at(tmp_path: Path) -> None:
    frame = pl.DataFrame({"list": [[1], [2, 3]], "when": ["2026-01-01", "2026-02-01"], "inf": [np.inf, 1.0]})
    frame.with_columns(pl.col("when").str.to_date()).write_parquet(tmp_path / "data.parquet")
    found = inspect_data(tmp_path / "data.parquet")
    assert [column.kind for column in found.columns] == ["other", "date", "number"]
    assert found.columns[2].infinite == 1
    assert found.target is None
    assert any("name the target with --target" in note for note in found.notes)
    json.dumps(found.to_json(), allow_nan=False)


def test_digits_are_images_of_ten_classes() -> None:
    from sklearn.datasets import load_digits

    found, (data, target) = inspect_data("digits"), load_digits(return_X_y=True)
    assert found.image_shape == (8, 8)
    assert found.rows == 1797
    assert [one.rows for one in found.classes] == np.bincount(target).tolist()
    assert list(found.images) == list(range(10))
    pixels = {row.tobytes() for row in data[target == 3].astype(np.uint8)}
    assert all(image.astype(np.uint8).tobytes() in pixels for image in found.images[3])
    means = [column.mean for column in found.columns if column.name != "label"]
    np.testing.assert_allclose(np.array(means, float), data.mean(axis=0), rtol=1e-12)


def test_the_noteworthy_columns_come_first(messy: Path) -> None:
    found = inspect_data(messy)
    order = [column.name for column in by_interest(list(found.columns), found.target)]
    assert order[0] == "label"
    assert set(order[1:4]) == {"gaps", "nan", "city"}
    assert order[4] == "same"
    assert set(order[-2:]) == {"one", "empty"}


@given(
    data=st.lists(
        st.tuples(st.none() | st.floats(-1e9, 1e9), st.none() | st.sampled_from(["a", "b"])), min_size=1, max_size=20
    )
)
def test_any_table_can_be_looked_at(tmp_path_factory: pytest.TempPathFactory, data: list[tuple[Any, ...]]) -> None:
    path = tmp_path_factory.mktemp("any") / "data.parquet"
    frame = pl.DataFrame(data, schema={"x": pl.Float64, "y": pl.String}, orient="row")
    frame.write_parquet(path)
    found, truth = inspect_data(path), pandas_frame(path)
    assert found.duplicate_rows == frame.height - len(set(data))
    assert found.columns[0].missing == truth["x"].isna().sum()
    json.dumps(found.to_json(), allow_nan=False)
