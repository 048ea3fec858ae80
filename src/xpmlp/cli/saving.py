"""What a run of ``xpmlp train`` leaves in its folder, and says at its end."""

import json
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from xpmlp.backends import Backend
from xpmlp.datasets import Dataset
from xpmlp.environment import describe_machine, describe_versions
from xpmlp.model.model import Model
from xpmlp.model.model_file import model_to_bytes
from xpmlp.training import (
    FitResult,
    Recipe,
    RegressionReport,
    Report,
    evaluate_classifier,
    evaluate_regression,
    history_to_csv,
    make_model,
)

from .pictures import run_pictures
from .progress import describe_loss, describe_seconds
from .run_folder import LAST_MODEL, RunFolder


def save_run(
    console: Console,
    folder: RunFolder,
    dataset: Dataset,
    settings: Recipe,
    result: FitResult,
    backend: Backend,
    last: FitResult | None = None,
) -> None:
    """Write a run's files and say what it came to. The model is first: whatever happens then, it is safe.

    Parameters
    ----------
    last
        The network after the last epoch, where the result's is that of a better one.

    Raises
    ------
    OutputError
        Naming what could not be written, after everything else was.
    """
    model = make_model(dataset, settings, result)
    folder.save("model.safetensors", lambda: model_to_bytes(model))
    if last is not None:
        folder.save(LAST_MODEL, lambda: model_to_bytes(make_model(dataset, settings, last)))
    folder.save("history.csv", lambda: history_to_csv(result.history).encode())
    if result.stop_reason is not None:
        console.print(f"stopped after epoch {len(result.history)}: {result.stop_reason}", style="yellow")
    if result.kept_epoch != len(result.history):
        console.print(f"the weights are those of epoch {result.kept_epoch}, the best", style="yellow")
    if model.task == "regression":
        finish_regression(console, folder, dataset, settings, result, model, backend)
    else:
        finish_classification(console, folder, dataset, settings, result, model, backend)
    for file, draw in run_pictures(model, result.history, dataset.test, dataset.name, backend).drawn.items():
        folder.save(file, draw)
    folder.finish()
    console.print(Text.assemble("saved in ", (str(folder.path), "bold"), f": {', '.join(folder.saved)}"))


def finish_classification(
    console: Console,
    folder: RunFolder,
    dataset: Dataset,
    settings: Recipe,
    result: FitResult,
    model: Model,
    backend: Backend,
) -> None:
    """Judge a classifier, and save what shows how good it is."""
    judged = evaluate_classifier(model, dataset.test, backend)
    score = f"test accuracy {100 * judged.accuracy:.2f} %"
    console.print(
        Text.assemble(
            (score, "bold"), f", test loss {describe_loss(judged.loss)}, {describe_seconds(result.seconds)} to train"
        )
    )
    if judged.accuracy <= judged.confusion.sum(axis=1).max() / judged.confusion.sum():
        console.print(
            "That is no better than always answering the commonest class. Try another learning rate, or more epochs.",
            style="yellow",
        )
    folder.save("run.json", lambda: describe_run(dataset, settings, result, model, judged, backend))


def finish_regression(
    console: Console,
    folder: RunFolder,
    dataset: Dataset,
    settings: Recipe,
    result: FitResult,
    model: Model,
    backend: Backend,
) -> None:
    """Judge a regression, and save what shows how good it is."""
    judged = evaluate_regression(model, dataset.test, backend)
    score = f"test R² {judged.r2:.4f}"
    console.print(
        Text.assemble(
            (score, "bold"),
            f", RMSE {judged.rmse:.4g}, MAE {judged.mae:.4g}, {describe_seconds(result.seconds)} to train",
        )
    )
    if judged.r2 <= 0.0:
        console.print(
            "That is no better than always answering the mean. Try another learning rate, or more epochs.",
            style="yellow",
        )
    folder.save("run.json", lambda: describe_run(dataset, settings, result, model, judged, backend))


def describe_run(
    dataset: Dataset,
    settings: Recipe,
    result: FitResult,
    model: Model,
    judged: Report | RegressionReport,
    backend: Backend,
) -> bytes:
    """Return the record of a run: all that one needs to repeat it, and what it came to."""
    scores = {"accuracy": judged.accuracy, "loss": judged.loss} if isinstance(judged, Report) else judged.to_json()
    record: dict[str, Any] = {f"test_{name}": value for name, value in scores.items()}
    record |= {
        "seconds": result.seconds,
        "epochs": len(result.history),
        "kept_epoch": result.kept_epoch,
        "stop_reason": result.stop_reason,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "name": dataset.name,
            "source": dataset.source,
            "provenance": None if dataset.provenance is None else dataset.provenance.to_json(),
            "task": dataset.task,
            "train_rows": dataset.train.rows,
            "test_rows": dataset.test.rows,
            "notes": list(dataset.notes),
        },
        "settings": settings.to_json(),
        "layer_sizes": list(model.layer_sizes),
        "compute": backend.describe(),
        "versions": describe_versions(),
        "machine": describe_machine(),
    }
    if dataset.table_schema is not None:
        form = dataset.table_schema
        record["data"] |= {"target": form.target, "columns": len(form.columns), "split": dataset.split}
        record["data"] |= {"missing": form.missing, "scaling": form.scaling}
    return (json.dumps(record, indent=2) + "\n").encode()
