"""Training, evaluating and predicting with data larger than the memory they may take."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

ROWS = 15_000
QUICK = ("--hidden", "8", "--epochs", "2", "--batch-size", "128", "-o", "run")
SWEEP = ("--sampler", "grid", "--epochs", "1", "--batch-size", "128", "-o", "run")

Run = Callable[..., Any]


pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, 8))
    frame = pl.DataFrame({f"x{index}": x[:, index] for index in range(8)})
    frame = frame.with_columns(x0=pl.when(pl.col("x0") < 2).then("x0"), target=np.where(x[:, 1] > 0, "up", "down"))
    path = tmp_path_factory.mktemp("table") / "big.parquet"
    frame.write_parquet(path, row_group_size=1000)
    return path


@pytest.fixture
def path(empty_folder: Path, table: Path) -> Path:
    """A table of a few megabytes in the working folder."""
    return Path(shutil.copy(table, empty_folder))


def test_a_stream_is_trained_evaluated_and_predicted_into_a_file_like_the_table(path: Path, xpmlp: Run) -> None:
    trained = xpmlp("train", "big.parquet", "--memory", "1MB", *QUICK)
    assert "streamed from disk in about" in trained.out.replace("\n", " ")
    assert "more than the limit of 1 MB" in trained.out.replace("\n", " ")
    record = json.loads(Path("run/run.json").read_text())
    assert record["data"]["train_rows"] + record["data"]["test_rows"] == ROWS

    reports = []
    for memory in ((), ("--memory", "1MB")):
        found = xpmlp("evaluate", "run", "big.parquet", "--json", *memory)
        assert "evaluated on the rows held out in training" in found.err.replace("\n", " ")
        reports.append(json.loads(found.out))
    assert reports[0]["confusion"] == reports[1]["confusion"]
    assert reports[1]["loss"] == pytest.approx(reports[0]["loss"], rel=1e-5)
    assert sum(map(sum, reports[1]["confusion"])) == record["data"]["test_rows"]
    assert record["test_accuracy"] == pytest.approx(reports[0]["accuracy"])

    for name in ("out.csv", "out.parquet"):
        whole, pieces = f"whole-{name}", f"pieces-{name}"
        xpmlp("predict", "run", "big.parquet", "-o", whole)
        streamed = xpmlp("predict", "run", "big.parquet", "-o", pieces, "--memory", "1MB")
        assert f"{ROWS:,} predictions written" in streamed.out
        read = pl.read_csv if name.endswith("csv") else pl.read_parquet
        frames = [read(file) for file in (whole, pieces)]
        assert frames[0].columns == frames[1].columns
        assert (frames[0]["prediction"] == frames[1]["prediction"]).all()
        first, second = (frame["probability_up"].to_numpy() for frame in frames)
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)
    for output in ((), ("-o", "out.json"), ("--json",)):
        found = xpmlp("predict", "run", "big.parquet", "--memory", "1MB", *output, status=1)
        assert "Give --output FILE.csv or FILE.parquet" in found.err.replace("\n", " ")
    assert not [file for file in Path().iterdir() if file.name.startswith(".")]


@pytest.mark.slow
def test_images_are_evaluated_in_blocks_as_in_memory(write_idx_folder: Run, xpmlp: Run) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 9000).astype(np.uint8)
    images = generator.integers(0, 100, (9000, 12, 11)).astype(np.uint8)
    images[np.arange(9000), 2 * labels] += 30
    write_idx_folder(Path(), images, labels, test_rows=4000)
    xpmlp("train", ".", *QUICK)
    whole, pieces = (xpmlp("evaluate", "run", ".", "--json", *memory) for memory in ((), ("--memory", "1MB")))
    assert "read in pieces" not in whole.err
    assert "read in pieces" in pieces.err
    assert json.loads(pieces.out)["confusion"] == json.loads(whole.out)["confusion"]
    assert json.loads(pieces.out)["loss"] == pytest.approx(json.loads(whole.out)["loss"], rel=1e-5)


@pytest.mark.slow
def test_a_sweep_of_a_stream_tries_a_sample_and_trains_on_all_rows(path: Path, xpmlp: Run) -> None:
    pytest.importorskip("optuna")
    found = xpmlp("sweep", "big.parquet", "--memory", "1MB", "--trials", "2", "--hidden", "4", "--hidden", "8", *SWEEP)
    assert "more than the limit of 1 MB; the best settings are then trained on all" in found.out.replace("\n", " ")
    record = json.loads(Path("run/run.json").read_text())
    assert record["data"]["train_rows"] + record["data"]["test_rows"] == ROWS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--memory", "2 Gigs"), "--memory: '2 Gigs' is not a size. Write 2GB, 500MB or 1.5GiB."),
        (("--memory", "1MB", "--batch-size", "100000"), "is too little for a batch of 100,000 rows"),
        (("--memory", "1MB", "--folds", "3"), "--folds: big is streamed"),
    ],
)
def test_what_cannot_be_streamed_is_refused(path: Path, xpmlp: Run, arguments: tuple[str, ...], message: str) -> None:
    err = xpmlp("train", "big.parquet", *arguments, status=1).err
    assert message in err
    assert err.count("\n") == 1
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_a_large_file_is_converted_with_the_command_that_is_shown_if_polars_can_scan_it(
    path: Path, refused: Run
) -> None:
    frame = pl.read_parquet(path)
    frame.write_csv("large.csv")
    err = refused(("train", "large.csv", "--memory", "1MB"), "Convert it once: ")
    python, *arguments = shlex.split(err.split("Convert it once: ")[1].split(". Then give")[0])
    assert python == "python"
    subprocess.run([sys.executable, *arguments], check=True)
    assert pl.read_parquet("large.parquet").height == ROWS
    frame.write_ndjson("large.jsonl")
    refused(("train", "large.jsonl", "--memory", "1MB"), "Save it as Parquet. Then give the Parquet file")
