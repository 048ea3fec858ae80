"""Training on a Parquet file that is larger than the memory it may take.

    python benchmarks/streaming.py

makes files of 5 GB with 20 columns in a temporary folder, and trains on them in turn from memory and with
``--memory 1GB``. It prints the largest resident memory of each process, the seconds that it took in all, and the rows a
second of the first epoch, in which rows are decoded and prepared, and of the later ones. The files are deleted at the
end.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import polars as pl

COLUMNS, GROUP_ROWS = 20, 2**18
TRAIN = ("--hidden", "64", "--activation", "relu", "--batch-size", "1024", "--optimizer", "sgd", "--dropout", "0")
MEASURE = (
    "import pathlib, runpy, sys\n"
    "sys.argv = ['xpmlp', *sys.argv[1:]]\n"
    "try:\n"
    "    runpy.run_module('xpmlp', run_name='__main__')\n"
    "finally:\n"
    # Of this process alone: what getrusage returns may be that of the process which started it.
    "    status = pathlib.Path('/proc/self/status').read_text()\n"
    "    print('peak', 1024 * int(status.split('VmHWM:')[1].split()[0]), file=sys.stderr)\n"
)


def write_groups(folder: Path, rows: int) -> Path:
    """Write a folder of Parquet files with rows whose target is a noisy function of the columns."""
    folder.mkdir()
    for number, start in enumerate(range(0, rows, 16 * GROUP_ROWS)):
        generator = np.random.default_rng(number)
        x = generator.normal(size=(min(16 * GROUP_ROWS, rows - start), COLUMNS))
        target = np.tanh(x[:, 0] * x[:, 1]) + x[:, 2] + generator.normal(size=len(x)) / 10
        frame = pl.from_numpy(x, schema=[f"x{index}" for index in range(COLUMNS)])
        frame = frame.with_columns(target=pl.Series(target))
        frame.write_parquet(folder / f"part-{number:03}.parquet", row_group_size=GROUP_ROWS, compression="lz4")
    return folder


class Measured(NamedTuple):
    """Of one training: bytes, seconds and rows a second."""

    peak: float
    seconds: float
    first: float
    later: float


def train(data: Path, run: Path, epochs: int, memory: str | None) -> Measured:
    """Train on a table in a process of its own."""
    limit = () if memory is None else ("--memory", memory)
    command = ["train", data, *TRAIN, *limit, "--epochs", str(epochs), "--target", "target", "-o", run, "--force"]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURE, *map(str, command)], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    for line in done.stdout.splitlines():
        if "streamed" in line:
            print(line)
    with (run / "history.csv").open() as file:
        first, *later = (float(row["samples_per_second"]) for row in csv.DictReader(file))
    return Measured(float(done.stderr.rsplit("peak", 1)[1]), seconds, first, median(later))


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=5.0, help="size of the files")
    parser.add_argument("--memory", default="1GB", help="memory that their data may take")
    parser.add_argument("--epochs", type=int, default=4, help="of each training, at least 2")
    parser.add_argument("--rounds", type=int, default=1, help="in each of which both are measured")
    parser.add_argument("--folder", help="where the temporary folder is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, run = Path(name), Path(name) / "run"
        rows = int(options.gigabytes * 1e9 / 8 / (COLUMNS + 1))
        if shutil.disk_usage(folder).free < 1.5e9 * options.gigabytes:
            raise SystemExit(f"{folder}: too little free space. Give another --folder, or fewer --gigabytes.")
        data = write_groups(folder / "data", rows)
        size = sum(file.stat().st_size for file in data.iterdir())
        print(f"{size / 1e9:.2f} GB, {rows:,} rows, {options.epochs} epochs")
        found: dict[str, list[Measured]] = {"in memory": [], "streamed": []}
        for _ in range(options.rounds):
            for kind, memory in (("in memory", None), ("streamed", options.memory)):
                found[kind].append(measured := train(data, run, options.epochs, memory))
                rates = f"{measured.first:,.0f} rows/s in the first epoch, {measured.later:,.0f} in later ones"
                print(
                    f"{kind}: peak {measured.peak / 1e9:.2f} GB, {measured.seconds:.0f} s in all, {rates}", flush=True
                )
    resident, streamed = (Measured(*map(median, zip(*found[kind], strict=True))) for kind in found)
    ratios = f"{streamed.first / resident.later:.2f} in the first epoch, {streamed.later / resident.later:.2f} later"
    print(f"streamed / in memory: {ratios}")


if __name__ == "__main__":
    main()
