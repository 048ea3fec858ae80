"""``xpmlp train --folds``: the scores of networks that are each trained without a part of the training rows."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from xpmlp.datasets import Dataset
from xpmlp.datasets.splitting import VALIDATION_FRACTION
from xpmlp.errors import XpmlpError
from xpmlp.training import DivergedError, Recipe
from xpmlp.training.cross_validation import cross_validate, describe_scores, split_folds
from xpmlp.training.train import class_weights

from .options import named_as_options


def check_choices(dataset: Dataset, values: Mapping[str, Any]) -> None:
    """Refuse, before any training, folds and weights that the dataset cannot have."""
    with named_as_options("folds", "class_weight"):
        if values["folds"] is not None:
            next(split_folds(dataset, values["folds"]))
        if values["class_weight"] == "balanced":
            class_weights(dataset)


def score_folds(
    console: Console, dataset: Dataset, settings: Recipe, values: Mapping[str, Any], **options: Any
) -> list[float]:
    """Cross-validate as a command asks for, printing the score of each fold and their mean; none without folds.

    Ctrl-C ends it, and so does a network that diverges; the scores so far are returned.
    """
    count, scores = values["folds"], list[float]()
    if count is None:
        return scores
    fraction = values["validation_fraction"] or (None if values["patience"] is None else VALIDATION_FRACTION)
    found = cross_validate(
        dataset, settings, count, validation_fraction=fraction, patience=values["patience"], **options
    )
    is_classifier = bool(dataset.classes)
    try:
        for score in found:
            scores.append(score)
            shown = f"accuracy {100 * score:.2f} %" if is_classifier else f"R² {score:.4f}"
            console.print(f"fold {len(scores)}/{count}: {shown}")
    except (DivergedError, KeyboardInterrupt) as error:
        reason = str(error) if isinstance(error, XpmlpError) else "interrupted"
        console.print(f"fold {len(scores) + 1}/{count}: {reason}", style="yellow")
    if scores:
        summary = describe_scores(scores, is_classifier=is_classifier)
        console.print(f"cross-validation, {len(scores)} folds of the training rows: {summary}", style="bold")
    return scores
