"""The kind of each column: dates, missing cells, rare categories, and all types of Parquet."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

import xpmlp
from xpmlp.datasets.tables.dates import PARTS, date_part, find_format, parse_dates
from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.loading import held_out_rows, labelled_rows, rows_to_predict
from xpmlp.errors import DataError
from xpmlp.model.table_schema import TableSchema

load_dataset: Any = xpmlp.load_dataset
Write = Callable[..., Path]
Halves = Callable[..., tuple[Path, Path]]
DAY = timedelta(days=1)
MOMENTS = [datetime(1999, 12, 31, 23, 5, tzinfo=UTC) + timedelta(days=41 * i, minutes=7 * i) for i in range(60)]


def schema_of(path: Path, **options: Any) -> Any:
    return load_dataset(path, **options).table_schema


# Dates


@pytest.mark.parametrize(
    "written",
    [
        *("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%m/%d/%y", "%d-%b-%y"),
        *("%b %d %Y", "%b %d, %Y", "%B %d, %Y", "%d %B %Y", "%a, %d %b %Y", "%Y-%m", "%b %Y", "%m/%Y"),
        *("%H:%M", "%I:%M %p", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%SZ", "%m/%d/%Y %I:%M %p"),
        *("%Y-%m-%d %H:%M:%S%z", "%d.%m.%Y %H:%M"),
    ],
)
def test_dates_in_the_usual_formats_are_what_python_reads_in_them(written: str) -> None:
    texts = [moment.strftime(written) for moment in MOMENTS]
    found = find_format(pl.Series(texts).unique())
    assert found is not None
    truth = [datetime.strptime(text, written).replace(tzinfo=None) for text in texts]  # noqa: DTZ007
    if "%Y" not in written and "%y" not in written:
        truth = [moment.replace(year=1970) for moment in truth]
    assert pl.select(parse_dates(pl.lit(pl.Series(texts)), found[0])).to_series().to_list() == truth


@pytest.mark.parametrize("texts", [["a1", "b2"], ["1.5.20.7"] * 3, ["12-34"], ["2026-13-01"], ["v1.2"], ["555-1234"]])
def test_other_text_with_digits_is_no_date(texts: list[str]) -> None:
    assert find_format(pl.Series(texts).unique()) is None


def test_the_order_of_texts_does_not_decide_whether_they_are_dates() -> None:
    dates = [f"{i % 28 + 1:02}.{i % 12 + 1:02}.{1990 + i // 12}" for i in range(288)]
    others = [f"week {i}" for i in range(12)]
    assert find_format(pl.Series(others + dates)) == find_format(pl.Series(dates + others)) == ("%d.%m.%Y", None)


@given(st.datetimes(datetime(1600, 1, 1), datetime(2900, 1, 1)))  # noqa: DTZ001
def test_the_parts_of_a_date_are_those_that_python_tells(moment: datetime) -> None:
    days = (moment - datetime(1970, 1, 1)) / DAY  # noqa: DTZ001
    found = [float(date_part(np.array([days]), part)[0]) for part in PARTS]
    hour = (moment - datetime.combine(moment.date(), time())) / timedelta(hours=1)
    truth = [moment.year, moment.month, moment.day, moment.isoweekday(), hour, days]
    np.testing.assert_allclose(found, truth, atol=1e-6)


def test_dates_become_the_parts_that_vary_scaled_and_later_ones_are_told(tmp_path: Path, halves: Halves) -> None:
    moments = [datetime(2020, 1, 1) + timedelta(days=11 * i) for i in range(100)]  # noqa: DTZ001
    moments[80] = moments[79]  # as late as the latest in training, and no later
    frame = pl.DataFrame({"when": moments, "y": [i % 2 for i in range(100)]})
    train, test = halves(frame, 80)
    dataset = load_dataset(train, test=test)
    (column,) = dataset.table_schema.columns
    assert [part for part, *_ in column.parts] == ["year", "month", "day", "weekday", "elapsed"]
    months = np.array([moment.month for moment in moments])
    np.testing.assert_allclose(dataset.test.x[:, 1], (months[80:] - months[:80].mean()) / months[:80].std(), rtol=1e-5)
    assert "19 rows have a date in column 'when' after 2022-05-19, the latest in training" in dataset.notes[-1]

    # The same dates in text, in another format than any before, and as numbers.
    for dates in (pl.col("when").dt.strftime("%d.%m.%Y"), pl.col("when").dt.strftime("%Y%m%d").cast(int)):
        frame[80:].with_columns(when=dates).write_parquet(tmp_path / "text.parquet")
        rows = rows_to_predict(read_table(tmp_path / "text.parquet"), dataset.table_schema)
        np.testing.assert_array_equal(rows.x, dataset.test.x)
    pl.DataFrame({"when": [None]}).write_parquet(tmp_path / "none.parquet")
    assert not rows_to_predict(read_table(tmp_path / "none.parquet"), dataset.table_schema).usable.any()


def test_an_ambiguous_order_is_told_and_can_be_chosen(write: Write) -> None:
    rows = "".join(f"{i % 12 + 1:02d}/{i % 11 + 1:02d}/2024,{i % 2}\n" for i in range(60))
    path = write(f"when,y\n{rows}")
    dataset = load_dataset(path)
    (note,) = (note for note in dataset.notes if "dates" in note)
    assert note == (
        "dates: 'when' (%m/%d/%Y); use them as categories with --categories when, or read 'when' in the other "
        "order with --date-format %d/%m/%Y"
    )
    assert schema_of(path, date_format="%d/%m/%Y").columns[0].format == "%d/%m/%Y"
    assert schema_of(path, categories="when").columns[0].kind == "category"


# Missing cells


def test_missing_numbers_get_the_median_and_a_mark_as_scikit_learn_gives_them(halves: Halves) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(150, 2))
    x[generator.random(150) < 0.2, 0] = np.nan
    x[3, 1] = np.nan  # a single one is filled and not marked
    frame = pl.from_numpy(x, schema=["many", "one"]).with_columns(y=pl.Series(np.arange(150) % 2))
    train, test = halves(frame, 100)
    dataset = load_dataset(train, test=test, scale="none")
    imputer = SimpleImputer(strategy="median", add_indicator=True).fit(x[:100])
    for split, rows in ((dataset.train, x[:100]), (dataset.test, x[100:])):
        np.testing.assert_allclose(split.x, imputer.transform(rows)[:, [0, 2, 1]], rtol=1e-6)
    assert any(
        f"missing values: 'many' ({np.isnan(x[:100, 0]).sum()}): the median of the training rows, with an input that "
        "marks them; 'one' (1): the median of the training rows; change it with --missing mean" in note
        for note in dataset.notes
    )


def test_missing_categories_are_one_more_category_unless_they_are_few(write: Write) -> None:
    text = "city,cabin,y\n" + "".join(
        f"{'' if i == 7 else 'ab'[i % 2]},{'' if i % 3 else 'c'},{i % 2}\n" for i in range(120)
    )
    schema = schema_of(write(text), test_fraction=0.1)
    assert [column.categories for column in schema.columns] == [("a", "b"), ("c", "missing")]
    assert schema.columns[1].fill == "missing"
    rows = rows_to_predict(read_table(write("city,cabin\n,c\nb,\n,\n")), schema)
    assert rows.usable.tolist() == [True, True, False]  # nothing is known of the last one
    assert schema.columns[0].fill == "a"
    np.testing.assert_array_equal(rows.x, [[1, 0, 1, 0], [0, 1, 0, 1]])


@pytest.mark.parametrize("options", [{}, {"missing": "mean", "scale": "unit"}])
def test_a_schema_with_missing_values_of_every_kind_is_what_json_keeps_of_it(
    write: Write, options: dict[str, str]
) -> None:
    line = "{},{},{},{},{}\n"
    cells = [(f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}", i * 0.5, "ab"[i % 2], i % 3 == 0) for i in range(60)]
    rows = (line.format(*("" if i % 7 == k else cell for k, cell in enumerate(cells[i])), i % 2) for i in range(60))
    schema = schema_of(write("when,much,what,truth,y\n" + "".join(rows)), **options)
    assert {column.kind for column in schema.columns} == {"date", "number", "category", "boolean"}
    assert all(column.fill is not None for column in schema.columns)
    assert msgspec.json.decode(msgspec.json.encode(schema), type=TableSchema) == schema


def test_text_among_numbers_is_missing_and_told(write: Write) -> None:
    path = write("a,y\n" + "".join(f"{'broken' if i % 20 == 3 else i},{i % 2}\n" for i in range(100)))
    dataset = load_dataset(path)
    (column,) = dataset.table_schema.columns
    assert (column.kind, column.indicator) == ("number", True)
    assert any(
        "row 4 (line 5), column 'a': 'broken' (and 4 more) is not a number; use all values as categories with "
        "--categories a" in note
        for note in dataset.notes
    )
    with pytest.raises(DataError, match=r"'broken' .and 4 more. is not a number, but the other 95 values"):
        load_dataset(path, strict=True)
    later = rows_to_predict(read_table(write("a\n1\n2\nlost\n", "later.csv")), dataset.table_schema)
    assert later.x[:, 1].tolist() == [0.0, 0.0]
    assert later.usable.tolist() == [True, True, False]


# Rare categories


def test_rare_categories_become_one_as_in_scikit_learn_and_so_do_unknown_ones(halves: Halves) -> None:
    generator = np.random.default_rng(0)
    towns = np.array([f"t{int(number)}" for number in generator.exponential(4.0, 600)])
    frame = pl.DataFrame({"town": towns, "y": np.arange(600) % 2})
    train, test = halves(frame.with_columns(town=pl.Series([*towns[:599], "elsewhere"])), 500)
    dataset = load_dataset(train, test=test)
    encoder = OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist", sparse_output=False)
    truth = encoder.fit_transform(towns[:500, None])
    np.testing.assert_array_equal(dataset.train.x, truth)
    np.testing.assert_array_equal(dataset.test.x, encoder.transform(np.array([[*towns[500:599], "elsewhere"]]).T))
    (note,) = (note for note in dataset.notes if "rare categories" in note)
    assert note.endswith("rare categories of 'town' become one, 'infrequent'; keep them with --categories town")
    assert schema_of(train, test=test, categories="town").inputs == len(set(towns[:500]))


def test_of_more_than_a_thousand_categories_the_most_frequent_are_kept(tmp_path: Path) -> None:
    codes = np.repeat(np.arange(1200), 10)
    frame = pl.DataFrame({"code": [f"c{code:04d}" for code in codes], "y": np.arange(12_000) % 2})
    frame.write_parquet(tmp_path / "data.parquet")
    (column,) = schema_of(tmp_path / "data.parquet").columns
    assert (len(column.categories), column.infrequent) == (1000, "infrequent")
    with pytest.raises(DataError, match="1,200 different texts"):
        load_dataset(tmp_path / "data.parquet", strict=True)


# Types


def test_every_type_of_parquet_is_used_or_named(tmp_path: Path) -> None:
    count = 60
    day = date(2024, 1, 1)
    frame = pl.DataFrame(
        {
            "decimal": [Decimal(i) / 4 for i in range(count)],
            "enum": pl.Series(["a", "b", "a"] * 20, dtype=pl.Enum(["a", "b", "c"])),
            "categorical": pl.Series(["x", "y"] * 30, dtype=pl.Categorical),
            "duration": [timedelta(seconds=i) for i in range(count)],
            "day": [day + i * DAY for i in range(count)],
            "zoned": pl.Series([datetime(2024, 1, 1, i % 24, tzinfo=UTC) for i in range(count)]),
            "time": [time(i % 24) for i in range(count)],
            "whole day": [20240101 + i % 28 for i in range(count)],
            "numbers": [f" {i / 2}" for i in range(count)],
            "zip": [f"{i % 5:05d}" for i in range(count)],
            "wide": pl.Series([2**70 + i for i in range(count)], dtype=pl.Int128),
            "list": [[i] for i in range(count)],
            "struct": [{"a": i} for i in range(count)],
            "bytes": [b"x"] * count,
            "y": [i % 2 for i in range(count)],
        }
    )
    path = tmp_path / "data.parquet"
    frame.write_parquet(path)
    dataset = load_dataset(path)
    kinds = {column.name: column.kind for column in dataset.table_schema.columns}
    numbers = ["decimal", "duration", "numbers", "wide", "list_0", "struct.a"]
    assert [name for name, kind in kinds.items() if kind == "number"] == numbers
    assert [name for name, kind in kinds.items() if kind == "category"] == ["enum", "categorical", "zip"]
    assert [name for name, kind in kinds.items() if kind == "date"] == ["day", "zoned", "time", "whole day"]
    assert any("dropped: 'bytes' (of type Binary)" in note for note in dataset.notes)
    rows = rows_to_predict(read_table(path), dataset.table_schema)
    assert {row.tobytes() for row in rows.x} == {row.tobytes() for row in (*dataset.train.x, *dataset.test.x)}


def test_row_numbers_without_a_name_are_dropped(write: Write) -> None:
    text = ",x,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(40))
    dataset = load_dataset(write(text))
    assert [column.name for column in dataset.table_schema.columns] == ["x"]
    assert "columns dropped: 'column_1' (numbers the rows)" in dataset.notes
    gaps = ",x,y\n" + "".join(f"{i + i // 2 * 5},{i % 7},{i % 2}\n" for i in range(40))
    names = ",x,y\n" + "".join(f"Mazda {i},{i % 7},{i % 2}\n" for i in range(40))
    for other in (gaps, names):  # as R writes the names of rows, some of which were left out
        dataset = load_dataset(write(other))
        assert len(dataset.table_schema.columns) == 1
        assert not any("--exclude" in note for note in dataset.notes)
    assert len(schema_of(write(text), features=["column_1", "x"]).columns) == 2


def test_a_column_with_values_in_test_rows_alone_is_dropped(tmp_path: Path) -> None:
    outcomes = []
    for row in range(8):  # some of them are test rows
        frame = pl.DataFrame({"x": range(60), "rare": [1.5 if i == row else None for i in range(60)]})
        frame.with_columns(y=pl.col("x") % 2).write_parquet(tmp_path / "data.parquet")
        dataset = load_dataset(tmp_path / "data.parquet", test_fraction=0.5)
        outcomes.append("rare" in [column.name for column in dataset.table_schema.columns])
        assert outcomes[-1] != any("'rare' (no values in the training rows)" in note for note in dataset.notes)
    assert set(outcomes) == {True, False}


def test_none_is_a_category_among_others_and_missing_among_numbers_and_truths(write: Write) -> None:
    """Pandas would take the least improvement for no answer."""
    rows = [
        f"{['None', 'Some', 'Marked'][i % 3]},{['None', i][i % 2]},{['None', True, False][i % 3]},{i}"
        for i in range(60)
    ]
    path = write("improved,count,truth,x\n" + "\n".join(rows) + "\n")
    dataset = load_dataset(path, target="improved")
    assert dataset.classes == ("Marked", "None", "Some")
    assert dataset.train_rows + dataset.test_rows == 60
    schema = dataset.table_schema
    assert {column.name: column.categories for column in schema.categories} == {"truth": ("False", "True", "missing")}
    assert [column.indicator for column in schema.columns if column.name == "count"] == [True]
    assert load_dataset(path, target="improved", na=["None"]).classes == ("Marked", "Some")
    path.write_text(path.read_text().replace("None", "NA"))
    left_out = load_dataset(path, target="improved")
    assert left_out.classes == ("Marked", "Some")
    assert any(note.endswith("'NA' is missing: make it a class with --na none") for note in left_out.notes)


def test_text_that_recurs_beside_a_few_decorated_numbers_is_categories(write: Write) -> None:
    vitamins = ["100%", *["enriched"] * 8, "none"]
    path = write("vitamins,fat,y\n" + "".join(f"{vitamins[i % 10]},{i} g,{i % 2}\n" for i in range(60)))
    schema = load_dataset(path).table_schema
    assert [column.kind for column in schema.columns] == ["category", "number"]


def test_a_class_called_none_is_missing_for_a_model_that_was_trained_without_it(write: Write) -> None:
    """Until "None" could be a class, models were trained without such rows."""
    text = "x,y\n" + "".join(f"{i},{['None', 'Some', 'Marked'][i % 3]}\n" for i in range(60))
    table = read_table(write(text))
    schema = load_dataset(write(text)).table_schema
    split, _ = labelled_rows(table, schema, ("Marked", "Some"))
    assert set(split.labels) == {"Marked", "Some"}
    recorded = {"file": "data.csv", "rows": 60, "test_fraction": 0.2}
    held_out = held_out_rows(table, schema, recorded, ("Marked", "Some"))
    assert held_out is not None
    assert held_out.sum() == 8
