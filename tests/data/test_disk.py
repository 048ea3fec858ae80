"""Samples on disk are read block by block: every training row once in an epoch, in an order that the seed gives."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import NumpyBackend, load_backend
from xpmlp.data import DiskSamples
from xpmlp.data.placement import train_epoch
from xpmlp.datasets import Split
from xpmlp.datasets.streaming.rows import Piece, RowStream, SourceFiles
from xpmlp.errors import DataError, MissingDependencyError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map

ROWS, FEATURES = 5000, 3
ROW_BYTES = 4 * FEATURES + 4


class Numbered(RowStream):
    """Rows whose label is their number, in pieces of different sizes."""

    def read(self, piece: Piece, part: Any) -> Split:
        numbers = np.arange(piece.first, piece.first + piece.rows)[self.mask(piece, part)]
        return Split(np.outer(np.sin(numbers), [1.0, 2.0, 3.0]).astype(np.float32), numbers.astype(np.float64))


def numbered(memory: int = 4 * ROW_BYTES * 1000) -> DiskSamples:
    starts = [0, 7, 8, 300, 1300, 1301, *range(1500, ROWS, 170)]
    pieces = [Piece(start, end - start) for start, end in zip(starts, [*starts[1:], ROWS], strict=True)]
    options: Any = {"files": SourceFiles([]), "memory": memory, "test_fraction": 0.2, "sample_draws": np.zeros(0)}
    stream = Numbered(name="numbered", pieces=tuple(pieces), **options)
    prepare: Any = lambda split: Samples(split.x, split.labels[:, None].astype(np.float32))  # noqa: E731
    return DiskSamples(stream, prepare, prepare(stream.read(pieces[2], "train").take(slice(0, 1))))


def numbers(samples: DiskSamples, seed: int, batch_size: int) -> list[Any]:
    return [block.samples.targets[block.order, 0] for block in samples.blocks(seed, batch_size)]


@pytest.mark.parametrize("batch_size", [1, 64, 640])
def test_every_training_row_comes_once_in_blocks_of_whole_batches(batch_size: int) -> None:
    samples = numbered()
    blocks = numbers(samples, 3, batch_size)
    expected = np.concatenate([samples.stream.read(piece, "train").labels for piece in samples.stream.pieces])
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), expected)
    assert samples.rows == len(expected)
    assert all(len(block) % batch_size == 0 for block in blocks[:-1])
    # A block holds as many rows as fit, beside those of the last block that did not make a batch.
    assert max(map(len, blocks)) <= 1000 + batch_size
    assert len(blocks) > 3


def test_the_seed_alone_gives_the_order() -> None:
    first, again, other = (np.concatenate(numbers(numbered(), seed, 64)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == other) < 0.01
    # Neighbours in the file are not neighbours in the epoch, and a block's rows come from all over the file.
    assert np.mean(np.abs(np.diff(first)) == 1) < 0.01
    assert np.std(numbers(numbered(), 1, 64)[0]) > ROWS / 8


def test_a_batch_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"numbered: --memory: 64 kB is too little for a batch of 1,001 rows"):
        next(numbered().blocks(0, 1001))


@pytest.mark.parametrize("size", [2, 3])
def test_processes_read_parts_of_an_epoch(size: int) -> None:
    samples, batch_size = numbered(), 100
    share = -(-batch_size // size)
    steps = -(-samples.rows // batch_size)
    found, filled = [], 0
    for rank in range(size):
        own = samples.for_process(rank, size, steps * share)
        taken, ends = 0, []
        for block in own.blocks(5, share):
            taken += len(block.order)
            ends.append(block.is_last)
            assert block.samples.weight is not None
            weight = block.samples.weight[block.order]
            found.append(block.samples.targets[block.order[weight > 0], 0])
            filled += int(np.count_nonzero(weight == 0))
            assert not block.samples.x[block.order[weight == 0]].any()
        assert taken == steps * share
        assert ends == [False] * (len(ends) - 1) + [True]
    assert filled == steps * share * size - samples.rows
    whole = np.sort(np.concatenate(numbers(samples, 5, batch_size)))
    assert len(np.unique(whole)) == len(whole)  # so that no row is in two parts
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), whole)


# On a disk of 10¹² bytes, of which a twentieth stays free; or on a device that is full in spite of what it says.
@pytest.mark.parametrize("free", [10**12, 5 * 10**10 + 10_000, 0, None])
def test_rows_are_read_once_and_kept_while_the_disk_has_room(
    free: int | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    samples, reads = numbered(), list[Piece]()
    expected = [np.concatenate(numbers(numbered(), seed, 64)) for seed in (1, 2)]
    read, room = Numbered.read, 10**12 if free is None else free

    def counted(stream: Numbered, piece: Piece, part: Any) -> Split:
        reads.append(piece)
        return read(stream, piece, part)

    monkeypatch.setattr(Numbered, "read", counted)
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: SimpleNamespace(total=10**12, free=room - samples.prepared.end)
    )
    with contextlib.ExitStack() as stack:
        if free is None:
            if not os.path.exists("/dev/full"):
                pytest.skip("this system has no device that is always full")
            full = stack.enter_context(open("/dev/full", "r+b", buffering=0))
            monkeypatch.setattr("tempfile.TemporaryFile", lambda **options: full)
        for seed, known in zip((1, 2), expected, strict=True):
            np.testing.assert_array_equal(np.concatenate(numbers(samples, seed, 64)), known)
    pieces, kept = len(samples.own_pieces), len(samples.prepared.places)
    assert len({piece.first for piece in reads}) == pieces
    assert len(reads) == 2 * pieces - kept
    assert {10**12: kept == pieces, 0: kept == 0, None: kept == 0}.get(free, 0 < kept < pieces)
    assert len(caplog.records) == samples.prepared.is_full == (kept < pieces)
    assert all("set TMPDIR to a folder on a larger disk" in record.message for record in caplog.records)


@pytest.fixture(params=["numpy", "torch"])
def backend(request: pytest.FixtureRequest) -> Any:
    try:
        return load_backend(request.param, "cpu")
    except MissingDependencyError:
        return pytest.skip(f"{request.param} is not installed")


def test_an_epoch_is_that_of_the_same_rows_in_memory(backend: Any) -> None:
    samples, batch_size = numbered(4 * (ROW_BYTES + 4) * 1000), 64  # as many rows a block, of larger targets
    prepare: Any = lambda split: Samples(split.x, np.cos(split.labels)[:, None])  # noqa: E731
    samples = replace(samples, prepare=prepare, row=prepare(Split(np.zeros((1, FEATURES), np.float32), np.zeros(1))))
    optimizer = sgd(momentum=0.9)
    step = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["squared_error"], optimizer=optimizer)
    layers = init_layers(np, np.random.default_rng(1), (FEATURES, 8, 1), glorot_uniform(), dtype=np.float64)
    rates = np.linspace(0.1, 0.01, -(-samples.rows // batch_size))
    order = np.concatenate(numbers(numbered(), 9, batch_size)).astype(np.int64)
    whole = Samples(
        np.outer(np.sin(np.arange(ROWS)), [1.0, 2.0, 3.0]).astype(np.float32), np.cos(np.arange(ROWS))[:, None]
    )
    with backend.scope():
        state = TrainingState(*(tree_map(backend.asarray, tree) for tree in (layers, optimizer.init(np, layers))))
        move: Callable[[Any], Any] = lambda array: backend.asarray(array, "float64")  # noqa: E731
        results = [
            train_epoch(backend, step, state, data, data_order, rates, batch_size)
            for data, data_order in ((samples, 9), (whole.map(move), order))
        ]
        read, resident = (tree_map(backend.to_numpy, result) for result in results)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), read, resident)


def test_an_error_of_the_reading_thread_is_raised() -> None:
    class Broken(Numbered):
        def read(self, piece: Piece, part: Any) -> Split:
            if piece.first > 2000:
                raise DataError("gone")
            return super().read(piece, part)

    samples = numbered()
    samples = replace(samples, stream=Broken(**vars(samples.stream)))
    step = make_step(activation=ACTIVATIONS["tanh"], loss=LOSSES["squared_error"], optimizer=sgd())
    layers = init_layers(np, np.random.default_rng(1), (FEATURES, 8, 1), glorot_uniform(), dtype=np.float32)
    with pytest.raises(DataError, match="gone"):
        train_epoch(NumpyBackend(), step, TrainingState(layers, ()), samples, 0, np.full(80, 0.01), 64)
