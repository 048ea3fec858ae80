"""A table that is read piece by piece is measured, split and read like one in memory."""

import contextlib
import functools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from xpmlp.datasets import Dataset, TableOptions, load_dataset
from xpmlp.datasets.memory import parse_memory
from xpmlp.datasets.splitting import draw
from xpmlp.datasets.streaming.large_table import find_large_table
from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.kinds import as_kinds, find_kinds
from xpmlp.datasets.tables.loading import held_out_rows
from xpmlp.datasets.tables.statistics import TableStatistics
from xpmlp.errors import DataError, SettingsError

ROWS = 14_000


@functools.cache
def make_frame(rows: int = ROWS) -> Any:
    generator = np.random.default_rng(0)
    number = generator.normal(3.0, 2.0, rows)
    gaps = np.where(generator.random(rows) < 0.1, np.nan, generator.exponential(size=rows))
    frame = pl.DataFrame(
        {
            "number": number,
            "gaps": pl.Series(gaps).fill_nan(None),
            "count": generator.poisson(1e6, rows),
            "kind": generator.choice(["red", "green", "blue"], rows, p=[0.6, 0.39, 0.01]),
            "rare": pl.Series([f"only {row}" if row in (5, 77, rows - 3) else "usual" for row in range(rows)]),
            "day": pl.Series(np.datetime64("2021-03-01") + generator.integers(0, 700, rows)),
            "written": [f"{day}.0{month}.2022" for day, month in generator.integers(1, 10, (rows, 2))],
            "yes": generator.random(rows) < 0.7,
            "same": np.ones(rows),
            "price": [f"${value:,}" for value in generator.integers(1, 5000, rows)],
        }
    )
    return frame.with_columns(target=pl.Series(np.where(number > 3.0, "high", "low")))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streaming") / "table.parquet"
    make_frame().write_parquet(path, row_group_size=1700)
    return path


def stream_of(path: Path, memory: str = "1MB", **options: Any) -> Any:
    dataset = load_dataset(path, memory=memory, **options)
    assert dataset.stream is not None
    return dataset


def read_all(dataset: Dataset, part: str) -> tuple[Any, Any]:
    splits = [dataset.stream.read(piece, part) for piece in dataset.stream.pieces]
    return np.concatenate([split.x for split in splits]), np.concatenate([split.labels for split in splits])


@pytest.mark.parametrize(
    "options", [{}, {"missing": "mean"}, {"missing": "drop", "scale": "unit"}], ids=["auto", "mean", "drop"]
)
def test_the_schema_is_that_of_the_table_in_memory(path: Path, options: dict[str, Any]) -> None:
    dataset = stream_of(path, **options)
    table, given = read_table(path), TableOptions.parse(**options)
    features = [name for name in table.schema if name not in ("target", "same")]
    found = find_kinds(table, features, given)
    table, _ = as_kinds(table, found)
    train = draw(np.arange(ROWS)) >= 0.2
    if given.missing == "drop":
        train &= ~table.rows_with_missing(features)
    whole = TableStatistics(found.kinds)
    whole.add(table, train)
    expected = whole.schema(table, train, "target", given, white=None)
    assert len(dataset.table_schema.columns) == len(features)
    assert dataset.split["columns"] == [name for name in table.schema if name != "target"]
    for measured, column in zip(dataset.table_schema.columns, expected.columns, strict=True):
        # Medians are those of a sample, which here are few rows; where they fill gaps, they move mean and deviation.
        tolerance = 0.2 if column.name == "gaps" and given.missing == "auto" else 1e-12
        if given.missing == "auto" and isinstance(column.fill, float) and column.kind in ("number", "date"):
            assert measured.fill == pytest.approx(column.fill, rel=0.2)
            measured, column = (msgspec.structs.replace(one, fill=0.0) for one in (measured, column))
        assert (measured.offset, measured.scale) == pytest.approx((column.offset, column.scale), rel=tolerance)
        for part, known in zip(measured.parts, column.parts, strict=True):
            assert part[0] == known[0]
            assert part[1:] == pytest.approx(known[1:], rel=1e-12)
        if isinstance(column.fill, float) and column.fill is not None:
            assert measured.fill == pytest.approx(column.fill, rel=1e-12)
        for name in ("name", "kind", "categories", "indicator", "infrequent", "latest", "format"):
            assert getattr(measured, name) == getattr(column, name)


