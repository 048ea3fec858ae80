"""Time training until the network reaches an accuracy on MNIST's test set.

    python benchmarks/time_to_accuracy.py [NAME ...] [--target 0.9605 --target 0.98] [--repeats 3] [--data-dir FOLDER]

Prints a table for each target: epochs, seconds of training, and seconds since the process started, all without
evaluation; medians of the repeats. 96.05 % is what the notebook reached after 50 epochs. All train 784-128-10 with relu
and batches of 128: our backends with Nesterov's momentum (learning rate 0.05), the peers with Adam (0.001), and the one
that is written for plain SGD with that (0.3). Ctrl-C keeps what was measured.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import machine
from candidates import find_candidates

import xpmlp
from xpmlp.bench import BenchSettings, Candidate, make_workload
from xpmlp.bench.report import markdown_table
from xpmlp.bench.worker import Worker, WorkerError
from xpmlp.errors import XpmlpError

TARGETS = (0.9605, 0.98)
MAX_EPOCHS = 30
INTERRUPTED = 130
OURS = BenchSettings(activation="relu", optimizer="nesterov", learning_rate=0.05, batch_size=128)
PEERS = BenchSettings(activation="relu", optimizer="adam", learning_rate=0.001, batch_size=128)
PLAIN_SGD = BenchSettings(activation="relu", optimizer="sgd", learning_rate=0.3, batch_size=128)
PLAIN_SGD_ONLY = ("JAX grad+jit+scan",)
LEFT_OUT = {"notebook float64": "it takes 50 epochs", "notebook float32": "it takes 50 epochs"}


class Reached(NamedTuple):
    """Epochs, seconds of training, and seconds since the process started until a target was reached."""

    epochs: int
    training: float
    whole: float


def main() -> None:
    """Measure, and print a table for each target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="candidates; by default all")
    parser.add_argument("--data-dir", type=Path, help="folder with MNIST's four files; by default downloaded")
    parser.add_argument(
        "--target", type=float, action="append", help="test accuracy; repeat for several", dest="targets"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each candidate, in turn (default: 3)")
    arguments = parser.parse_args()

    targets = sorted(set(arguments.targets or TARGETS))
    candidates, missing = find_candidates(arguments.names or None)
    missing += [f"{c.name}: {LEFT_OUT[c.name]}" for c in candidates if c.name in LEFT_OUT]
    candidates = [candidate for candidate in candidates if candidate.name not in LEFT_OUT]
    runs: dict[str, list[list[Reached | None]]] = {candidate.name: [] for candidate in candidates}
    interrupted = False
    try:
        workload = make_workload(xpmlp.load_dataset("mnist", data_dir=arguments.data_dir))
        with tempfile.TemporaryDirectory() as folder:
            workload.save(Path(folder) / "workload.npz")
            for _ in range(arguments.repeats):
                for candidate in candidates:
                    print(candidate.name, file=sys.stderr, flush=True)
                    runs[candidate.name].append(train_to(candidate, Path(folder) / "workload.npz", targets))
    except KeyboardInterrupt:
        interrupted = True
    print(f"{machine.describe()}; {arguments.repeats} repeats\n")
    for index, target in enumerate(targets):
        found = {name: [run[index] for run in done] for name, done in runs.items() if done}
        columns = (f"to {100 * target:g} %", "epochs", "seconds of training", "seconds since start")
        print("\n".join(markdown_table(columns, table_rows(found))), end="\n\n")
    for reason in missing:
        print(f"- left out: {reason}")
    if interrupted:
        print("- interrupted: medians of the completed runs")
        sys.exit(INTERRUPTED)


def table_rows(found: dict[str, list[Reached | None]]) -> list[tuple[str, ...]]:
    """Return a row of medians for each candidate, the fastest first, those that did not reach the target last."""
    medians = {
        name: Reached(*(statistics.median(values) for values in zip(*runs, strict=True)))
        for name, every in found.items()
        if len(runs := [run for run in every if run is not None]) > len(every) / 2
    }
    rows = [
        (name, f"{median.epochs:g}", f"{median.training:.2f}", f"{median.whole:.2f}")
        for name, median in sorted(medians.items(), key=lambda item: item[1].training)
    ]
    return rows + [(name, f"not within {MAX_EPOCHS}", "", "") for name in found if name not in medians]


def settings_of(candidate: Candidate) -> BenchSettings:
    """Return a candidate's settings."""
    if candidate.ours:
        return OURS
    return PLAIN_SGD if candidate.name in PLAIN_SGD_ONLY else PEERS


def train_to(candidate: Candidate, data: Path, targets: Sequence[float]) -> list[Reached | None]:
    """Train in a new process until all targets, in ascending order, are reached; return when each was, or None."""
    started = time.perf_counter()
    training = evaluating = 0.0
    found: list[Reached] = []
    try:
        worker = Worker(candidate)
        try:
            worker.request("prepare", data, settings_of(candidate))
            for epoch in range(1, MAX_EPOCHS + 1):
                training += worker.request("train")
                before = time.perf_counter()
                accuracy = worker.request("accuracy")
                evaluating += time.perf_counter() - before
                whole = time.perf_counter() - started - evaluating
                found += [Reached(epoch, training, whole) for target in targets[len(found) :] if accuracy >= target]
                if len(found) == len(targets):
                    break
        finally:
            worker.close()
    except WorkerError as error:
        print(error, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
    return [*found, *[None] * (len(targets) - len(found))]


if __name__ == "__main__":
    try:
        main()
    except XpmlpError as error:
        sys.exit(f"error: {error}")
