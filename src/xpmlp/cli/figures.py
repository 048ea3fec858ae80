"""The figures of a run."""

from collections.abc import Callable, Sequence

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
NO_IMAGES = "the samples are not images"
MOST_CLASSES = 100  # in a confusion matrix; more names would overlap


# For each file of a run, what draws it as a PNG, or the reason that it is not drawn.
Figures = dict[str, Callable[[], bytes] | str]


def run_figures(
    model: Model,
    history: Sequence[EpochRow],
    rows: Split | None,
    name: str,
    backend: Backend | None = None,
    *,
    why_no_rows: str = "there are no test rows",
) -> Figures:
    """Return the figures of a run on the data of that name, with curves if there is a history, and of these test rows.

    Parameters
    ----------
    why_no_rows
        The reason given if there are no test rows.
    """
    of_rows, make = (REGRESSION, regression_figures) if model.task == "regression" else (CLASSIFICATION, class_figures)
    title, figures = name, Figures(dict.fromkeys(of_rows, why_no_rows))
    if rows is not None and len(rows.x):
        title, figures = make(model, rows, name, backend)
    figures |= {"curves.png": "there is no history", "weights.png": NO_IMAGES}
    if history:
        # The losses of earlier versions have no unit.
        loss = LOSS_NAMES.get(model.loss, "loss") if history[0].train_loss is not None else "loss"
        figures["curves.png"] = lambda: plots.draw_curves(history, title, kept_epoch(model), loss)
    if is_image_shape(model.input_shape):
        figures["weights.png"] = lambda: model.plot_weights(title)
    return {file: figures[file] for file in FIGURES if file in figures}


def kept_epoch(model: Model) -> int | None:
    """Return the epoch of a model's weights, if it is recorded."""
    kept = model.training.get("kept_epoch")  # read from a file, it may have any type
    return kept if isinstance(kept, int) else None


def class_figures(model: Model, rows: Split, name: str, backend: Backend | None) -> tuple[str, Figures]:
    """Return the title of a classifier's figures, and those of its test rows."""
    if model.task == "multilabel":
        return name, dict.fromkeys(CLASSIFICATION, "a row may have several classes")
    prediction = predict(model, rows.x, backend, prepared=True)
    probabilities, classes, count = prediction.probabilities, model.classes, len(model.classes)
    truth, predicted = class_indices(rows.labels, classes), np.argmax(probabilities, axis=1)
    is_correct, confidence = predicted == truth, probabilities.max(axis=1)
    title = f"{name}: {100 * is_correct.mean():.2f} % accuracy on {len(rows.x):,} test rows"
    figures: Figures = {
        "gallery.png": NO_IMAGES,
        "mistakes.png": NO_IMAGES,
        "confusion.png": f"a matrix of {count:,} classes would be unreadable",
        "calibration.png": lambda: plots.draw_calibration(confidence, is_correct, title),
    }
    if is_image_shape(model.input_shape):
        images, labels = rows.x.reshape(-1, *model.input_shape), np.asarray(rows.labels)
        figures["gallery.png"] = lambda: plots.draw_gallery(images, labels, prediction.labels, confidence, title)
        figures["mistakes.png"] = lambda: plots.draw_mistakes(images, truth, probabilities, classes, title)
        if is_correct.all():
            figures["mistakes.png"] = "there are no mistakes"
    if count <= MOST_CLASSES:
        confusion = np.bincount(truth * count + predicted, minlength=count**2).reshape(count, count).astype(np.int64)
        figures["confusion.png"] = lambda: plots.draw_confusion(confusion, classes, title)
    return title, figures


def regression_figures(model: Model, rows: Split, name: str, backend: Backend | None) -> tuple[str, Figures]:
    """Return the title of a regression's figures, and those of its test rows."""
    levels = LossName.parse(model.loss).levels
    if len(model.output_names) != max(len(levels), 1):
        return name, dict.fromkeys(REGRESSION, "several numbers are predicted at once")
    predicted = nearest_to_median(predict(model, rows.x, backend, prepared=True).labels.astype(np.float64), levels)
    truth = rows.labels.astype(np.float64)
    # The column that is predicted, whichever of its quantiles is drawn.
    target = model.output_names[0].removesuffix(f"_q{100 * levels[0]:g}" if levels else "")
    score = f"R² {evaluate_regression(model, rows, backend).r2:.4f} on " if len(truth) > 1 else ""
    title = f"{name}: {score}{len(truth):,} test row{'s' if len(truth) > 1 else ''}"
    return title, {
        "predicted.png": lambda: plots.draw_predicted(truth, predicted, target, title),
        "residuals.png": lambda: plots.draw_residuals(truth, predicted, target, title),
    }
