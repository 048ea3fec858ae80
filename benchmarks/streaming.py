"""Training on a Parquet file that is larger than the memory it may take.

    python benchmarks/streaming.py

makes a file of 5 GB with 20 columns in a temporary folder, trains on it with ``--memory 1GB``, and prints the largest
resident memory of that process. Then it trains on a smaller file, in turn from memory and streamed, and prints the rows
a second of both. The files are deleted at the end.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

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


def train(data: Path, run: Path, epochs: int, memory: str | None) -> tuple[float, float, str]:
    """Train on a table, and return the largest resident memory in bytes, the rows a second, and what was printed."""
    limit = () if memory is None else ("--memory", memory)
    command = ["train", data, *TRAIN, *limit, "--epochs", str(epochs), "--target", "target", "-o", run, "--force"]
    done = subprocess.run([sys.executable, "-c", MEASURE, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    with (run / "history.csv").open() as file:
        rates = [float(row["samples_per_second"]) for row in csv.DictReader(file)]
    return float(done.stderr.rsplit("peak", 1)[1]), max(rates), done.stdout


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=5.0, help="size of the large file")
    parser.add_argument("--memory", default="1GB", help="memory that its data may take")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison with data in memory")
    parser.add_argument("--folder", help="where the temporary folder is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, run = Path(name), Path(name) / "run"
        rows = int(options.gigabytes * 1e9 / 8 / (COLUMNS + 1))
        if shutil.disk_usage(folder).free < 1.5e9 * options.gigabytes:
            raise SystemExit(f"{folder}: too little free space. Give another --folder, or fewer --gigabytes.")
        if rows:
            data = write_groups(folder / "large", rows)
            size = sum(file.stat().st_size for file in data.iterdir())
            peak, rate, printed = train(data, run, 1, options.memory)
            print(next(line for line in printed.splitlines() if "streamed" in line))
            print(f"{size / 1e9:.2f} GB, {rows:,} rows: peak {peak / 1e9:.2f} GB, {rate:,.0f} rows/s")
            shutil.rmtree(data)
        if not options.rounds:
            return
        data = write_groups(folder / "small", 4 * GROUP_ROWS)
        rates: dict[str, list[float]] = {"in memory": [], "streamed": []}
        for _ in range(options.rounds):
            for kind, memory in (("in memory", None), ("streamed", "60MB")):
                rates[kind].append(train(data, run, 3, memory)[1])
        for kind, found in rates.items():
            print(f"{kind}: {median(found):,.0f} rows/s, of {', '.join(f'{rate:,.0f}' for rate in found)}")
        print(f"ratio {median(rates['streamed']) / median(rates['in memory']):.2f}")


if __name__ == "__main__":
    main()
