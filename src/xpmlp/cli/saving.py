"""The files that ``xpmlp train`` writes at the end of a run, and its last lines of output."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from xpmlp.backends import Backend
from xpmlp.datasets import Dataset
from xpmlp.environment import describe_machine, describe_versions
from xpmlp.model.model import Model
from xpmlp.model.model_file import model_to_bytes
from xpmlp.page import to_page
from xpmlp.training import FitResult, Recipe, RegressionReport, Report, evaluate, history_to_csv, make_model
from xpmlp.training.baseline import describe_baselines, linear_score
from xpmlp.training.progress import describe_loss, describe_number

from .console import describe_seconds
from .figures import run_figures
from .page_content import content_of_run
from .run_folder import LAST_MODEL, PAGE, RunFolder

NOTEWORTHY = 0.05  # difference of two accuracies


def save_run(
    console: Console,
    folder: RunFolder,
    dataset: Dataset,
    settings: Recipe,
    result: FitResult,
    backend: Backend,
    last: FitResult | None = None,
    hosts: Sequence[str] = (),
    *,
    folds: Sequence[float] = (),
    page: bool = False,
) -> None:
    """Write a run's files, the model first, and print its scores.

    If `result` is that of a better epoch, `last` is the last one's. `hosts` has the machine of each process, if there
    were several, and `folds` the scores of cross-validation. With `page`, the files include a page. A file that cannot
    be written costs no other.
    """
    model = make_model(dataset, settings, result)
    folder.save("model.safetensors", lambda: model_to_bytes(model))
    if last is not None:
        folder.save(LAST_MODEL, lambda: model_to_bytes(make_model(dataset, settings, last)))
    folder.save("history.csv", lambda: history_to_csv(result.history).encode())
    if result.stop_reason is not None:
        console.print(f"stopped after epoch {len(result.history)}: {result.stop_reason}", style="yellow")
    if result.kept_epoch != len(result.history):
        chosen_by = "test" if dataset.validation is dataset.test else "validation"
        message = f"the weights are those of epoch {result.kept_epoch}, the best on the {chosen_by} rows"
        console.print(message, style="yellow")
    report = evaluate(model, dataset, backend=backend)
    print_scores(console, report, result.seconds, is_weighted=settings.class_weight != "none")
    # Not of pictures: importing scikit-learn for it would take longer than training on the digits.
    linear = linear_score(dataset.train, dataset.test, dataset.classes) if dataset.table_schema else None
    console.print(describe_baselines(report, linear))
    scores = {name: value for name, value in report.to_json().items() if name not in ("per_class", "confusion")}
    record = {f"test_{name}": value for name, value in scores.items()} | {"test_linear_model": linear}
    record |= describe_run(dataset, settings, result, model, backend)
    if hosts:
        record["compute"] |= {"processes": len(hosts), "hosts": sorted(set(hosts))}
    if folds:
        record["folds"] = list(folds)
    folder.save("run.json", lambda: (json.dumps(record, indent=2) + "\n").encode())
    for file, draw in run_figures(model, result.history, dataset.test, dataset.name, backend).items():
        if callable(draw):
            folder.save(file, draw)
    if page:
        rows, history = (dataset.test, dataset.train), result.history
        folder.save(PAGE, lambda: to_page(model, content_of_run(model, *rows, history, record)))
    folder.finish()
    console.print(Text.assemble("saved in ", (str(folder.path), "bold"), f": {', '.join(folder.saved)}"))


def print_scores(console: Console, report: Report | RegressionReport, seconds: float, *, is_weighted: bool) -> None:
    """Print how good the model is, with a warning if a constant prediction is as good."""
    if isinstance(report, Report):
        score, loss = f"test accuracy {100 * report.accuracy:.2f} %", f"test loss {describe_loss(report.loss)}"
        loss += " without class weights" if is_weighted else ""
        loss = loss if report.roc_auc is None else f"ROC AUC {report.roc_auc:.4f}, {loss}"
        if abs(report.balanced_accuracy - report.accuracy) > NOTEWORTHY:
            loss = f"balanced accuracy {100 * report.balanced_accuracy:.2f} %, {loss}"
        constant, remedy = "the most common class", "more epochs, or --class-weight balanced"
        chance = 1.0 / sum(score.support > 0 for score in report.per_class)
        is_useful = report.accuracy > report.constant_accuracy or report.balanced_accuracy > chance + NOTEWORTHY
    else:
        score = f"test R² {report.r2:.4f}"
        loss = f"RMSE {describe_number(report.rmse)}, MAE {describe_number(report.mae)}"
        if report.coverage is not None:
            loss += f", {100 * report.coverage:.1f} % of the targets inside the predicted interval"
        constant, remedy = "the mean", "or more epochs"
        is_useful = not report.r2 <= 0.0
    console.print(Text.assemble((score, "bold"), f", {loss}, trained in {describe_seconds(seconds)}"))
    if not is_useful:
        console.print(
            f"That is no better than always predicting {constant}. Try another learning rate, {remedy}.", style="yellow"
        )


def describe_run(
    dataset: Dataset, settings: Recipe, result: FitResult, model: Model, backend: Backend
) -> dict[str, Any]:
    """Return what run.json holds beside the scores: the settings and versions to repeat the run with."""
    record: dict[str, Any] = {
        "seconds": result.seconds,
        "epochs": len(result.history),
        "kept_epoch": result.kept_epoch,
        "stop_reason": result.stop_reason,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "name": dataset.name,
            "source": dataset.source,
            "provenance": dataset.provenance and asdict(dataset.provenance),
            "task": dataset.task,
            "train_rows": dataset.train_rows,
            "validation_rows": dataset.validation_rows,
            "test_rows": dataset.test_rows,
            "notes": list(dataset.notes),
        },
        "settings": settings.to_json(),
        "layer_sizes": list(model.layer_sizes),
        "compute": backend.describe() | ({} if result.threads is None else {"threads": result.threads}),
        "versions": describe_versions(),
        "machine": describe_machine(),
    }
    if dataset.stream is not None:
        record["data"]["memory"] = dataset.stream.memory
    if dataset.table_schema is not None:
        schema = dataset.table_schema
        record["data"] |= {"target": schema.target, "columns": len(schema.columns), "split": dataset.split}
        record["data"] |= {"missing": schema.missing, "scaling": schema.scaling}
    return record
