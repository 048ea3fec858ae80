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


def test_an_ensemble_of_a_table_is_known_to_every_command(xpmlp: Run, table: Path) -> None:
    settings = ("--ensemble", 3, "--epochs", 12, "--hidden", 8, "--dropout", 0.2)
    trained = xpmlp("train", table, "--target", "target", *settings, "-o", "run", "--patience", 5, "--folds", 2)
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
    xpmlp("predict", "run", table, "-o", "predicted.csv")
    rows = list(csv.DictReader(Path("predicted.csv").read_text().splitlines()))
    prediction = package.predict(model, str(table))
    assert prediction.spread is not None
    np.testing.assert_allclose([float(row["prediction"]) for row in rows], prediction.labels, rtol=1e-6)
    np.testing.assert_allclose([float(row["spread"]) for row in rows], prediction.spread, rtol=1e-6)
    as_json = json.loads(xpmlp("predict", "run", table, "--json").out)
    assert as_json[0]["spread"] == pytest.approx(float(prediction.spread[0]))
    assert "spread" in xpmlp("predict", "run", table).out
    xpmlp("export", "run", "network.py")
    code = "import network, numpy as np, csv; rows = list(csv.DictReader(open('predicted.csv'))); "
    code += "print(network.predict({k: [r[k] for r in rows] for k in rows[0]})[:3].tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), prediction.labels[:3], rtol=1e-4)
