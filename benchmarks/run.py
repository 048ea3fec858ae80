"""Time our backends against the libraries that people would use instead, interleaved, and write it down.

    python benchmarks/run.py [--data-dir FOLDER] [--rounds 9] [--output benchmarks/results]

Needs what it compares: pip install ".[cli,torch,jax]" keras thinc. What is not installed is left out, and said.
"""

import argparse
import re
import sys
from pathlib import Path

from contenders import all_contenders

import xpmlp
from xpmlp.bench import BenchSettings, Results, workload_of
from xpmlp.bench.figures import draw_throughput
from xpmlp.bench.report import to_markdown
from xpmlp.bench.run import run_benchmark
from xpmlp.errors import XpmlpError
from xpmlp.whole_files import write_whole

INTERRUPTED = 130


def main() -> None:
    """Measure, print the table, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="contenders; by default all")
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files lie; by default they are downloaded")
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each that are timed")
    parser.add_argument("--activation", default="tanh", help="tanh, as the notebook's, or relu")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128, help="units of the hidden layer")
    parser.add_argument("--cuda", action="store_true", help="compare on a GPU")
    parser.add_argument("--output", type=Path, help="a folder for <machine>.json, .md and .png; by default none")
    parser.add_argument("--machine", help="the name of the files; by default the processor's")
    arguments = parser.parse_args()

    contenders, missing = all_contenders(arguments.names or None, cuda=arguments.cuda)
    workload = workload_of(xpmlp.load_dataset("mnist", data_dir=arguments.data_dir))
    settings = BenchSettings(
        hidden_layer_sizes=(arguments.hidden,),
        rounds=arguments.rounds,
        activation=arguments.activation,
        batch_size=arguments.batch_size,
    )
    results = run_benchmark(contenders, workload, settings, say=lambda line: print(line, file=sys.stderr, flush=True))
    page = to_markdown(results) + "".join(f"- left out: {reason}\n" for reason in missing) + accuracy_note(results)
    print(page)
    if arguments.output is not None and results.points and results.points[0].timed:
        name = arguments.machine or re.sub(r"\W+", "-", str(results.machine["processor"])).strip("-").lower()
        arguments.output.mkdir(parents=True, exist_ok=True)
        results.save(arguments.output / f"{name}.json")
        write_whole(arguments.output / f"{name}.md", page.encode())
        write_whole(arguments.output / f"{name}.png", draw_throughput(results.points[0]))
        print(f"written: {arguments.output / name}.json, .md, .png", file=sys.stderr)
    if not results.points or results.points[0].interrupted:
        sys.exit(INTERRUPTED)


def accuracy_note(results: Results) -> str:
    """Say whether everyone learned the same: after the same epochs, within a point of each other."""
    known = {m.name: m.accuracy for point in results.points for m in point.timed if m.accuracy is not None}
    if not known:
        return ""
    best = max(known.values())
    behind = [name for name, accuracy in known.items() if best - accuracy > 0.01]
    verdict = f"behind by more than a point: {', '.join(behind)}" if behind else "all within a point of each other"
    return f"- test accuracy after these epochs: {100 * best:.1f} % at best, {verdict}\n"


if __name__ == "__main__":
    try:
        main()
    except XpmlpError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted before anything was measured", file=sys.stderr)
        sys.exit(INTERRUPTED)
