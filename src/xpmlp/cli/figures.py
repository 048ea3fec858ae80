"""The figures of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from xpmlp import plots
from xpmlp.backends import Backend
from xpmlp.datasets import Split, class_indices
from xpmlp.model.model import Model, is_image_shape
from xpmlp.nn.loss_names import LossName
from xpmlp.training import EpochRow, evaluate_regression, predict
from xpmlp.training.prediction import nearest_to_median

CLASSIFICATION = ("gallery.png", "mistakes.png", "confusion.png", "calibration.png")
REGRESSION = ("predicted.png", "residuals.png")
FIGURES = ("curves.png", *CLASSIFICATION, "weights.png", *REGRESSION)
LOSS_NAMES = {"squared_error": "loss: half the squared error", "poisson": "loss: half the Poisson deviance"}
MOST_CLASSES = 100  # in a confusion matrix; more names would overlap


@dataclass(frozen=True)
class RunFigures:
    """The figures of a run."""

    drawn: dict[str, Callable[[], bytes]] = field(default_factory=dict)  # for each file, what draws it as a PNG
    omitted: dict[str, str] = field(default_factory=dict)  # for each of the others, why it is not drawn

    def omit(self, names: Sequence[str], reason: str) -> None:
        """Say why some figures are not drawn."""
        self.omitted.update(dict.fromkeys(names, reason))


def run_figures(
    model: Model,
    history: Sequence[EpochRow],
    rows: Split | None,
    name: str,
    backend: Backend | None = None,
    *,
    why_no_rows: str = "there are no test rows",
) -> RunFigures:
    """Return the figures of a run on the data of that name, with curves if there is a history, and of these test rows.

    Parameters
    ----------
    why_no_rows
        The reason given if there are no test rows.
    """
    figures = RunFigures()
    title = name
    if rows is None or not len(rows.x):
        figures.omit(REGRESSION if model.task == "regression" else CLASSIFICATION, why_no_rows)
    elif model.task == "regression":
        title = add_regression(figures, model, rows, name, backend)
    elif model.task == "multilabel":
        figures.omit(CLASSIFICATION, "a row may have several classes")
    else:
        title = add_classification(figures, model, rows, name, backend)
    if history:
        # The losses of earlier versions have no unit.
        loss = LOSS_NAMES.get(model.loss, "loss") if history[0].train_loss is not None else "loss"
        figures.drawn["curves.png"] = lambda: plots.draw_curves(history, title, kept_epoch(model), loss)
    else:
        figures.omit(["curves.png"], "there is no history")
    if is_image_shape(model.input_shape):
        figures.drawn["weights.png"] = lambda: model.plot_weights(title)
    else:
        figures.omit(["weights.png"], "the samples are not images")
    return RunFigures({file: figures.drawn[file] for file in FIGURES if file in figures.drawn}, figures.omitted)


def kept_epoch(model: Model) -> int | None:
    """Return the epoch of a model's weights, if it is recorded."""
    kept = model.training.get("kept_epoch")  # read from a file, it may have any type
    return kept if isinstance(kept, int) else None


def add_classification(figures: RunFigures, model: Model, rows: Split, name: str, backend: Backend | None) -> str:
    """Add the figures of a classifier; return the title of all figures."""
    prediction = predict(model, rows.x, backend, prepared=True)
    truth = class_indices(rows.labels, model.classes)
    predicted = np.argmax(prediction.probabilities, axis=1)
    is_correct = predicted == truth
    confidence = prediction.probabilities.max(axis=1)
    title = f"{name}: {100 * is_correct.mean():.2f} % accuracy on {len(rows.x):,} test rows"
    count = len(model.classes)
    if count <= MOST_CLASSES:
        confusion = np.bincount(truth * count + predicted, minlength=count**2).reshape(count, count).astype(np.int64)
        figures.drawn["confusion.png"] = lambda: plots.draw_confusion(confusion, model.classes, title)
    else:
        figures.omit(["confusion.png"], f"a matrix of {count:,} classes would be unreadable")
    figures.drawn["calibration.png"] = lambda: plots.draw_calibration(confidence, is_correct, title)
    if not is_image_shape(model.input_shape):
        figures.omit(["gallery.png", "mistakes.png"], "the samples are not images")
        return title
    images = rows.x.reshape(-1, *model.input_shape)
    labels = np.asarray(rows.labels)
    figures.drawn["gallery.png"] = lambda: plots.draw_gallery(images, labels, prediction.labels, confidence, title)
    if is_correct.all():
        figures.omit(["mistakes.png"], "there are no mistakes")
    else:
        figures.drawn["mistakes.png"] = lambda: plots.draw_mistakes(
            images, truth, prediction.probabilities, model.classes, title
        )
    return title


def add_regression(figures: RunFigures, model: Model, rows: Split, name: str, backend: Backend | None) -> str:
    """Add the figures of a regression; return the title of all figures."""
    levels = LossName.parse(model.loss).levels
    if len(model.output_names) != max(len(levels), 1):
        figures.omit(REGRESSION, "several numbers are predicted at once")
        return name
    predicted = nearest_to_median(predict(model, rows.x, backend, prepared=True).labels.astype(np.float64), levels)
    truth = rows.labels.astype(np.float64)
    # The column that is predicted, whichever of its quantiles is drawn.
    target = model.output_names[0].removesuffix(f"_q{100 * levels[0]:g}" if levels else "")
    score = f"R² {evaluate_regression(model, rows, backend).r2:.4f} on " if len(truth) > 1 else ""
    title = f"{name}: {score}{len(truth):,} test row{'s' if len(truth) > 1 else ''}"
    figures.drawn["predicted.png"] = lambda: plots.draw_predicted(truth, predicted, target, title)
    figures.drawn["residuals.png"] = lambda: plots.draw_residuals(truth, predicted, target, title)
    return title