@pytest.mark.slow
def test_its_rows_are_those_of_the_table_in_memory(path: Path) -> None:
    dataset = stream_of(path)
    table = read_table(path)
    held_out = held_out_rows(table, dataset.table_schema, dataset.split, dataset.classes)
    assert held_out is not None
    assert 0.19 * ROWS < held_out.sum() < 0.21 * ROWS
    targets = table.collect()["target"].to_numpy()
    for part, rows in (("test", held_out), ("train", ~held_out)):
        x, labels = read_all(dataset, part)
        np.testing.assert_array_equal(labels, targets[rows])
        schema = dataset.table_schema.columns[0]
        expected = (table.collect()["number"].to_numpy()[rows] - schema.offset) / schema.scale
        np.testing.assert_allclose(x[:, 0], expected, rtol=1e-6, atol=1e-6)
        assert len(x) == (dataset.test_rows if part == "test" else dataset.train_rows)


@pytest.mark.slow
def test_held_out_rows_do_not_depend_on_the_memory_or_the_row_groups(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "table.parquet"
    make_frame().write_parquet(other, row_group_size=ROWS)
    parts = [read_all(stream_of(source, memory), "test")[1] for source, memory in ((path, "1MB"), (other, "1.05MB"))]
    np.testing.assert_array_equal(*parts)


def test_validation_rows_are_neither_trained_on_nor_test_rows(path: Path) -> None:
    whole = stream_of(path)
    dataset = whole.with_validation(0.25)
    counts = dataset.train_rows, dataset.validation_rows, dataset.test_rows
    assert sum(counts) == ROWS
    assert counts[2] == whole.test_rows
    assert 0.23 < counts[1] / whole.train_rows < 0.27
    masks = [dataset.stream.mask(dataset.stream.pieces[0], part) for part in ("train", "validation", "test")]
    assert np.sum(masks, axis=0).tolist() == [1] * dataset.stream.pieces[0].rows
    assert dataset.validation is not None
    assert dataset.train.rows + dataset.validation.rows == whole.train.rows


def test_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    frame = make_frame().with_columns(target=pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise("target"))
    frame.write_parquet(path, row_group_size=3000)
    dataset = stream_of(path)
    assert dataset.train_rows + dataset.test_rows == ROWS * 9 // 10
    assert any("1,400 rows dropped: no value in 'target'" in note for note in dataset.notes)


@pytest.mark.parametrize("unit", [1.0, 1e60], ids=["fractions", "whole beyond integers"])
def test_a_number_to_predict_is_measured_on_all_training_rows(tmp_path: Path, unit: float) -> None:
    path, count = tmp_path / "table.parquet", 20_000
    values = unit * np.random.default_rng(1).normal(1e6, 3.0, count)
    pl.DataFrame({"a": np.arange(count) % 13, "b": np.sin(np.arange(count)), "y": values}).write_parquet(path)
    stream = stream_of(path).stream
    rows = draw(np.arange(count)) >= 0.2
    assert stream.mean == pytest.approx(values[rows].mean(), rel=1e-14)
    assert stream.deviation == pytest.approx(values[rows].std(), rel=1e-9)


def test_a_table_that_fits_is_loaded_as_always(path: Path) -> None:
    first, second = (load_dataset(path, memory=memory) for memory in (None, "10GB"))
    assert first.stream is None
    assert second.stream is None
    np.testing.assert_array_equal(first.train.x, second.train.x)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 25_000), (40_000,), (3, 30_000)])
