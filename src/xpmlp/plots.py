"""Pictures of a run and of what a model recognises, as PNG files in memory."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64, Shaped

from .optional_imports import import_optional

# Okabe and Ito's colors, which people with any kind of color vision tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#555555"
COUNTS_SHOWN_UP_TO = 30  # classes; beyond, the numbers in a confusion matrix are too small to read


@runtime_checkable
class Epoch(Protocol):
    """What is drawn of an epoch; a row of a history is one."""

    @property
    def epoch(self) -> int:
        """Its number, from 1."""

    @property
    def train_loss(self) -> float:
        """Mean objective of its batches."""

    @property
    def test_loss(self) -> float | None:
        """Loss on the test rows after it."""

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy there."""


@contextmanager
def house_style() -> Iterator[None]:
    """Draw alike everywhere: whatever style the user has set for other work, and whatever a name is made of."""
    style = import_optional("matplotlib.style", extra="cli", purpose="Drawing pictures")
    # A name is no formula: "$" in it means "$".
    with style.context(["default", {"text.parse_math": False}]), warnings.catch_warnings():
        # What the font lacks is drawn as an empty box.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of that many inches, without touching matplotlib's global state."""
    return import_optional("matplotlib.figure", extra="cli", purpose="Drawing pictures").Figure(
        figsize=(width, height), dpi=120, layout="constrained"
    )


def to_png(figure: Any) -> bytes:
    """Render a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def wrapped(title: str, width: float) -> str:
    """Return a title in as many lines as it takes in a figure of that many inches."""
    return textwrap.fill(title, max(20, int(7.5 * width)))


def shortened(text: str, length: int) -> str:
    """Return a class's name, or its beginning where it is longer than that many characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


@house_style()
def draw_curves(history: Sequence[Epoch], title: str) -> bytes:
    """Draw loss and accuracy by epoch, side by side; the loss alone where there were no test rows.

    Parameters
    ----------
    history
        At least one epoch.
    """
    accuracies = [100.0 * row.test_accuracy for row in history if row.test_accuracy is not None]
    width = 9.6 if accuracies else 5.6
    figure = new_figure(width, 4.0)
    figure.suptitle(wrapped(title, width))
    loss_axes, *others = figure.subplots(1, 2 if accuracies else 1, squeeze=False)[0]
    epochs = [row.epoch for row in history]
    marker = "o" if len(epochs) <= 30 else None
    train_losses = [row.train_loss for row in history]
    test_losses = [row.test_loss for row in history if row.test_loss is not None]
    loss_axes.plot(epochs, train_losses, color=ORANGE, marker=marker, ms=4, ls="--", label="train")
    if test_losses:
        loss_axes.plot(epochs, test_losses, color=BLUE, marker=marker, ms=4, label="test")
    loss_axes.set(ylabel="loss", ylim=(0, 1.05 * max(*train_losses, *test_losses) or 1.0))
    loss_axes.legend(frameon=False)
    for accuracy_axes in others:
        accuracy_axes.plot(epochs, accuracies, color=BLUE, marker=marker, ms=4)
        accuracy_axes.axhline(accuracies[-1], color=GREY, lw=0.8, ls=":")
        accuracy_axes.set_title(f"{accuracies[-1]:.2f} % at the end", loc="right", fontsize="medium", color=GREY)
        low, high = accuracy_axes.get_ylim()
        # No axis goes beyond what an accuracy can be, but for half a marker.
        low, high = max(low, -1.0), min(high, 100.0 + 0.02 * (100.0 - low))
        accuracy_axes.set(ylabel="test accuracy (%)", ylim=(low, high))
    for axes in (loss_axes, *others):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


