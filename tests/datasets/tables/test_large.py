"""MNIST's 60,000 training images as a CSV of 110 MB: how much memory it takes to load."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from xpmlp.datasets import load_mnist

ARRAY_BYTES = 60_000 * 784 * 4

MEASURE = """
import sys
import polars, sklearn.model_selection, xpmlp
def peak():
    # Of this process alone: getrusage starts from what the process had that started this one.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
before = peak()
dataset = xpmlp.load_dataset(sys.argv[1])
assert len(dataset.train.x) + len(dataset.test.x) == 60_000 and dataset.input_shape == (28, 28)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read as Linux tells it")
@pytest.mark.parametrize("name", ["mnist.csv", "mnist.parquet", "of-int64.parquet"])
def test_60_000_images_take_at_most_3_times_the_memory_of_their_array(
    mnist_dir: Path, tmp_path: Path, name: str
) -> None:
    train = load_mnist(mnist_dir).train
    pixels = np.rint(train.x * 255).astype(np.uint8)
    frame = pl.from_numpy(pixels, schema=[f"pixel{i}" for i in range(784)]).insert_column(
        0, pl.Series("label", train.labels)
    )
    path = tmp_path / name
    if name.startswith("of-int64"):  # as whoever read a CSV and saved it has them
        frame = frame.with_columns(pl.all().cast(pl.Int64))
    frame.write_csv(path) if name.endswith("csv") else frame.write_parquet(path, row_group_size=5000)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, timeout=300, check=True
    )
    used = int(measured.stdout)
    print(f"{name}: {used / ARRAY_BYTES:.2f} times the array")
    assert ARRAY_BYTES <= used <= 3 * ARRAY_BYTES
