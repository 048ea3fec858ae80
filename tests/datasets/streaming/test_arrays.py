"""Arrays in .npy files are tables, in memory like an .npz of them and streamed like a Parquet file of them."""

import contextlib
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from xpmlp.datasets import load_dataset
from xpmlp.errors import DataError

ROWS = 20_000


def save(folder: Path, **arrays: Any) -> Path:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def points() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(2.0, 3.0, (ROWS, 8))
    return x, np.where(x[:, 0] > x[:, 1], "above", "below")


def test_a_folder_is_an_unpacked_npz(tmp_path: Path) -> None:
    x, y = points()
    np.savez(tmp_path / "points.npz", x=x, y=y)
    whole, folder = load_dataset(tmp_path / "points.npz"), load_dataset(save(tmp_path / "points", x=x, y=y))
    np.testing.assert_array_equal(folder.train.x, whole.train.x)
    np.testing.assert_array_equal(folder.test.labels, whole.test.labels)
    parts = save(tmp_path / "parts", x_train=x, y_train=y, x_test=x[:500], y_test=y[:500])
    assert load_dataset(parts).test.rows == 500


@pytest.mark.slow
def test_a_stream_is_that_of_a_parquet_file_with_the_same_columns(tmp_path: Path) -> None:
    x, y = points()
    frame = pl.DataFrame({f"x_{index}": x[:, index] for index in range(8)} | {"y": y})
    frame.write_parquet(tmp_path / "table.parquet")
    folder, found = save(tmp_path / "folder", x=x, y=y), []
    for path, target in ((tmp_path / "table.parquet", None), (folder, None), (folder / "x.npy", str(folder / "y.npy"))):
        dataset = load_dataset(path, memory="1MB", target=target)
        splits = [dataset.stream.read(piece, "train") for piece in dataset.stream.pieces]
        assert len(splits) > 10
        found.append((np.concatenate([split.x for split in splits]), [label for s in splits for label in s.labels]))
    for other, labels in found[1:]:
        np.testing.assert_allclose(other, found[0][0], rtol=1e-6, atol=1e-7)
        assert labels == found[0][1]


def test_pictures_are_streamed(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6000, 9, 8), dtype=np.uint8)
    folder = save(tmp_path / "images", x=images, y=np.arange(6000) % 3)
    whole, dataset = load_dataset(folder), load_dataset(folder, memory="1MB")
    assert dataset.input_shape == whole.input_shape == (9, 8)
    split = dataset.stream.read(dataset.stream.pieces[1], "train")
    first = dataset.stream.pieces[1].first
    mask = dataset.stream.mask(dataset.stream.pieces[1], "train")
    expected = images[first : first + len(mask)][mask].reshape(-1, 72) / np.float32(255)
    np.testing.assert_array_equal(split.x, expected)


def test_a_large_npz_is_unpacked_with_the_command_that_is_shown(tmp_path: Path) -> None:
    x, y = points()
    np.savez(tmp_path / "points.npz", x=x, y=y)
    with pytest.raises(DataError, match="Unpack it once") as raised:
        load_dataset(tmp_path / "points.npz", memory="1MB")
    python, *arguments = shlex.split(str(raised.value).split("Unpack it once: ")[1].split(". Then give")[0])
    assert python == "python"
    subprocess.run([sys.executable, *arguments], check=True)
    assert load_dataset(tmp_path / "points", memory="1MB").stream.rows == ROWS


def test_arrays_that_make_no_table_are_refused(tmp_path: Path) -> None:
    x, y = points()
    for memory in ("1MB", "1GB"):
        with pytest.raises(DataError, match="different numbers of rows"):
            load_dataset(save(tmp_path / f"short{memory}", x=x, y=y[1:]), memory=memory)
    with pytest.raises(DataError, match="rows cannot be in a part of their own, x_test"):
        load_dataset(save(tmp_path / "parts", x_train=x, y_train=y, x_test=x, y_test=y), memory="1MB")


def test_damaged_and_changed_files_are_refused(tmp_path: Path) -> None:
    x, y = points()
    folder = save(tmp_path / "points", x=x, y=y)
    dataset = load_dataset(folder, memory="1MB")
    content = (folder / "x.npy").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(20):
        broken = bytearray(content[: len(content) - int(generator.integers(2)) * 99])
        for position in generator.integers(0, 128, 3):
            broken[position] = generator.integers(256)
        (folder / "x.npy").write_bytes(broken)
        with contextlib.suppress(DataError):  # and no other error
            load_dataset(folder, memory="1MB")
    with pytest.raises(DataError, match=r"x\.npy: has changed since"):
        dataset.stream.read(dataset.stream.pieces[0], "train")
