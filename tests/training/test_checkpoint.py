"""A run that is ended at any moment and resumed is the run that was not, to the bit."""

import errno
import itertools
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

from xpmlp import threads
from xpmlp.errors import DataError, SettingsError
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.optimizers import adam, adamw, clip_gradients, sgd
from xpmlp.nn.samples import Samples
from xpmlp.training import Checkpoint, EarlyStopping, EpochRow, FitResult, Run, warmup_cosine
from xpmlp.training.callbacks import Checkpointing
from xpmlp.training.checkpoint import (
    checkpoint_files,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    take_checkpoint,
)

EPOCHS = 7
OPTIMIZERS = {"sgd": sgd(), "momentum": sgd(momentum=0.9), "adam": adam()} | {
    "adamw, clipped": clip_gradients(adamw(weight_decay=0.1), 0.3)
}


class Killed(Exception):
    """Stands for the moment at which a process is no more."""


def kill(run: Run) -> None:
    raise Killed


def interrupt(run: Run) -> None:
    raise KeyboardInterrupt


Train = Callable[..., FitResult]


@pytest.fixture
def train(small_fit: Train, validation: Samples) -> Train:
    """A run of seven epochs with callbacks; arguments replace the usual."""

    def run(*callbacks: Any, optimizer: str = "adam", rate: float = 0.05, **changes: Any) -> FitResult:
        usual = {"optimizer": OPTIMIZERS[optimizer], "schedule": warmup_cosine(rate), "epochs": EPOCHS, "seed": 3}
        usual |= {"dtype": np.float32, "validation": validation, "backend": "numpy", "callbacks": callbacks}
        return small_fit(**usual | changes)

    return run


def assert_same_run(result: FitResult, unbroken: FitResult) -> None:
    for part, expected in zip(itertools.chain(*result.layers), itertools.chain(*unbroken.layers), strict=True):
        assert part.tobytes() == expected.tobytes()
    for row, expected_row in zip(result.history, unbroken.history, strict=True):
        for name in ("objective", "train_loss", "validation_loss"):
            assert getattr(row, name) == getattr(expected_row, name)
    assert (result.stop_reason, result.kept_epoch) == (unbroken.stop_reason, unbroken.kept_epoch)


@pytest.mark.parametrize(
    ("backend", "optimizer", "dropout", "moments"),
    [
        ("numpy", "sgd", 0.0, [(1, False), (4, True), (EPOCHS, False)]),
        ("numpy", "momentum", 0.0, [(4, False), (EPOCHS, True)]),
        ("numpy", "adam", 0.3, [(1, True), (4, False), (EPOCHS, True)]),
        ("numpy", "adamw, clipped", (0.3,), [(4, True)]),
        ("torch", "adam", 0.3, [(4, True)]),
        pytest.param("jax", "adam", 0.0, [(4, True)], marks=pytest.mark.slow),
    ],
)
def test_resuming_gives_the_same_bits(
    train: Train, tmp_path: Path, backend: str, optimizer: str, dropout: Any, moments: Any
) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    settings: dict[str, Any] = {"optimizer": optimizer, "backend": backend, "dropout": dropout, "dropout_key": 2}
    unbroken = train(**settings)
    for epoch, saved_first in moments:
        folder = tmp_path / str(epoch)
        callbacks: list[Any] = [Checkpointing(folder), (epoch, kill)]
        with pytest.raises(Killed):
            train(*(callbacks if saved_first else callbacks[::-1]), **settings)
        checkpoint = newest_checkpoint(folder)
        assert checkpoint.epoch == (epoch if saved_first else epoch - 1)
        assert_same_run(train(Checkpointing(folder), **settings, checkpoint=checkpoint), unbroken)


def test_early_stopping_broken_after_every_epoch_ends_with_the_same_bits(train: Train, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"rate": 0.9, "epochs": 60, "optimizer": "momentum", "dtype": np.float64}
    unbroken = train(EarlyStopping(4), **settings)
    assert unbroken.stop_reason is not None
    checkpoint = None
    for epoch in range(1, len(unbroken.history) + 1):
        with pytest.raises(Killed):
            train(EarlyStopping(4), Checkpointing(tmp_path), (epoch, kill), checkpoint=checkpoint, **settings)
        checkpoint = newest_checkpoint(tmp_path)
    assert_same_run(train(EarlyStopping(4), checkpoint=checkpoint, **settings), unbroken)


