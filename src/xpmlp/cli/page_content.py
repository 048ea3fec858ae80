"""The content of a run's page: examples and mistakes, scores, history, and how it was trained."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xpmlp.datasets import Split, class_indices
from xpmlp.errors import DataError
from xpmlp.model import Model
from xpmlp.page import PageContent
from xpmlp.training import EpochRow, Report, evaluate, predict
from xpmlp.whole_files import read_whole

from .run_folder import read_history

EXAMPLES = 24  # and as many mistakes


def content_of_run(
    model: Model,
    rows: Split | None,
    training: Split | None = None,
    history: Sequence[EpochRow] = (),
    record: Mapping[str, Any] | None = None,
) -> PageContent:
    """Return what the page of a model tells.

    Parameters
    ----------
    rows
        Test rows: for examples and scores.
    training
        Training rows: for the ranges of a table's columns.
    record
        The content of the run's ``run.json``.
    """
    data = model.training.get("data")
    name = data if isinstance(data, str) else "A"
    sizes = "-".join(map(str, model.layer_sizes))
    members = model.members or 1
    what = f"A {sizes} network" if members == 1 else f"The average of {members} {sizes} networks"
    summary, report, examples, labels = f"{what}.", None, None, ()
    if rows is not None and rows.rows:
        with contextlib.suppress(DataError):  # some models cannot be scored: several labels, several numbers
            scores = evaluate(model, rows)
            report = scores.to_json()
            kind = "images" if model.image_preprocessor else "rows"
            how = f"{100 * scores.accuracy:.2f} % of" if isinstance(scores, Report) else f"R² {scores.r2:.4f} on"
            right = " are right" if isinstance(scores, Report) else ""
            summary = f"{what}: {how} {rows.rows:,} test {kind}{right}."
        chosen = choose_examples(model, rows)
        examples, labels = rows.x[chosen], np.asarray(rows.labels)[chosen].tolist()
    return PageContent(
        title=f"{name} network",
        summary=summary,
        facts=list_facts(model, rows, record or {}),
        history=[asdict(row) for row in history],
        report=report,
        examples=examples,
        labels=labels,
        training_rows=None if training is None or model.image_preprocessor else training.x,
    )


def choose_examples(model: Model, rows: Split) -> list[int]:
    """Return some test rows, of each class in turn, then the mistakes that the network is surest of."""
    if model.task not in ("multiclass", "binary"):
        return list(range(min(EXAMPLES, rows.rows)))
    truth = class_indices(rows.labels, model.classes)
    probabilities = predict(model, rows).probabilities
    predicted = np.argmax(probabilities, axis=1)
    nth = np.zeros(rows.rows, np.int64)  # of its class
    for index in range(len(model.classes)):
        of_class = np.flatnonzero(truth == index)
        nth[of_class] = np.arange(len(of_class))
    right = np.flatnonzero(predicted == truth)
    first = right[np.lexsort((truth[right], nth[right]))][:EXAMPLES]
    wrong = np.flatnonzero(predicted != truth)
    surest = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:EXAMPLES]
    return [*first.tolist(), *surest.tolist()]


def list_facts(model: Model, rows: Split | None, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how and when a model was trained, as text. Paths are left out, because pages are shared."""

    def part(name: str) -> dict[str, Any]:
        value = record.get(name)
        return value if isinstance(value, dict) else {}

    recipe = model.training.get("recipe")
    settings = recipe if isinstance(recipe, dict) else {}
    data, compute, versions = part("data"), part("compute"), part("versions")
    seconds, finished = record.get("seconds"), record.get("finished")
    facts = {
        "Data": model.training.get("data"),
        "Training rows": data.get("train_rows"),
        "Test rows": data.get("test_rows") or (rows and rows.rows),
        "Epochs": model.training.get("epochs"),
        "Weights of epoch": model.training.get("kept_epoch"),
        "Optimizer": settings.get("optimizer"),
        "Learning rate": settings.get("learning_rate"),
        "Schedule": settings.get("schedule"),
        "Batch size": settings.get("batch_size"),
        "L2 penalty": settings.get("penalty"),
        "Seed": settings.get("seed"),
        "Trained in": f"{seconds:.1f} s" if isinstance(seconds, float) else None,
        "Finished": finished[:16].replace("T", " ") + " UTC" if isinstance(finished, str) else None,
        "Computed by": " ".join(str(compute[key]) for key in ("backend", "version") if key in compute) or None,
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()) or None,
    }
    return [
        (name, f"{value:,}" if isinstance(value, int) else str(value))
        for name, value in facts.items()
        if value is not None and value != ""
    ]


def read_run(folder: Path) -> tuple[list[EpochRow], dict[str, Any]]:
    """Return the history and the record beside a model; empty if they are not there or damaged."""
    history: list[EpochRow] = []
    record: dict[str, Any] = {}
    with contextlib.suppress(DataError):
        history = read_history(folder / "history.csv")
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(read_whole(folder / "run.json"))
        record = found if isinstance(found, dict) else {}
    return history, record
