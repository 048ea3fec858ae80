"""Time how long it takes from nothing to an accuracy on MNIST's test set.

    python benchmarks/time_to_accuracy.py [--data-dir FOLDER] [--target 0.9605] [--repeats 3]

96.05 % is what the notebook reached after 50 epochs. Each contender trains with simple settings that are known to
serve it: ours SGD with Nesterov's momentum, the peers Adam with a learning rate of 0.001, all with relu and 128 units.
Counted are the seconds of training alone (evaluations left out), and of the whole process from its start.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from contenders import all_contenders

import xpmlp
from xpmlp.bench import BenchSettings, workload_of
from xpmlp.bench.report import markdown_table
from xpmlp.bench.worker import Worker, WorkerError

MOST_EPOCHS = 30
OURS = BenchSettings(activation="relu", optimizer="nesterov", learning_rate=0.05, batch_size=128)
PEERS = BenchSettings(activation="relu", optimizer="adam", learning_rate=0.001, batch_size=128)
TEACHES_SGD_ONLY = ("notebook float64", "notebook float32", "JAX grad+jit+scan", "PyTorch compile")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="contenders; by default all")
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files lie; by default they are downloaded")
    parser.add_argument("--target", type=float, default=0.9605, help="accuracy on the test set")
    parser.add_argument("--repeats", type=int, default=3, help="times that each is trained, in turn, in new processes")
    arguments = parser.parse_args()

    contenders, missing = all_contenders(arguments.names or None)
    contenders = [contender for contender in contenders if contender.name not in TEACHES_SGD_ONLY]
    workload = workload_of(xpmlp.load_dataset("mnist", data_dir=arguments.data_dir))
    found: dict[str, list[tuple[int, float, float]]] = {contender.name: [] for contender in contenders}
    with tempfile.TemporaryDirectory() as folder:
        workload.save(Path(folder))
        for _ in range(arguments.repeats):
            for contender in contenders:
                print(contender.name, file=sys.stderr, flush=True)
                settings = OURS if contender.ours else PEERS
                found[contender.name].append(train_to(contender, settings, Path(folder), arguments.target))
    rows = []
    for name, runs in sorted(found.items(), key=lambda item: statistics.median(run[1] for run in item[1])):
        epochs, training, whole = (statistics.median(values) for values in zip(*runs, strict=True))
        reached = training < float("inf")
        rows.append(
            (name, f"{epochs:g}", f"{training:.2f}", f"{whole:.2f}")
            if reached
            else (name, f"not within {MOST_EPOCHS}", "", "")
        )
    columns = (f"to {100 * arguments.target:g} %", "epochs", "seconds of training", "seconds from the start")
    print("\n".join(markdown_table(columns, rows)))
    for reason in missing:
        print(f"- left out: {reason}")


def train_to(contender: object, settings: BenchSettings, folder: Path, target: float) -> tuple[int, float, float]:
    """Return the epochs, the seconds of training, and those from the start of the process; infinite where it fails."""
    started = time.perf_counter()
    judging = 0.0
    worker = Worker(contender)  # type: ignore[arg-type]
    try:
        training = 0.0
        worker.ask("prepare", folder, settings)
        for epoch in range(1, MOST_EPOCHS + 1):
            training += worker.ask("epoch")
            before = time.perf_counter()
            reached = worker.ask("accuracy") >= target
            judging += time.perf_counter() - before
            if reached:
                return epoch, training, time.perf_counter() - started - judging
    except WorkerError as error:
        print(f"{error}\n{error.details}", file=sys.stderr)
    finally:
        worker.close()
    return 0, float("inf"), float("inf")


if __name__ == "__main__":
    main()
