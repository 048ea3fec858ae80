"""How good a model is on labelled rows: loss, accuracy and scores per class, or R² and errors for regression."""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.data import StreamedSamples
from xpmlp.data.placement import rows_on_device
from xpmlp.datasets import Dataset, Split, class_indices, one_hot
from xpmlp.errors import DataError
from xpmlp.model.model import Model
from xpmlp.nn.activations import Activations
from xpmlp.nn.ensembles import average_logits, loss_of
from xpmlp.nn.layers import Layers
from xpmlp.nn.loss_names import LossName, find_loss
from xpmlp.nn.losses import Loss
from xpmlp.nn.network import forward
from xpmlp.nn.samples import Samples
from xpmlp.notebooks import html_table
from xpmlp.plots import Picture, draw_confusion

from .inputs import as_backend, as_model, labelled_split
from .prediction import check_features, model_logits, nearest_to_median, predict, rows_at_a_time
from .progress import describe_number

CLASSES_SHOWN = 40  # in the confusion matrix of a notebook
NOTHING = "There is nothing to evaluate on: no rows, or rows that all weigh 0."


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class.

    Attributes
    ----------
    precision
        Fraction of the rows predicted as this class that belong to it.
    recall
        Fraction of this class's rows that are predicted as this class.
    f1
        Harmonic mean of both. All three are 0 where they are undefined.
    support
        Rows of this class.
    """

    label: int | str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Report:
    """Evaluation of a classifier.

    Attributes
    ----------
    loss
        Mean over the rows, without penalty.
    accuracy
        Fraction of correct predictions.
    per_class
        In the order of the model's classes.
    confusion
        Number of rows by true class (down) and predicted class (across).
    roc_auc
        Area under the ROC curve of the second of two classes; None for more classes, or if a class has no rows.
    """

    loss: float
    accuracy: float
    per_class: tuple[ClassScore, ...]
    confusion: Int64[np.ndarray, "classes classes"]
    roc_auc: float | None = None

    @property
    def score(self) -> float:
        """The accuracy."""
        return self.accuracy

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have rows, as if all were equally frequent."""
        return float(np.mean([score.recall for score in self.per_class if score.support]))

    @property
    def commonest(self) -> ClassScore:
        """The class with most rows."""
        return max(self.per_class, key=lambda score: score.support)

    @property
    def constant_accuracy(self) -> float:
        """The accuracy of always predicting the commonest class."""
        return float(self.commonest.support / self.confusion.sum())

    def plot_confusion(self, title: str = "") -> Picture:
        """Draw the confusion matrix; see `xpmlp.plots.draw_confusion`."""
        return draw_confusion(self.confusion, [score.label for score in self.per_class], title)

    def __repr__(self) -> str:
        """Return accuracy and loss."""
        rows = int(self.confusion.sum())
        return f"Report(accuracy {100 * self.accuracy:.2f} %, loss {self.loss:.4f}, {rows:,} rows)"

    def _repr_html_(self) -> str:
        names = [score.label for score in self.per_class]
        scores = [(s.label, f"{s.precision:.4f}", f"{s.recall:.4f}", f"{s.f1:.4f}", s.support) for s in self.per_class]
        mistakes = [[names[row], *(count or "·" for count in counts)] for row, counts in enumerate(self.confusion)]
        return html_table(("class", "precision", "recall", "F1", "rows"), scores, repr(self)) + (
            html_table(("", *names), mistakes, "true class (rows), predicted class (columns)")
            if len(names) <= CLASSES_SHOWN
            else ""
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        values = {"balanced_accuracy": self.balanced_accuracy, "constant_accuracy": self.constant_accuracy}
        lists = {"per_class": list(map(asdict, self.per_class)), "confusion": self.confusion.tolist()}
        return asdict(self) | values | lists


@dataclass(frozen=True)
class RegressionReport:
    """Evaluation of a regression.

    Attributes
    ----------
    loss
        Mean over the rows of the model's loss, such as half the squared error, without penalty.
    r2
        R², the fraction of the targets' variance that is explained: 1 at best, 0 for always predicting their mean,
        negative for worse; NaN for a single row.
    rmse
        Root mean squared error, in the target's unit.
    mae
        Mean absolute error, in the target's unit.
    constant_rmse
        The RMSE of always predicting the mean, whose R² is 0.
    coverage
        For predicted quantiles, the fraction of the targets between the lowest and the highest; else None. The other
        scores are then those of the quantile nearest to the median.
    """

    loss: float
    r2: float
    rmse: float
    mae: float
    constant_rmse: float = math.nan
    coverage: float | None = None

    @property
    def score(self) -> float:
        """R²."""
        return self.r2

    def __repr__(self) -> str:
        """Return R² and the errors."""
        return f"RegressionReport(R² {self.r2:.4f}, RMSE {describe_number(self.rmse)}, MAE {describe_number(self.mae)})"

    def _repr_html_(self) -> str:
        errors = (("RMSE", describe_number(self.rmse)), ("MAE", describe_number(self.mae)))
        return html_table((), (("R²", f"{self.r2:.4f}"), *errors))

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object, with null for NaN."""
        return {name: value if math.isfinite(value or 0.0) else None for name, value in asdict(self).items()}


def evaluate(
    model: Model | str | os.PathLike[str],
    data: Any,
    y: Any = None,
    *,
    backend: Backend | str | None = None,
    prepared: bool = False,
) -> Report | RegressionReport:
    """Evaluate a model on labelled rows.

    Parameters
    ----------
    model
        A model, or the path of its file.
    data
        Raw samples, as for `predict`, with their labels or targets in `y`; or data that holds them: a data frame with
        the target's column, the path of a table (if the model was trained on it, its held-out rows count), the name of
        a dataset or a `Dataset`, whose test rows count, or a `Split`.
    backend
        Where to compute: a backend or its name; NumPy by default.
    prepared
        Whether `data` is an array of inputs as the network takes them, scaled and encoded.

    Raises
    ------
    DataError
        If a label is not one of the model's classes, the samples have another number of features than the model, or
        the model has several targets.
    """
    model, backend = as_model(model), as_backend(backend)
    if isinstance(data, Dataset) and (stream := data.stream) is not None:
        parts = (replace(data, test=stream.read(piece, "test")) for piece in stream.pieces)
        return evaluate_blocks(model, (labelled_split(model, part) for part in parts), backend)
    split = labelled_split(model, data, y, prepared=prepared)
    return (evaluate_regression if model.task == "regression" else evaluate_classifier)(model, split, backend)


def evaluate_classifier(model: Model, split: Split, backend: Backend | None = None) -> Report:
    """Evaluate a binary or multiclass classifier; see `evaluate`."""
    if model.task not in ("multiclass", "binary"):
        raise DataError(f"The model is for {model.task}, not for one class out of several.")
    backend = as_backend(backend)
    check_features(model, split.x)
    if split.rows == 0:
        raise DataError(NOTHING)
    truth = class_indices(split.labels, model.classes)
    targets: Any = one_hot(split.labels, model.classes)[:, int(model.task == "binary") :]
    loss = find_loss(model.loss)
    with backend.scope():
        logits = model_logits(model, split.x, backend)
        logits = logits if model.members is None else average_logits(backend.xp, loss, logits)
        targets = backend.asarray(targets, str(model.layers[0].weight.dtype))
        losses, _ = loss.value_and_gradient(backend.xp, logits, targets)
        mean_loss = float(backend.xp.mean(losses))
        outputs = backend.to_numpy(loss.predict(backend.xp, logits))
        margins = backend.to_numpy(logits)[:, -1].astype(np.float64)
        margins = margins if model.task == "binary" else margins - backend.to_numpy(logits)[:, 0]
    predicted = (outputs[:, 0] > 0.5).astype(np.int64) if model.task == "binary" else np.argmax(outputs, axis=1)
    count = len(model.classes)
    confusion = np.bincount(truth * count + predicted, minlength=count**2).reshape(count, count).astype(np.int64)
    has_both = count == 2 and confusion.sum(axis=1).all()
    return Report(
        loss=mean_loss,
        accuracy=float(np.mean(predicted == truth)),
        per_class=class_scores(model.classes, confusion),
        confusion=confusion,
        roc_auc=area_under_roc(margins, truth == 1) if has_both else None,
    )


def class_scores(
    classes: tuple[int | str, ...], confusion: Int64[np.ndarray, "classes classes"]
) -> tuple[ClassScore, ...]:
    """Return the scores of each class."""
    hits, predictions, support = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    scores = zip(
        classes,
        (hits / np.maximum(predictions, 1)).tolist(),
        (hits / np.maximum(support, 1)).tolist(),
        (2 * hits / np.maximum(predictions + support, 1)).tolist(),
        support.tolist(),
        strict=True,
    )
    return tuple(ClassScore(*score) for score in scores)


def area_under_roc(scores: Float[np.ndarray, " rows"], positive: Bool[np.ndarray, " rows"]) -> float:
    """Return how often a positive row has a higher score than a negative one; equal scores count half.

    There are rows of both kinds.
    """
    others = np.sort(scores[~positive])
    lower, not_higher = (np.searchsorted(others, scores[positive], side) for side in ("left", "right"))
    return float(np.mean(lower + not_higher) / (2 * len(others)))


def evaluate_regression(model: Model, split: Split, backend: Backend | None = None) -> RegressionReport:
    """Evaluate a regression of a single number; see `evaluate`."""
    levels = LossName.parse(model.loss).levels
    if model.task != "regression" or len(model.output_names) != max(len(levels), 1):
        raise DataError("The model does not predict a single number, so it has no single error to report.")
    labels = predict(model, split, backend).labels.astype(np.float64)
    truth = split.labels.astype(np.float64)
    residuals = nearest_to_median(labels, levels) - truth
    square, mae = float(np.mean(residuals**2)), float(np.mean(np.abs(residuals)))
    loss = square / 2.0
    if model.loss != "squared_error":
        logits, own = model_logits(model, split.x, NumpyBackend()), loss_of(model.layers, find_loss(model.loss))
        loss = float(np.mean(own.value_and_gradient(np, logits, split.labels[:, None])[0]))
    coverage = float(np.mean((labels[:, 0] <= truth) & (truth <= labels[:, -1]))) if len(levels) > 1 else None
    return regression_report(len(truth), square, float(np.var(truth)), loss, mae, coverage)


def regression_report(
    rows: int, square: float, variance: float, loss: float, mae: float, coverage: float | None
) -> RegressionReport:
    """Return a report from the mean squared error, the variance of the targets, and other means over the rows."""
    # Constant targets have no variance to explain; by convention R² is then 1 for exact predictions, else 0.
    r2 = 1.0 - square / variance if variance > 0.0 else float(square == 0.0)
    return RegressionReport(loss, r2 if rows > 1 else math.nan, math.sqrt(square), mae, math.sqrt(variance), coverage)


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
    mae = mean(report.mae for report in reports)
    coverage = None if reports[0].coverage is None else mean(report.coverage for report in reports)
    return regression_report(sum(counts), square, variance, loss, mae, coverage)


def loss_and_accuracy(
    backend: Backend,
    layers: Layers,
    samples: Samples | StreamedSamples,
    *,
    activation: Activations,
    loss: Loss,
    weigh_accuracy: bool = True,
    combine: Callable[..., Sequence[float]] = lambda *sums: sums,
) -> tuple[float, float | None]:
    """Return a network's mean loss and accuracy, weighted by row; the accuracy is None for regression.

    Those of an ensemble are its average's. Nothing is read back from the device before all rows are computed.

    Parameters
    ----------
    layers, samples
        Arrays of `backend`, or samples streamed from the host.
    weigh_accuracy
        Whether the accuracy is weighted, too; else every row with a weight above 0 counts alike.
    combine
        Adds up the sums of several processes that each hold some of the rows.

    Raises
    ------
    DataError
        If there are no rows, or all have weight 0.
    """
    xp, loss, at_a_time = backend.xp, loss_of(layers, loss), rows_at_a_time(layers)
    loss_sums, weight_sums, correct_sums, counted_sums = [], [], [], []
    for start in range(0, samples.rows, at_a_time):
        x, targets, weight = rows_on_device(backend, samples, start, start + at_a_time)
        with backend.threads_for(layers, x.shape[-2]):
            _, logits = forward(xp, layers, x, activation)
        losses, _ = loss.value_and_gradient(xp, logits, targets)
        weight = xp.ones_like(losses) if weight is None else weight
        loss_sums.append(xp.sum(losses * weight))
        weight_sums.append(xp.sum(weight))
        if loss.is_correct is not None:
            counted = weight if weigh_accuracy else xp.astype(weight > 0.0, losses.dtype)
            correct_sums.append(xp.sum(xp.astype(loss.is_correct(xp, logits, targets), losses.dtype) * counted))
            counted_sums.append(xp.sum(counted))
    sums = (loss_sums, weight_sums, correct_sums, counted_sums)
    losses, total, correct, counted = combine(*(sum(map(float, parts), 0.0) for parts in sums))
    if total == 0.0:
        raise DataError(NOTHING)
    return losses / total, None if loss.is_correct is None else correct / counted
