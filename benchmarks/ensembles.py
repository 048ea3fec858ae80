"""Measure the benefit of an ensemble on tables, in accuracy, log-loss and calibration, and its cost.

    python benchmarks/ensembles.py --output RESULTS.jsonl

The tables and their rows are those of ``tables.py``. Every ensemble is trained with ``xpmlp.train`` and its defaults;
its first network is the one that the same seed trains alone, to which the ensemble is compared. ``calibration`` is the
expected calibration error: how far the fraction of correct predictions is from their probability, in ten bins of
probability. Times are CPU seconds of reading and training.

Each measurement is added to the output when it is done, and measurements that are there are not repeated.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
from tables import TABLES, TARGET, keep, read, read_results, split

import xpmlp
from xpmlp.bench.report import markdown_table
from xpmlp.nn.layers import Layer

BINS = 10


def calibration_error(model: Any, inputs: Any, truth: Any) -> float:
    """Return the expected calibration error (Guo et al. 2017)."""
    prediction = xpmlp.predict(model, inputs)
    confidence, is_right = prediction.probabilities.max(axis=1), prediction.labels.astype(str) == truth.astype(str)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == b].sum() - is_right[bins == b].sum()) for b in range(BINS)]
    return float(sum(gaps) / len(truth))


def measure(name: str, seed: int, members: int) -> dict[str, Any]:
    """Return the scores of an ensemble and of its first network, and the CPU seconds of each."""
    is_regression = TABLES[name].is_regression
    train, test = split(read(name), seed, stratify=not is_regression)
    result: dict[str, Any] = {"table": name, "seed": seed, "members": members}
    with tempfile.TemporaryDirectory() as folder:
        path, test_path = Path(folder) / "train.csv", Path(folder) / "test.csv"
        train.to_csv(path, index=False)
        test.to_csv(test_path, index=False)
        task = "regression" if is_regression else "classification"
        options: dict[str, Any] = {"target": TARGET, "task": task, "test": test_path, "seed": seed, "verbose": False}
        for count in (1, members):
            began = time.process_time()
            model, _ = xpmlp.train(path, ensemble=count, **options)
            result[f"seconds_of_{count}"] = time.process_time() - began
        first = replace(model, layers=tuple(Layer(*(array[0] for array in layer)) for layer in model.layers))
        for kind, network in (("one", first), ("ensemble", model)):
            report: Any = xpmlp.evaluate(network, str(test_path))
            result[f"loss_{kind}"] = report.loss
            result[f"score_{kind}"] = report.r2 if is_regression else report.accuracy
            if not is_regression:
                error = calibration_error(network, test.drop(columns=TARGET), test[TARGET].to_numpy())
                result[f"calibration_{kind}"] = error
    return result


def report(results: list[dict[str, Any]], members: int) -> Iterator[str]:
    """Yield the lines of the table of means over the seeds, each as one network → ensemble, and a summary."""
    rows, better, ratios = [], 0, []
    for name in TABLES:
        found = [result for result in results if result["table"] == name and result["members"] == members]
        if not found:
            continue
        mean = {key: float(np.mean([result[key] for result in found])) for key in found[0] if key != "table"}
        ratios.append(mean[f"seconds_of_{members}"] / mean["seconds_of_1"])
        better += mean["loss_ensemble"] < mean["loss_one"]
        cells = [f"{mean[f'{what}_one']:.3f} → {mean[f'{what}_ensemble']:.3f}" for what in ("score", "loss")]
        if TABLES[name].is_regression:
            cells[1] = f"{100 * (mean['loss_ensemble'] / mean['loss_one'] - 1):+.1f} %"
            cells.append("")
        else:
            cells.append(f"{mean['calibration_one']:.3f} → {mean['calibration_ensemble']:.3f}")
        rows.append((name, "R²" if TABLES[name].is_regression else "accuracy", *cells, f"{ratios[-1]:.1f} ×"))
    yield from markdown_table(("table", "", "score", "loss", "calibration error", "CPU time"), rows)
    yield f"\nThe ensemble of {members} has the lower loss on {better} of {len(rows)} tables."


def main() -> None:
    """Make the measurements that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="RESULTS.jsonl", help="measurements, one a line")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--members", type=int, default=8, help="networks of an ensemble (default: 8)")
    arguments = parser.parse_args()
    results = read_results(arguments.output)
    done = {(row["table"], row["seed"], row["members"]) for row in results}
    for seed in range(arguments.seeds):
        for name in arguments.tables:
            if (name, seed, arguments.members) in done:
                continue
            keep(measure(name, seed, arguments.members), results, arguments.output)
            sys.stderr.write(f"{name}, seed {seed}\n")
    sys.stdout.write(f"{machine.describe()}; {arguments.seeds} seeds\n\n")
    sys.stdout.write("\n".join(report(results, arguments.members)) + "\n")


if __name__ == "__main__":
    main()