def test_pieces_are_all_rows_whatever_the_files_and_row_groups(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    for number, rows in enumerate(sizes):
        frame = pl.DataFrame({"a": range(rows), "list": [[row, 2] for row in range(rows)], "text": ["é"] * rows})
        frame.write_parquet(tmp_path / f"{number}.parquet", row_group_size=700)
    large = find_large_table(tmp_path, "1MB")
    assert large is not None
    assert large.table.rows == sum(sizes)
    pieces = large.pieces
    assert [piece.first for piece in pieces] == np.cumsum([0, *(piece.rows for piece in pieces)])[:-1].tolist()
    assert sum(piece.rows for piece in pieces) == large.table.rows
    assert all(large.read(piece).collect().estimated_size() <= 1e6 / 8 for piece in pieces[:3])
    read = pl.concat([large.read(piece, ["a"]).collect() for piece in pieces])
    assert read["a"].to_list() == [row for rows in sizes for row in range(rows)]


@pytest.mark.slow
def test_a_folder_is_one_table(path: Path, tmp_path: Path) -> None:
    frame = make_frame()
    for number, start in enumerate(range(0, ROWS, 7000)):
        frame.slice(start, 7000).write_parquet(tmp_path / f"{number}.parquet")
    whole, parts = (load_dataset(source) for source in (path, tmp_path))
    np.testing.assert_array_equal(whole.train.x, parts.train.x)
    whole, parts = (stream_of(source) for source in (path, tmp_path))
    for part in ("train", "test"):
        assert [len(array) for array in read_all(whole, part)] == [len(array) for array in read_all(parts, part)]
        np.testing.assert_array_equal(read_all(whole, part)[1], read_all(parts, part)[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.rename({"count": "sum"}), "'count' is missing, but of type Int64 in .*0.parquet"),
        (lambda frame: frame.with_columns(pl.col("yes").cast(int)), "'yes' is of type Int64, but of type Boolean"),
        (lambda frame: frame.select(reversed(frame.columns)), "another order"),
    ],
)
def test_files_of_a_folder_with_other_columns_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    frame = make_frame(100)
    frame.write_parquet(tmp_path / "0.parquet")
    change(frame).write_parquet(tmp_path / "1.parquet")
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_a_file_that_changes_or_vanishes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    make_frame().write_parquet(path)
    dataset = stream_of(path)
    make_frame(ROWS + 1).write_parquet(path)
    with pytest.raises(DataError, match=r"table\.parquet: has changed since"):
        read_all(dataset, "train")
    path.unlink()
    with pytest.raises(DataError, match=r"table\.parquet: can no longer be read"):
        read_all(dataset, "train")


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("500m", 5 * 10**8), (3_000_000, 3_000_000)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["2 Gigs", "", "-1GB", "GB", "1e9", "1KB", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"--memory: .* is (not a size|less than 1 MB)"):
        parse_memory(text)


def test_damaged_files_are_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    damaged = tmp_path / "table.parquet"
    for _ in range(10):
        broken = bytearray(content)
        for position in generator.integers(len(content) - 4000, len(content), 5):
            broken[position] = generator.integers(256)
        damaged.write_bytes(bytes(broken))
        with contextlib.suppress(DataError):  # and no other error
            load_dataset(damaged, memory="1MB")


def test_text_among_numbers_and_infinite_ones_beyond_the_sample_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    texts = [str(row % 97) for row in range(ROWS)]
    texts[11] = "none of them"
    values = np.random.default_rng(2).normal(size=ROWS)
    values[11] = -np.inf
    frame = make_frame().with_columns(text=pl.Series(texts))
    frame.with_columns(number=pl.Series(values)).write_parquet(path, row_group_size=1700)
    dataset = stream_of(path)
    for words in ("'text': 'none of them' is not a number", "'number': -inf is infinite"):
        assert any(f"row 12, column {words}" in note for note in dataset.notes)
    assert all(np.isfinite(read_all(dataset, part)[0]).all() for part in ("train", "test"))
    assert {column.name: column.kind for column in dataset.table_schema.columns}["text"] == "number"
    frame.select("number", "text", "target", "count", "yes").write_parquet(path, row_group_size=1700)
    with pytest.raises(DataError, match=r"row 12, column 'text': 'none of them' is not a number"):
        stream_of(path, strict=True)
