"""Filling, scaling and coding columns, against scikit-learn and pandas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

import xpmlp
from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.loading import rows_to_predict
from xpmlp.errors import DataError

load_dataset: Any = xpmlp.load_dataset

Write = Callable[..., Path]
Halves = Callable[..., tuple[Path, Path]]
SCALERS = {"none": None, "unit": MinMaxScaler(), "standard": StandardScaler()}


def numbers(*, missing: bool, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    x = generator.normal([1e6, 0.0, -3.0], [10.0, 1e-3, 100.0], (90, 3))
    if missing:
        x[generator.random(x.shape) < 0.1] = np.nan
    return x


@pytest.mark.parametrize("scale", SCALERS)
@pytest.mark.parametrize("missing", ["refuse", "mean", "median"])
def test_numbers_are_filled_and_scaled_as_scikit_learn_does_it_on_the_training_rows_alone(
    halves: Halves, scale: str, missing: str
) -> None:
    x = numbers(missing=missing != "refuse")
    frame = pl.from_numpy(x, schema=["a", "b", "c"]).with_columns(label=pl.Series(np.arange(90) % 2))
    train, test = halves(frame, 60)
    dataset = load_dataset(train, test=test, scale=scale, missing=missing)
    steps = [SimpleImputer(strategy=missing)] if missing != "refuse" else []
    truth = make_pipeline(*steps, *([SCALERS[scale]] if SCALERS[scale] else [])) if steps or SCALERS[scale] else None
    fitted = x[:60] if truth is None else truth.fit_transform(x[:60])
    applied = x[60:] if truth is None else truth.transform(x[60:])
    np.testing.assert_allclose(dataset.train.x, fitted, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(dataset.test.x, applied, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_large_numbers_stay_apart_and_constant_ones_become_zero(tmp_path: Path, scale: str) -> None:
    """In float32, seconds since 1970 would all be the same: they are scaled before."""
    time = 1.7e9 + np.arange(40.0)
    frame = pl.DataFrame({"time": time, "constant": np.full(40, 0.1), "label": np.arange(40) % 2})
    frame.write_parquet(tmp_path / "data.parquet")
    dataset = load_dataset(tmp_path / "data.parquet", scale=scale, strict=True)
    x = np.concatenate([dataset.train.x, dataset.test.x])
    assert len(np.unique(x[:, 0])) == 40
    assert np.abs(x[:, 1]).max() < 1e-6


def test_categories_are_one_hot_as_scikit_learn_does_it_and_booleans_0_or_1(halves: Halves) -> None:
    generator = np.random.default_rng(0)
    cities = generator.choice(["Bern", "Ürich", "x y", "🙂"], 90)
    flags = generator.random(90) < 0.5
    codes = generator.integers(1, 4, 90)
    frame = pl.DataFrame({"city": cities, "flag": flags, "code": codes, "label": np.arange(90) % 2})
    train, test = halves(frame, 60)
    dataset = load_dataset(train, test=test, categories=["code"])
    encoder = OneHotEncoder(sparse_output=False).fit(np.stack([cities, codes.astype(str)], axis=1)[:60])
    for split, rows in ((dataset.train, slice(0, 60)), (dataset.test, slice(60, 90))):
        truth = encoder.transform(np.stack([cities, codes.astype(str)], axis=1)[rows])
        np.testing.assert_array_equal(split.x[:, :4], truth[:, :4])
        np.testing.assert_array_equal(split.x[:, 4], flags[rows])
        np.testing.assert_array_equal(split.x[:, 5:], truth[:, 4:])
    assert dataset.table_schema.columns[0].categories == tuple(encoder.categories_[0])


def test_missing_categories_and_booleans_become_the_commonest(write: Write) -> None:
    text = "city,flag,label\n" + "a,true,0\nb,false,1\na,true,1\n" * 10
    dataset = load_dataset(write(text + ",,0\n,,1\n" * 5), missing="mean", test_fraction=0.5)
    assert [column.fill for column in dataset.table_schema.columns] == ["a", 1.0]
    assert (dataset.train.x[:, :2].sum(axis=1) == 1.0).all()
    assert any("missing values: 'city' (10): the category 'a'; 'flag' (10)" in note for note in dataset.notes)


def test_a_category_that_training_never_saw_is_none_of_them_and_said(write: Write) -> None:
    train, test = write("city,label\n" + "a,0\nb,1\n" * 20), write("city,label\nc,0\na,1\nd,0\n", "test.csv")
    dataset = load_dataset(train, test=test)
    np.testing.assert_array_equal(dataset.test.x, [[0, 0], [1, 0], [0, 0]])
    assert f"{test}: 2 rows have a category in column 'city' that no training row had ('c', 'd');" in dataset.notes[-1]


@pytest.mark.slow
@given(
    data=st.lists(
        st.tuples(
            st.none() | st.floats(-1e6, 1e6), st.none() | st.booleans(), st.none() | st.sampled_from(["a", "b", "ç"])
        ),
        min_size=8,
        max_size=40,
    )
)
def test_whatever_is_missing_the_inputs_are_finite_and_the_categories_one_hot(
    tmp_path_factory: pytest.TempPathFactory, data: list[tuple[Any, ...]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "data.parquet"
    schema = {"x": pl.Float64, "flag": pl.Boolean, "city": pl.String}
    frame = pl.DataFrame(data, schema=schema, orient="row")
    frame.with_columns(label=pl.Series(np.arange(len(data)) % 2)).write_parquet(path)
    refusal = None
    try:
        dataset = load_dataset(path, missing="median", task="classification", strict=True)
    except DataError as error:
        refusal = str(error)
    if refusal is not None:
        # Also a value that is a million times a spread of next to nothing is beyond float32.
        assert any(reason in refusal for reason in ("no values", "cannot be split", "too large to compute"))
        return
    for split in (dataset.train, dataset.test):
        assert np.isfinite(split.x).all()
        assert set(np.unique(split.x[:, 1])) <= {0.0, 1.0}
        assert (split.x[:, 2:].sum(axis=1) <= 1.0).all()


# At prediction

TRAINED = "a,b,city,label\n" + "".join(f"{i},{i * i},{'xyz'[i % 3]},{i % 2}\n" for i in range(40))


@pytest.fixture
def schema(write: Write) -> Any:
    return load_dataset(write(TRAINED, "trained.csv"), strict=True).table_schema


def test_columns_are_found_by_name_whatever_their_order(write: Write, schema: Any) -> None:
    lines = [line.split(",") for line in TRAINED.splitlines()]
    mixed = "\n".join(",".join([line[2], "extra" if i == 0 else "7", line[1], line[0]]) for i, line in enumerate(lines))
    straight = rows_to_predict(read_table(write(TRAINED, "again.csv")), schema)
    other = rows_to_predict(read_table(write(mixed + "\n", "mixed.csv")), schema)
    np.testing.assert_array_equal(other.x, straight.x)
    assert straight.notes == ()
    assert "not used by the model: 'extra'" in other.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,B,city\n1,2,x\n", "1 of the 3 columns that the model was trained on are missing: 'b'. Did you mean 'B'?"),
        ("A,B,city\n1,2,x\n", "are missing: 'a', 'b'. 'a': did you mean 'A'? 'b': did you mean 'B'? Other columns"),
        (
            "a,b,city\n1,zwei,x\n",
            "row 1 (line 2), column 'b': 'zwei' is not a number. The model was trained on nothing",
        ),
        ("a,b,city\n1,2,x\n3,,y\n", "1 of 2 rows have no value in column 'b', the first of them row 2 (line 3)"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(write: Write, schema: Any, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        rows_to_predict(read_table(write(text)), schema)
    assert message in str(caught.value)


def test_rows_that_lack_values_are_filled_or_left_out_as_in_training_and_said_once(write: Write) -> None:
    lacking = read_table(write("a,b,city\n1,2,x\n3,,y\n,,\n"))
    dataset = load_dataset(write(TRAINED + ",1,x,0\n", "drop.csv"), missing="drop")
    (note,) = (note for note in dataset.notes if "dropped" in note)
    assert note == ("1 of 41 rows dropped: missing values in 'a'")
    rows = rows_to_predict(lacking, dataset.table_schema)
    assert rows.usable.tolist() == [True, False, False]
    assert "2 of 3 rows dropped" in rows.notes[0]

    schema = load_dataset(write(TRAINED, "mean.csv"), missing="mean").table_schema
    filled = rows_to_predict(lacking, schema).x[2]
    np.testing.assert_allclose(filled[:2], 0.0, atol=1e-6)
    np.testing.assert_array_equal(filled[2:], [schema.columns[2].fill == city for city in "xyz"])


def test_a_class_that_training_did_not_know_is_refused_with_its_place(write: Write) -> None:
    train = write(TRAINED, "trained.csv")
    test = write(TRAINED.splitlines()[0] + "\n,1,x,0\n1,1,x,0\n2,4,y,7\n", "test.csv")
    with pytest.raises(DataError) as caught:
        load_dataset(train, test=test, missing="drop")
    assert "test.csv: row 3 (line 4), column 'label': 1 of 2 rows have a label that is not among" in str(caught.value)


@pytest.mark.parametrize("kind", [pl.Boolean, pl.UInt8, pl.Int64, pl.Float32, pl.Float64])
def test_a_yes_or_no_may_be_stored_as_any_kind_of_number(tmp_path: Path, kind: Any) -> None:
    frame = pl.DataFrame({"x": np.arange(20.0), "flag": np.arange(20) % 3 == 0, "y": np.arange(20) % 2})
    frame.write_parquet(tmp_path / "trained.parquet")
    schema = load_dataset(tmp_path / "trained.parquet", missing="mean").table_schema
    expected = rows_to_predict(read_table(tmp_path / "trained.parquet"), schema).x
    frame.with_columns(pl.col("flag").cast(kind)).write_parquet(tmp_path / "other.parquet")
    np.testing.assert_array_equal(rows_to_predict(read_table(tmp_path / "other.parquet"), schema).x, expected)
    if kind != pl.Boolean:
        frame.with_columns(pl.col("flag").cast(kind) + 1).write_parquet(tmp_path / "other.parquet")
        with pytest.raises(DataError, match=r"row 1, column 'flag': 2(\.0)? \(and 6 more\) is not a boolean"):
            rows_to_predict(read_table(tmp_path / "other.parquet"), schema)
    if kind == pl.Float64:  # pandas' way to say that a value is missing
        flags = pl.Series("flag", [np.nan, *frame["flag"].cast(kind).to_list()[1:]])
        frame.with_columns(flags).write_parquet(tmp_path / "other.parquet")
        assert rows_to_predict(read_table(tmp_path / "other.parquet"), schema).usable.all()