@house_style()
def draw_gallery(
    images: Float[np.ndarray, "rows height width"],
    labels: Shaped[np.ndarray, " rows"],
    predicted: Shaped[np.ndarray, " rows"],
    probabilities: Float[np.ndarray, " rows"],
    title: str,
    *,
    columns: int = 8,
    rows_of_first: int = 3,
    rows_of_mistakes: int = 2,
) -> bytes:
    """Draw test images with what they were taken for: the first ones, then the surest mistakes.

    Parameters
    ----------
    labels, predicted
        The true class of each image and the one that it was taken for.
    probabilities
        Of the predicted class.
    """
    wrong = np.flatnonzero(labels != predicted)
    worst = wrong[np.argsort(-probabilities[wrong], kind="stable")][: columns * rows_of_mistakes]
    first = np.arange(min(columns * rows_of_first, len(images)))
    which = f"The first {len(first)} test images" if len(first) > 1 else "The first test image"
    sections = [(f"{which}: what each was taken for, and how surely", first)]
    if len(worst):
        part = f"The {len(worst)} surest of all {len(wrong):,}" if len(worst) < len(wrong) else f"All {len(wrong)}"
        part = "The only mistake" if len(wrong) == 1 else f"{part} mistakes"
        sections.append((f"{part} in {len(images):,} test images", worst))
    numbers = [-(-len(shown) // columns) for _, shown in sections]

    # Names that do not fit beside each other over an image of 1.25 inches go below each other.
    longest = max(len(str(name)) for name in {*labels.tolist(), *predicted.tolist()})
    is_long = 2 * longest + 5 > 16
    of_images = min(max(1.25 * images.shape[1] / images.shape[2], 0.2), 1.25)
    heights = [number * (of_images + 0.37) for number in numbers]
    if is_long and len(worst):
        heights[1] += 0.16 * numbers[1]
    width = 1.25 * columns
    figure = new_figure(width, sum(heights) + 0.4 * len(sections) + 0.4)
    figure.suptitle(wrapped(title, width))
    subfigures = np.atleast_1d(figure.subfigures(len(sections), 1, height_ratios=[height + 0.4 for height in heights]))
    for subfigure, (heading, shown), number in zip(subfigures, sections, numbers, strict=True):
        subfigure.suptitle(heading, fontsize="medium", color=GREY)
        for axes in subfigure.subplots(number, columns, squeeze=False).flat:
            axes.axis("off")
        for axes, index in zip(subfigure.axes, shown, strict=False):
            is_right = labels[index] == predicted[index]
            axes.axis("on")
            axes.set(xticks=[], yticks=[])
            axes.imshow(images[index], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
            color = GREY if is_right else ORANGE
            axes.spines[:].set(color=color, linewidth=0.8 if is_right else 3.0)
            # The words, not only the color, mark a mistake.
            text = shortened(str(predicted[index]), 15)
            if not is_right:
                text += f"\nis {shortened(str(labels[index]), 12)}" if is_long else f", is {labels[index]}"
            axes.set_title(
                text, fontsize="small" if is_long else "medium", color="black" if is_right else ORANGE, pad=4
            )
            axes.set_xlabel(f"{100 * probabilities[index]:.1f} %", fontsize="small", color=GREY, labelpad=2)
    return to_png(figure)


@house_style()
def draw_confusion(confusion: Int64[np.ndarray, "classes classes"], classes: Sequence[int | str], title: str) -> bytes:
    """Draw how many rows of each true class (down) were taken for which (across), shaded by the part of its class."""
    count = len(classes)
    names = [shortened(str(name), 24) for name in classes]
    side = min(max(3.4, 0.46 * count), 14.2)
    # A character is about 0.085 inches wide. Names that are wider than a cell stand upright below it.
    for_names = 0.085 * max(map(len, names))
    is_upright = for_names > 0.9 * side / count
    width = 1.06 * side + 1.6 + for_names
    figure = new_figure(width, side + 1.2 + (for_names if is_upright else 0.0))
    # Of matplotlib's layouts, this one knows of axes of a fixed proportion; the other cuts labels off beside them.
    figure.set_layout_engine("compressed")
    figure.suptitle(wrapped(title, width))
    axes = figure.subplots()
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # The square root lifts the few mistakes out of the white that they would vanish in beside the diagonal.
    normalise = import_optional("matplotlib.colors", extra="cli", purpose="Drawing pictures").PowerNorm(0.5, 0.0, 1.0)
    image = axes.imshow(share, cmap="Blues", norm=normalise)
    figure.colorbar(image, ax=axes, label="part of the true class", fraction=0.05, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    axes.set_xticks(range(count), names, rotation=90 if is_upright else 0)
    axes.set_yticks(range(count), names)
    axes.set(xlabel="taken for", ylabel="true class")
    if count <= COUNTS_SHOWN_UP_TO:
        for row, column in np.argwhere(confusion > 0):
            axes.text(
                column,
                row,
                f"{confusion[row, column]}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if share[row, column] > 0.3 else "black",
            )
    return to_png(figure)
