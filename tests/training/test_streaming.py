"""Training and evaluating on a table that is streamed."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import xpmlp
from xpmlp.datasets import Dataset, Split, load_dataset
from xpmlp.errors import SettingsError
from xpmlp.training import Callback, Recipe, Run, cross_validate, evaluate, fit_dataset, make_model
from xpmlp.training.checkpoint import take_checkpoint
from xpmlp.training.errors import UnreadableDataError
from xpmlp.training.evaluation import evaluate_blocks
from xpmlp.training.train import class_weights

ROWS = 14_000
RECIPE = Recipe(hidden_layer_sizes=(32,), epochs=4, batch_size=64, optimizer="adam", learning_rate=0.02)


def write(path: Path, *, regression: bool = False) -> Path:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, 8))
    value = x[:, 0] + np.sin(2 * x[:, 1])
    target = 100 + 7 * value if regression else np.where(value > 0.5, "high", "low")
    frame = pl.DataFrame({f"x{index}": x[:, index] for index in range(8)} | {"target": target})
    # In order of the target, which a block of neighbours would show.
    frame.sort("target").write_parquet(path, row_group_size=400)
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A table of classes, and one of numbers."""
    return {kind: write(tmp_path_factory.mktemp("data") / "table.parquet", regression=kind) for kind in (False, True)}


@pytest.fixture(scope="module")
def table(tables: dict[bool, Path]) -> Path:
    return tables[False]


@pytest.fixture(scope="module")
def dataset(table: Path) -> Dataset:
    return load_dataset(table, memory="1MB")


@pytest.mark.parametrize("regression", [False, True])
def test_a_network_trained_on_a_stream_is_as_good(tables: dict[bool, Path], regression: bool) -> None:
    scores = []
    for memory in ("1MB", None):
        dataset = load_dataset(tables[regression], memory=memory)
        model = make_model(dataset, RECIPE, fit_dataset(dataset, RECIPE))
        report: Any = evaluate(model, dataset)
        scores.append(report.r2 if regression else report.accuracy)
    assert min(scores) > 0.9
    assert scores[0] == pytest.approx(scores[1], abs=0.03)


@pytest.mark.parametrize("regression", [False, True])
def test_the_report_of_blocks_is_that_of_all_rows(tables: dict[bool, Path], regression: bool) -> None:
    dataset = load_dataset(tables[regression])
    recipe = replace(RECIPE, epochs=1)
    model = make_model(dataset, recipe, fit_dataset(dataset, recipe))
    test = dataset.test
    blocks = [test.take(slice(start, end)) for start, end in ((0, 100), (100, 100), (100, 101), (101, test.rows))]
    found, expected = evaluate_blocks(model, blocks).to_json(), evaluate(model, test).to_json()
    for name in expected.keys() - {"roc_auc", "per_class"}:
        np.testing.assert_allclose(np.float64(found[name]), np.float64(expected[name]), rtol=1e-5, err_msg=name)
    assert found.get("per_class") == expected.get("per_class")


class StopAfter(Callback):
    """Takes a checkpoint and stops."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Run) -> None:
        if len(run.history) == self.epoch:
            self.checkpoint = take_checkpoint(run, run.state, {})
            run.stop("enough")


def test_a_resumed_run_ends_with_the_same_bits(dataset: Dataset) -> None:
    whole = fit_dataset(dataset, RECIPE)
    stop = StopAfter(2)
    fit_dataset(dataset, RECIPE, callbacks=[stop])
    resumed = fit_dataset(dataset, RECIPE, checkpoint=stop.checkpoint)
    for layer, other in zip(whole.layers, resumed.layers, strict=True):
        np.testing.assert_array_equal(layer.weight, other.weight)


def test_a_file_that_vanishes_costs_no_epoch_before(table: Path, tmp_path: Path) -> None:
    dataset = load_dataset(shutil.copy(table, tmp_path), memory="1MB")

    class Delete(Callback):
        def on_epoch_end(self, run: Run) -> None:
            if len(run.history) == 2:
                (tmp_path / "table.parquet").unlink()

    with pytest.raises(UnreadableDataError, match=r"table\.parquet: can no longer be read") as raised:
        fit_dataset(dataset, RECIPE, callbacks=[Delete()])
    assert len(raised.value.result.history) == 2


def test_what_needs_all_rows_is_refused(dataset: Dataset) -> None:
    with pytest.raises(SettingsError, match=r"folds: table is streamed, as it takes about .* the limit of 1 MB"):
        next(cross_validate(dataset, RECIPE, 3))


def test_class_weights_are_those_of_all_rows(dataset: Dataset) -> None:
    weights = dict(zip(dataset.classes, class_weights(dataset), strict=True))
    counts = dataset.stream.labels
    assert sum(counts.values()) == ROWS
    assert weights["high"] * counts["high"] == pytest.approx(weights["low"] * counts["low"])


def test_train_streams_with_a_memory_limit(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, result = xpmlp.train(table, memory="1MB", epochs=2, hidden_layer_sizes=(8,), validation_fraction=0.1)
    assert "streamed from disk in " in capsys.readouterr().out
    assert result.history[-1].validation_accuracy is not None
    assert isinstance(xpmlp.predict(model, Split(np.zeros((3, 8), np.float32), np.zeros(3))).labels[0], str)
