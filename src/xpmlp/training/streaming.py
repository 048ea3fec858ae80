"""Evaluating a model on rows that are read block by block."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from xpmlp.backends import Backend
from xpmlp.datasets import Dataset, Split
from xpmlp.errors import DataError
from xpmlp.model.model import Model

from .evaluation import NOTHING, RegressionReport, Report, class_scores, evaluate


def evaluate_test_rows(model: Model, dataset: Dataset, backend: Backend | None = None) -> Report | RegressionReport:
    """Evaluate a model on all test rows of a dataset, which may be streamed."""
    if dataset.stream is None:
        return evaluate(model, dataset.test, backend=backend)
    stream = dataset.stream
    return evaluate_blocks(model, (stream.read(piece, "test") for piece in stream.pieces), backend)


def evaluate_blocks(model: Model, blocks: Iterable[Split], backend: Backend | None = None) -> Report | RegressionReport:
    """Evaluate a model on blocks of prepared rows, one after the other.

    The report is that of `evaluate` on all of them, but for the area under the ROC curve, which needs all at once.
    """
    counts, means = list[int](), list[float]()
    reports = list[Any]()
    for block in blocks:
        if block.rows:
            counts.append(block.rows)
            reports.append(evaluate(model, block, backend=backend, prepared=True))
            means.append(float(np.mean(block.labels)) if model.task == "regression" else 0.0)
    if not reports:
        raise DataError(NOTHING)
    weights = np.asarray(counts) / sum(counts)

    def mean(values: Iterable[float]) -> float:
        return float(np.dot(weights, list(values)))

    loss = mean(report.loss for report in reports)
    if isinstance(reports[0], Report):
        confusion = sum(report.confusion for report in reports)
        accuracy = float(np.trace(confusion) / confusion.sum())
        return Report(loss, accuracy, class_scores(model.classes, confusion), confusion)
    center = mean(means)
    square = mean(report.rmse**2 for report in reports)
    variance = mean(report.constant_rmse**2 + (own - center) ** 2 for report, own in zip(reports, means, strict=True))
    r2 = 1.0 - square / variance if variance > 0.0 else float(square == 0.0)
    return RegressionReport(
        loss=loss,
        r2=r2 if sum(counts) > 1 else math.nan,
        rmse=math.sqrt(square),
        mae=mean(report.mae for report in reports),
        constant_rmse=math.sqrt(variance),
        coverage=None if reports[0].coverage is None else mean(report.coverage for report in reports),
    )
