"""Time how long it takes from nothing to an accuracy on MNIST's test set.

    python benchmarks/time_to_accuracy.py [--data-dir FOLDER] [--target 0.9605 --target 0.98] [--repeats 3]

96.05 % is what the notebook reached after 50 epochs. Each contender trains with simple settings that are known to
serve it: ours SGD with Nesterov's momentum, the peers Adam with a learning rate of 0.001 or, where they are written for
plain SGD, that with 0.3; all with relu and 128 units. Counted are the seconds of training alone (evaluations left out),
and of the whole process from its start. Ctrl-C ends it with what there is.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from contenders import all_contenders

import xpmlp
from xpmlp.bench import BenchSettings, Contender, workload_of
from xpmlp.bench.report import markdown_table
from xpmlp.bench.worker import Worker, WorkerError
from xpmlp.errors import XpmlpError

TARGETS = (0.9605, 0.98)
MOST_EPOCHS = 30
INTERRUPTED = 130
OURS = BenchSettings(activation="relu", optimizer="nesterov", learning_rate=0.05, batch_size=128)
PEERS = BenchSettings(activation="relu", optimizer="adam", learning_rate=0.001, batch_size=128)
PLAIN_SGD = BenchSettings(activation="relu", optimizer="sgd", learning_rate=0.3, batch_size=128)
PLAIN_SGD_ONLY = ("JAX grad+jit+scan",)
NOT_ASKED = {  # who has nothing to be timed for here, and why
    "notebook float64": "it sets the mark: 50 epochs",
    "notebook float32": "as in float64",
}


class Reached(NamedTuple):
    """When a contender reached a target: after so many epochs, seconds of training, and seconds of the process."""

    epochs: int
    training: float
    whole: float


def main() -> None:
    """Measure, and print a table for each target."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="contenders; by default all")
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files lie; by default they are downloaded")
    parser.add_argument(
        "--target", type=float, action="append", help="accuracy on the test set; repeat it for several", dest="targets"
    )
    parser.add_argument("--repeats", type=int, default=3, help="times that each is trained, in turn, in new processes")
    arguments = parser.parse_args()

    targets = sorted(set(arguments.targets or TARGETS))
    contenders, missing = all_contenders(arguments.names or None)
    missing += [f"{c.name}: {NOT_ASKED[c.name]}" for c in contenders if c.name in NOT_ASKED]
    contenders = [contender for contender in contenders if contender.name not in NOT_ASKED]
    runs: dict[str, list[list[Reached | None]]] = {contender.name: [] for contender in contenders}
    interrupted = False
    try:
        workload = workload_of(xpmlp.load_dataset("mnist", data_dir=arguments.data_dir))
        with tempfile.TemporaryDirectory() as folder:
            workload.save(Path(folder))
            for _ in range(arguments.repeats):
                for contender in contenders:
                    print(contender.name, file=sys.stderr, flush=True)
                    runs[contender.name].append(train_to(contender, Path(folder), targets))
    except KeyboardInterrupt:
        interrupted = True
    for index, target in enumerate(targets):
        found = {name: [run[index] for run in done] for name, done in runs.items() if done}
        columns = (f"to {100 * target:g} %", "epochs", "seconds of training", "seconds from the start")
        print("\n".join(markdown_table(columns, table_rows(found))), end="\n\n")
    for reason in missing:
        print(f"- left out: {reason}")
    if interrupted:
        print("- interrupted: medians of the runs that were over")
        sys.exit(INTERRUPTED)


def table_rows(found: dict[str, list[Reached | None]]) -> list[tuple[str, ...]]:
    """Return a row of medians for each contender, the quickest first, those that did not get there last."""
    medians = {
        name: Reached(*(statistics.median(values) for values in zip(*runs, strict=True)))
        for name, every in found.items()
        if len(runs := [run for run in every if run is not None]) > len(every) / 2
    }
    rows = [
        (name, f"{median.epochs:g}", f"{median.training:.2f}", f"{median.whole:.2f}")
        for name, median in sorted(medians.items(), key=lambda item: item[1].training)
    ]
    return rows + [(name, f"not within {MOST_EPOCHS}", "", "") for name in found if name not in medians]


def settings_of(contender: Contender) -> BenchSettings:
    """Return the settings that are known to serve a contender."""
    if contender.ours:
        return OURS
    return PLAIN_SGD if contender.name in PLAIN_SGD_ONLY else PEERS


def train_to(contender: Contender, folder: Path, targets: Sequence[float]) -> list[Reached | None]:
    """Train in a new process until all targets, which rise, are reached; return when each was, None where not."""
    started = time.perf_counter()
    training = judging = 0.0
    found: list[Reached] = []
    try:
        worker = Worker(contender)
        try:
            worker.ask("prepare", folder, settings_of(contender))
            for epoch in range(1, MOST_EPOCHS + 1):
                training += worker.ask("epoch")
                before = time.perf_counter()
                accuracy = worker.ask("accuracy")
                judging += time.perf_counter() - before
                whole = time.perf_counter() - started - judging
                found += [Reached(epoch, training, whole) for target in targets[len(found) :] if accuracy >= target]
                if len(found) == len(targets):
                    break
        finally:
            worker.close()
    except WorkerError as error:
        print(f"{error}\n{error.details}", file=sys.stderr)
    return [*found, *[None] * (len(targets) - len(found))]


if __name__ == "__main__":
    try:
        main()
    except XpmlpError as error:
        sys.exit(f"error: {error}")
