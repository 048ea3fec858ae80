"""Images in IDX files larger than memory are read piece by piece, like those in memory."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import NumpyBackend
from xpmlp.data.disk import DiskSamples
from xpmlp.datasets import ByteSplit, Dataset, load_dataset
from xpmlp.errors import DataError
from xpmlp.training import Recipe, evaluate, fit_dataset, make_model

TRAIN, TEST, SHAPE = 5000, 1000, (12, 11)


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    return make_images(make_folder)


def make_images(make_folder: Callable[..., Path], **options: Any) -> Path:
    """Images whose brightest row is their class."""
    generator = np.random.default_rng(0)
    files: dict[str, Any] = {}
    for part, rows in (("train", TRAIN), ("t10k", TEST)):
        labels = generator.integers(0, 5, rows)
        images = generator.integers(0, 100, (rows, *SHAPE))
        images[np.arange(rows), 2 * labels] += 90
        files |= {f"{part}_images": images.astype(np.uint8), f"{part}_labels": labels.astype(np.uint8)}
    return make_folder("images", **files | options)


def stream_of(folder: Path) -> Dataset:
    dataset = load_dataset(folder, memory="1MB")
    assert "more than the limit of 1 MB" in dataset.why_streamed
    return dataset


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_rows_are_those_in_memory(make_folder: Callable[..., Path], dtype: Any) -> None:
    images = np.random.default_rng(1).integers(0, 200, (TRAIN, *SHAPE)).astype(dtype)
    folder = make_images(make_folder, train_images=images, t10k_images=images[:TEST])
    whole, dataset = load_dataset(folder), stream_of(folder)
    assert whole.stream is None
    assert (dataset.input_shape, dataset.classes) == (whole.input_shape, whole.classes)
    assert dataset.input_scale == whole.input_scale
    assert (dataset.train_rows, dataset.test_rows) == (TRAIN, TEST)
    for part in ("train", "test"):
        splits = [dataset.stream.read(piece, part) for piece in dataset.stream.pieces]
        assert sum(split.rows > 0 for split in splits) > 1
        np.testing.assert_array_equal(np.concatenate([split.x for split in splits]), getattr(whole, part).x)
        np.testing.assert_array_equal(np.concatenate([split.labels for split in splits]), getattr(whole, part).labels)
    assert 0 < dataset.train.rows < TRAIN
    assert (dataset.train.x[:, None] == whole.train.x[:100]).all(axis=-1).any()


def test_validation_rows_are_training_rows_that_are_held_out(folder: Path) -> None:
    dataset = stream_of(folder).with_validation(0.2)
    assert dataset.test_rows == TEST
    assert dataset.train_rows + dataset.validation_rows == TRAIN
    assert 0.17 * TRAIN < dataset.validation_rows < 0.23 * TRAIN
    assert dataset.validation is not None
    assert dataset.validation.rows


def test_a_network_is_trained_on_bytes_as_well_as_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(hidden_layer_sizes=(16,), epochs=3, batch_size=50, optimizer="adam", learning_rate=0.01)
    blocks, dtypes = DiskSamples.blocks, set()

    def recorded(samples: DiskSamples, *arguments: Any) -> Any:
        for block in blocks(samples, *arguments):
            dtypes.add(block.samples.x.dtype)
            yield block
        assert not samples.prepared.places  # the files hold what a temporary file would

    monkeypatch.setattr(DiskSamples, "blocks", recorded)
    scores = []
    for dataset in (stream_of(folder), load_dataset(folder)):
        model = make_model(dataset, recipe, fit_dataset(dataset, recipe, backend=NumpyBackend()))
        report: Any = evaluate(model, dataset)
        assert report.confusion.sum() == TEST
        scores.append(report.accuracy)
    assert min(scores) > 0.95
    assert dtypes == {np.dtype(np.uint8)}


def test_images_stored_column_by_column_are_swapped(make_folder: Callable[..., Path]) -> None:
    folder = make_images(lambda name, **files: make_folder(name, lambda usual: f"emnist-{usual}", **files))
    whole, dataset = load_dataset(folder), stream_of(folder)
    assert dataset.input_shape == whole.input_shape == SHAPE[::-1]
    split = dataset.stream.read(dataset.stream.pieces[0], "train")
    np.testing.assert_array_equal(split.x, whole.train.x[: split.rows])


def test_compressed_files_are_refused_with_the_command_that_helps(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    with pytest.raises(DataError, match=rf"more than the limit of 1 MB.*gunzip {path}\.gz"):
        load_dataset(folder, memory="1MB")
    assert isinstance(load_dataset(folder, memory="100MB").train, ByteSplit)


def test_a_file_that_changes_or_is_cut_short_is_refused(folder: Path) -> None:
    dataset = stream_of(folder)
    path = folder / "train-images-idx3-ubyte"
    content = path.read_bytes()
    path.write_bytes(content[:-7])
    with pytest.raises(DataError, match="has changed since"):
        dataset.stream.read(dataset.stream.pieces[0], "train")
    with pytest.raises(DataError, match="cut short"):
        load_dataset(folder, memory="1MB")
    path.unlink()
    with pytest.raises(DataError, match="can no longer be read"):
        dataset.stream.read(dataset.stream.pieces[0], "train")
