"""All pictures of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from xpmlp import plots
from xpmlp.backends import Backend
from xpmlp.datasets import Split, class_indices
from xpmlp.model.model import Model
from xpmlp.training import EpochRow, predict

PICTURES = (
    *("curves.png", "gallery.png", "mistakes.png", "confusion.png", "calibration.png", "weights.png"),
    *("predicted.png", "residuals.png"),
)
MOST_CLASSES = 100  # in a confusion matrix; names of more would run into each other


@dataclass(frozen=True)
class RunPictures:
    """The pictures of a run, which are drawn as they are asked for.

    Attributes
    ----------
    drawn
        For each picture's file name, what returns it as a PNG.
    left_out
        For each of the others that one might look for, why it is not there.
    """

    drawn: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def run_pictures(
    model: Model,
    history: Sequence[EpochRow],
    rows: Split | None,
    name: str,
    backend: Backend | None = None,
    *,
    why_no_rows: str = "there are no test rows",
) -> RunPictures:
    """Return all pictures that can be drawn of a run, and why the others cannot.

    Parameters
    ----------
    history
        Of the run; none for no curves.
    rows
        The labelled rows to judge on, as the network sees them.
    name
        What the data is called.
    backend
        Where to compute; by default NumPy.
    why_no_rows
        What to say where there are no rows.
    """
    pictures = RunPictures()
    if rows is None or not len(rows.x):
        judged = ("predicted.png", "residuals.png") if model.task == "regression" else PICTURES[1:5]
        pictures.left_out.update(dict.fromkeys(judged, why_no_rows))
        title = name
    elif model.task == "regression":
        title = add_numbers(pictures, model, rows, name, backend)
    elif model.task == "multilabel":
        pictures.left_out.update(dict.fromkeys(PICTURES[1:5], "several classes may be right at once"))
        title = name
    else:
        title = add_classes(pictures, model, rows, name, backend)
    if history:
        pictures.drawn["curves.png"] = lambda: plots.draw_curves(history, title, kept_epoch(model))
    else:
        pictures.left_out["curves.png"] = "there is no history"
    add_weights(pictures, model, title)
    return RunPictures({file: pictures.drawn[file] for file in PICTURES if file in pictures.drawn}, pictures.left_out)


def kept_epoch(model: Model) -> int | None:
    """Return the epoch whose weights a model has, where it tells."""
    kept = model.training.get("kept_epoch")  # out of a file, it may be of any type
    return kept if isinstance(kept, int) else None


def add_classes(pictures: RunPictures, model: Model, rows: Split, name: str, backend: Backend | None) -> str:
    """Add what shows how well classes are told apart, and return the pictures' title."""
    prediction = predict(model, rows.x, backend)
    truth = class_indices(rows.labels, model.classes)
    taken = np.argmax(prediction.probabilities, axis=1)
    is_right = taken == truth
    confidence = prediction.probabilities.max(axis=1)
    title = f"{name}: {100 * is_right.mean():.2f} % of {len(rows.x):,} test rows right"
    count = len(model.classes)
    if count <= MOST_CLASSES:
        confusion = np.bincount(truth * count + taken, minlength=count * count).reshape(count, count).astype(np.int64)
        pictures.drawn["confusion.png"] = lambda: plots.draw_confusion(confusion, model.classes, title)
    else:
        pictures.left_out["confusion.png"] = f"a matrix of {count:,} classes could not be read"
    pictures.drawn["calibration.png"] = lambda: plots.draw_calibration(confidence, is_right, title)
    if len(model.input_shape) != 2:
        pictures.left_out.update(dict.fromkeys(("gallery.png", "mistakes.png"), "the samples are no grey images"))
        return title
    images = rows.x.reshape(-1, *model.input_shape)
    pictures.drawn["gallery.png"] = lambda: plots.draw_gallery(
        images, np.asarray(rows.labels), prediction.labels, confidence, title
    )
    if is_right.all():
        pictures.left_out["mistakes.png"] = "there are no mistakes"
    else:
        pictures.drawn["mistakes.png"] = lambda: plots.draw_mistakes(
            images, truth, prediction.probabilities, model.classes, title
        )
    return title


def add_numbers(pictures: RunPictures, model: Model, rows: Split, name: str, backend: Backend | None) -> str:
    """Add what shows how near a regression comes, and return the pictures' title."""
    from sklearn.metrics import r2_score

    if len(model.output_names) != 1:
        pictures.left_out.update(dict.fromkeys(PICTURES[6:], "several numbers are predicted at once"))
        return name
    predicted = predict(model, rows.x, backend).labels.astype(np.float64)
    truth = rows.labels.astype(np.float64)
    target = model.output_names[0]
    score = f"R² {r2_score(truth, predicted):.4f} on " if len(truth) > 1 else ""
    title = f"{name}: {score}{len(truth):,} test row{'s' if len(truth) > 1 else ''}"
    pictures.drawn["predicted.png"] = lambda: plots.draw_predicted(truth, predicted, target, title)
    pictures.drawn["residuals.png"] = lambda: plots.draw_residuals(truth, predicted, target, title)
    return title


def add_weights(pictures: RunPictures, model: Model, title: str) -> None:
    """Add the first layer's weights as images, where the samples are images."""
    if len(model.input_shape) != 2:
        pictures.left_out["weights.png"] = "the samples are no grey images"
        return
    height, width = model.input_shape
    classes = model.classes if len(model.layers) == 1 else ()
    pictures.drawn["weights.png"] = lambda: plots.draw_weights(
        model.layers[0].weight, (height, width), title, classes=classes
    )
