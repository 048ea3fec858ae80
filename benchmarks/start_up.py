"""Measure how much CPU time short commands take, as ratios to importing NumPy and matplotlib.

    python benchmarks/start_up.py [--rounds 9]

Every round runs each command once as a process of its own. The table shows the medians of user and system time.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

NUMPY, PYPLOT = "import numpy", "import numpy, matplotlib.pyplot"
# Each command with the import that it is compared with and the largest ratio allowed.
LIMITS = {"--version": (NUMPY, 2.0), "--help": (NUMPY, 2.0), "train digits": (PYPLOT, 3.5)}


def cpu_seconds(arguments: list[str]) -> float:
    """Run Python with these arguments and return the CPU time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, metavar="NUMBER")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MPLCONFIGDIR"] = folder  # matplotlib's font cache is made once, before anything is timed
        commands = {statement: ["-c", statement] for statement in (NUMPY, PYPLOT)}
        commands |= {name: ["-m", "xpmlp", *name.split()] for name in LIMITS}
        commands["train digits"] += ["--output", str(Path(folder) / "run"), "--force"]
        for arguments in commands.values():
            cpu_seconds(arguments)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, arguments in commands.items():
                times[name].append(cpu_seconds(arguments))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| command | CPU seconds | ratio | at most |\n|---|---|---|---|")
    for name, seconds in medians.items():
        if name in LIMITS:
            base, limit = LIMITS[name]
            print(f"| `xpmlp {name}` | {seconds:.3f} | {seconds / medians[base]:.2f} × `{base}` | {limit} |")
        else:
            print(f"| `python -c '{name}'` | {seconds:.3f} | | |")


if __name__ == "__main__":
    main()
