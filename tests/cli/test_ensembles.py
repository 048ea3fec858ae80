"""``xpmlp train --ensemble`` and the other commands on what it makes."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

import xpmlp as package

pytestmark = pytest.mark.usefixtures("no_pictures")
Run = Callable[..., Any]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with a number to predict."""
    path = tmp_path / "diabetes.csv"
    diabetes = load_diabetes(scaled=False)
    names = ",".join([*diabetes.feature_names, "target"])
    rows = np.column_stack([diabetes.data, diabetes.target])
    np.savetxt(path, rows, fmt="%.10g", delimiter=",", header=names, comments="")
    return path


def weights(run: Path) -> list[bytes]:
    return [array.tobytes() for layer in package.load_model(run / "model.safetensors").layers for array in layer]


def test_an_ensemble_of_a_table_is_known_to_every_command(xpmlp: Run, table: Path) -> None:
    settings = ("--ensemble", 3, "--epochs", 12, "--hidden", 8, "--dropout", 0.2)
    trained = xpmlp("train", table, "--target", "target", *settings, "-o", "run", "--patience", 5, "--folds", 2)
    assert trained.code == 0, trained.err
    assert "3 × 10-8-1 networks: 291 parameters" in trained.out
    record = json.loads(Path("run/run.json").read_text())
    assert (record["settings"]["ensemble"], len(record["folds"])) == (3, 2)
    model = package.load_model("run/model.safetensors")
    assert model.members == 3
    evaluated = json.loads(xpmlp("evaluate", "run", table, "--json").out)
    assert evaluated["r2"] == pytest.approx(record["test_r2"], abs=1e-6)
    assert json.loads(xpmlp("explain", "run", table, "--repeats", 2, "--json").out)["score"] == pytest.approx(
        record["test_r2"], abs=1e-6
    )
    assert xpmlp("predict", "run", table, "-o", "predicted.csv").code == 0
    rows = list(csv.DictReader(Path("predicted.csv").read_text().splitlines()))
    prediction = package.predict(model, str(table))
    assert prediction.spread is not None
    np.testing.assert_allclose([float(row["prediction"]) for row in rows], prediction.labels, rtol=1e-6)
    np.testing.assert_allclose([float(row["spread"]) for row in rows], prediction.spread, rtol=1e-6)
    as_json = json.loads(xpmlp("predict", "run", table, "--json").out)
    assert as_json[0]["spread"] == pytest.approx(float(prediction.spread[0]))
    assert "spread" in xpmlp("predict", "run", table).out
    assert xpmlp("export", "run", "network.py").code == 0
    code = "import network, numpy as np, csv; rows = list(csv.DictReader(open('predicted.csv'))); "
    code += "print(network.predict({k: [r[k] for r in rows] for k in rows[0]})[:3].tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), prediction.labels[:3], rtol=1e-4)


def test_one_network_has_no_spread(xpmlp: Run, table: Path) -> None:
    xpmlp("train", table, "--target", "target", "--epochs", 1, "-o", "run", "-q")
    assert set(json.loads(xpmlp("predict", "run", table, "--json").out)[0]) == {"input", "row", "prediction"}


def test_a_resumed_ensemble_ends_with_the_same_bits(xpmlp: Run) -> None:
    settings = ("digits", "--ensemble", 3, "--epochs", 4, "--dropout", 0.2, "--hidden", 9, "--validation-fraction", 0.2)
    assert xpmlp("train", *settings, "--checkpoint-every", 1, "-o", "run").code == 0
    before = weights(Path("run"))
    newest = max(Path("run/checkpoints").glob("epoch-*.safetensors"))
    newest.unlink()
    resumed = xpmlp("train", "--resume", "run")
    assert "resuming after epoch 3" in resumed.out
    assert weights(Path("run")) == before
    refused = xpmlp("train", "--resume", "run", "--ensemble", 2)
    assert "--ensemble 2 was given, but the run has 3" in refused.err


def test_impossible_numbers_of_networks_are_refused(xpmlp: Run) -> None:
    for count, message in (("0", "--ensemble: 0 is not a whole number of at least 1"), ("-3", "--ensemble: -3 is not")):
        refused = xpmlp("train", "digits", "--ensemble", count)
        assert refused.code == 1
        assert message in refused.err
    refused = xpmlp("train", "digits", "--ensemble", 10**9, "-o", "run")
    assert refused.code == 1
    assert "ensemble: training 1,000,000,000 networks takes about" in refused.err
    assert "Traceback" not in refused.err
    assert not Path("run").exists()
