"""Time our backends and the libraries that people would use instead, in turn, on MNIST.

    python benchmarks/run.py [NAME ...] [--rounds 9] [--data-dir FOLDER] [--output benchmarks/results]

Prints a Markdown page: machine, versions, a table with seconds per epoch (median and quartiles) and accuracy, and
warnings. With --output, writes it as <machine>.md, all timings as .json and a plot as .png. Needs the peers:
pip install ".[cli,torch,jax]" keras thinc; what is not installed is left out, and listed.
"""

import argparse
import functools
import re
import sys
from pathlib import Path

from candidates import find_candidates
from roofline import format_limit, measure_ceilings

import xpmlp
from xpmlp.bench import BenchSettings, Results, make_workload, run_benchmark
from xpmlp.bench.plots import draw_throughput
from xpmlp.bench.report import COLUMNS, to_markdown
from xpmlp.errors import XpmlpError
from xpmlp.whole_files import write_whole

INTERRUPTED = 130
LEARNED = 0.5  # guessing is right one time in ten on MNIST


def main() -> None:
    """Measure, print the page, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="candidates; by default all")
    parser.add_argument("--data-dir", type=Path, help="folder with MNIST's four files; by default downloaded")
    parser.add_argument("--rounds", type=int, default=9, help="timings of each candidate (default: 9)")
    parser.add_argument("--activation", default="tanh", help="tanh, like the notebook, or relu")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128, help="hidden units (default: 128)")
    parser.add_argument("--cuda", action="store_true", help="compare on a GPU")
    parser.add_argument("--output", type=Path, help="folder for <machine>.json, .md and .png; by default none")
    parser.add_argument("--machine", help="name of the files; by default the processor's")
    arguments = parser.parse_args()

    candidates, missing = find_candidates(arguments.names or None, cuda=arguments.cuda)
    workload = make_workload(xpmlp.load_dataset("mnist", data_dir=arguments.data_dir))
    settings = BenchSettings(
        hidden_layer_sizes=(arguments.hidden,),
        rounds=arguments.rounds,
        activation=arguments.activation,
        batch_size=arguments.batch_size,
    )
    ours = [candidate.name for candidate in candidates if candidate.ours]
    ceilings = measure_ceilings(ours, "cuda" if arguments.cuda else "cpu", settings.dtype)
    results = run_benchmark(candidates, workload, settings, progress=lambda line: print(line, file=sys.stderr))
    columns = COLUMNS | {"of the limit": functools.partial(format_limit, ceilings)}
    page = to_markdown(results, columns) + "".join(f"- left out: {reason}\n" for reason in missing)
    page += describe_accuracy(results)
    print(page)
    if arguments.output is not None and results.cases and results.cases[0].timed:
        name = arguments.machine or re.sub(r"\W+", "-", str(results.machine["processor"])).strip("-").lower()
        arguments.output.mkdir(parents=True, exist_ok=True)
        write_whole(arguments.output / f"{name}.json", results.to_json().encode())
        write_whole(arguments.output / f"{name}.md", page.encode())
        write_whole(arguments.output / f"{name}.png", draw_throughput(results.cases[0]))
        print(f"saved: {arguments.output / name}.json, .md, .png", file=sys.stderr)
    if not results.cases or results.cases[0].interrupted:
        sys.exit(INTERRUPTED)


def describe_accuracy(results: Results) -> str:
    """Return whether all candidates reached about the same accuracy."""
    known = {m.name: m.accuracy for case in results.cases for m in case.timed if m.accuracy is not None}
    if not known:
        return ""
    best = max(known.values())
    behind = [name for name, accuracy in known.items() if best - accuracy > 0.01]
    if best < LEARNED:
        return f"- best test accuracy after these epochs: {100 * best:.1f} %; no candidate has learned the task\n"
    verdict = f"more than a point lower: {', '.join(behind)}" if behind else "all others within a point"
    return f"- best test accuracy after these epochs: {100 * best:.1f} %; {verdict}\n"


if __name__ == "__main__":
    try:
        main()
    except XpmlpError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted before anything was measured", file=sys.stderr)
        sys.exit(INTERRUPTED)