def test_a_checkpoint_of_an_earlier_version_is_resumed_in_todays_unit(train: Train) -> None:
    """Its losses are not scaled, its train_loss is the objective, and it was validated on the test rows."""
    settings: dict[str, Any] = {"rate": 0.9, "epochs": 20, "optimizer": "momentum", "loss_scale": 4.0}
    unbroken = train(EarlyStopping(4), **settings)
    taken: list[Checkpoint] = []
    train(EarlyStopping(4), (3, lambda run: taken.append(take_checkpoint(run, run.state, {}))), **settings)
    old_rows = [
        EpochRow(row.epoch, (row.objective or 0.0) / 4.0, (row.validation_loss or 0.0) / 4.0, 0.5, 0.1, 1.0, 1.0)
        for row in taken[0].history
    ]
    stopping = taken[0].callbacks["EarlyStopping"]
    stopping["best_loss"] /= 4.0
    old = replace(taken[0], history=tuple(old_rows), loss_scale=None)
    resumed = train(EarlyStopping(4), checkpoint=old, **settings)
    assert (resumed.stop_reason, resumed.kept_epoch) == (unbroken.stop_reason, unbroken.kept_epoch)
    for row, expected in zip(resumed.history, unbroken.history, strict=True):
        assert (row.objective, row.held_out_loss) == pytest.approx((expected.objective, expected.validation_loss))
        assert (row.train_loss is None) == (row.epoch <= 3)


def test_a_run_that_was_over_stays_over_and_one_that_had_not_begun_begins(train: Train, tmp_path: Path) -> None:
    finished = train(Checkpointing(tmp_path))
    again = train(checkpoint=newest_checkpoint(tmp_path))
    assert_same_run(again, finished)
    assert again.history == finished.history
    with pytest.raises(Killed):
        train((1, kill), Checkpointing(tmp_path))
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint.epoch == 0
    assert_same_run(train(checkpoint=checkpoint), finished)


def test_ctrl_c_loses_no_epoch_even_where_checkpoints_are_rare(train: Train, tmp_path: Path) -> None:
    stopping = EarlyStopping(50)
    result = train(stopping, Checkpointing(tmp_path, every_epochs=100), (3, interrupt))
    assert result.interrupted
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint.epoch == 3
    assert_same_run(train(EarlyStopping(50), checkpoint=checkpoint), train(EarlyStopping(50)))


def test_the_newest_two_checkpoints_are_kept(train: Train, tmp_path: Path) -> None:
    for every, expected in ((1, [7, 6]), (5, [7, 5]), (100, [7, 0])):
        train(Checkpointing(tmp_path / str(every), every_epochs=every))
        assert [epoch for epoch, _ in checkpoint_files(tmp_path / str(every))] == expected


def test_every_so_many_minutes(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 40))  # seconds, read when a checkpoint is written and when an epoch is over
    monkeypatch.setattr("xpmlp.training.callbacks.time.monotonic", lambda: float(next(clock)))
    epochs: list[int] = []

    def write(self: Checkpointing, run: Run) -> None:
        epochs.append(len(run.history))
        self.written_at = float(next(clock))

    monkeypatch.setattr(Checkpointing, "write", write)
    train(Checkpointing(tmp_path, every_epochs=None, every_minutes=1.0))
    assert epochs == [0, 2, 4, 6, 7]


def test_a_damaged_checkpoint_is_passed_over(train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(Checkpointing(tmp_path))
    (_, newest), (_, older) = checkpoint_files(tmp_path)
    content = newest.read_bytes()
    flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]  # one bit of one number
    renamed = content.replace(b"history", b"hystory")
    for damaged in (b"", content[:50], content[:-20], os.urandom(300), renamed, flipped):
        newest.write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert newest_checkpoint(tmp_path).epoch == EPOCHS - 1
        assert f"{newest}: " in caplog.text
        assert "An older one is used instead" in caplog.text
    assert_same_run(train(checkpoint=newest_checkpoint(tmp_path)), train())
    for right, wrong, message in (
        (b'"xpmlp checkpoint"', b'"xpmlp chequepoin"', "not one of xpmlp's checkpoints"),
        (b'"format_version":"1"', b'"format_version":"9"', "format version '9'"),
    ):
        newest.write_bytes(content.replace(right, wrong))
        with pytest.raises(DataError, match=message):
            load_checkpoint(newest)
    older.write_bytes(b"")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="holds no checkpoint that can be read"):
            newest_checkpoint(folder)


def test_a_full_disk_does_not_end_the_run_and_leaves_the_older_checkpoint(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if int(Path(target).stem.removeprefix("epoch-")) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with caplog.at_level(logging.WARNING):
        result = train(Checkpointing(tmp_path))
    assert_same_run(result, train())
    assert [epoch for epoch, _ in checkpoint_files(tmp_path)] == [4, 3]
    assert len(list(tmp_path.iterdir())) == 2  # no half-written file is left
    assert "No checkpoint after epoch 5: " in caplog.text
    assert "No space left on device" in caplog.text
    assert "Training continues." in caplog.text


def test_a_resumed_run_has_the_threads_it_had(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    samples = Samples(generator.normal(size=(512, 784)), np.eye(2)[generator.integers(2, size=512)])
    layers = init_layers(np, generator, (784, 128, 2), glorot_uniform(), dtype=np.float32)
    monkeypatch.setattr("xpmlp.backends.numpy.backend.available_threads", lambda: 2)
    runs = threads.Runs()
    monkeypatch.setattr("xpmlp.backends.numpy.backend.RUNS", runs)

    def run(found: int, *callbacks: Any, **changes: Any) -> FitResult:
        monkeypatch.setattr(threads, "choose_threads", lambda *_: found)
        runs.found = None
        settings: dict[str, Any] = {"layers": layers, "batch_size": 128, "epochs": 2, "validation": None}
        return train(*callbacks, **(settings | {"train": samples, "generator": np.random.default_rng(1)} | changes))

    unbroken = run(1)
    with pytest.raises(Killed):
        run(1, Checkpointing(tmp_path), (1, kill))
    checkpoint = load_checkpoint(checkpoint_files(tmp_path)[0][1])
    resumed = run(2, checkpoint=checkpoint)
    assert unbroken.threads == checkpoint.threads == resumed.threads == 1
    assert_same_run(resumed, unbroken)
    assert run(1, checkpoint=checkpoint, threads=2).threads == 2  # whoever insists
    assert run(2, checkpoint=replace(checkpoint, threads=None)).threads == 2  # as those of earlier versions are


def test_what_is_written_is_read_again(train: Train, tmp_path: Path) -> None:
    train(EarlyStopping(5), Checkpointing(tmp_path, settings={"data": "digits", "seed": 3}))
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint.settings == {"data": "digits", "seed": 3}
    path = tmp_path / "copy.safetensors"
    save_checkpoint(path, checkpoint)
    again = load_checkpoint(path)
    np.testing.assert_equal(asdict(again), asdict(checkpoint))
    assert set(again.callbacks["EarlyStopping"]) == {"best_loss", "best_epoch", "layers"}
    # The layout of version 1 of the format, which files of earlier versions have.
    with safetensors.safe_open(path, framework="numpy") as file:
        assert set(file.metadata()) == {"format", "format_version", "checkpoint", "sha256"}
        description = json.loads(file.metadata()["checkpoint"])
        assert set(description) == {"history", "generator", "callbacks", "settings", "threads", "loss_scale"}
        parts = itertools.product(("layers", "callbacks.EarlyStopping"), "01", ("weight", "bias"))
        assert set(file.keys()) == {*map(".".join, parts), *(f"optimizer.{index}" for index in range(9))}


def test_another_optimizer_generator_or_dropout_is_refused(train: Train, tmp_path: Path) -> None:
    train(Checkpointing(tmp_path), optimizer="adam")
    with pytest.raises(DataError, match="has another optimizer or network"):
        train(optimizer="sgd", checkpoint=newest_checkpoint(tmp_path))
    for settings in ({"callbacks": [Checkpointing(tmp_path)]}, {"checkpoint": newest_checkpoint(tmp_path)}):
        with pytest.raises(SettingsError, match=r"numpy\.random\.Generator"):
            train(optimizer="adam", generator=np.random.RandomState(0), **settings)
    with pytest.raises(SettingsError, match="dropout: the run has dropout, the checkpoint has none"):
        train(dropout=0.1, checkpoint=newest_checkpoint(tmp_path))
    for how_often in ({"every_epochs": 0}, {"every_minutes": -1.0}, {"every_minutes": float("nan")}):
        with pytest.raises(SettingsError):
            Checkpointing(tmp_path, **how_often)
