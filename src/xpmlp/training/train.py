"""From a dataset and a recipe to a model."""

from collections.abc import Sequence
from typing import Any

import array_api_compat.numpy
import numpy as np

from xpmlp.backends import Backend, NumpyBackend, Samples
from xpmlp.datasets import Dataset, Split, one_hot
from xpmlp.image_form import ImageForm
from xpmlp.model import Model
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS, init_layers
from xpmlp.nn.losses import LOSSES

from .callbacks import Callback
from .fit import FitResult, fit
from .recipes import OPTIMIZERS, Recipe
from .schedules import SCHEDULES

CLASSIFICATION_LOSS = "softmax_cross_entropy"


def train(
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    backend: Backend | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[Model, FitResult]:
    """Train a classifier on a dataset, judging it on the test rows after every epoch.

    Parameters
    ----------
    recipe
        How; by default ``RECIPES["default"]``.
    backend
        Where; by default NumPy.

    Returns
    -------
    model
        The trained network, ready for `save_model`, `predict` and `report`.
    result
        Its history, and why it ended if that was before the last epoch.

    Raises
    ------
    DivergedError
        Where the learning rate is too high; see `fit`.
    """
    recipe = recipe or Recipe()
    result = fit_dataset(dataset, recipe, backend=backend, callbacks=callbacks)
    return make_model(dataset, recipe, result), result


def fit_dataset(
    dataset: Dataset, recipe: Recipe, *, backend: Backend | None = None, callbacks: Sequence[Callback] = ()
) -> FitResult:
    """Train as `train` does, and return what `fit` returns."""
    generator = np.random.default_rng(recipe.seed)
    # Drawn in NumPy whatever the backend: one seed is one network everywhere.
    layers = init_layers(
        array_api_compat.numpy,
        generator,
        (dataset.train.x.shape[1], *recipe.hidden_layer_sizes, len(dataset.classes)),
        INITIALIZERS[recipe.initializer](),
        dtype=getattr(np, recipe.dtype),
    )
    return fit(
        make_samples(dataset.train, dataset.classes),
        layers=layers,
        activation=ACTIVATIONS[recipe.activation],
        loss=LOSSES[CLASSIFICATION_LOSS],
        optimizer=OPTIMIZERS[recipe.optimizer](),
        schedule=SCHEDULES[recipe.schedule](float(recipe.learning_rate)),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        generator=generator,
        penalty=float(recipe.penalty) or None,
        validation=make_samples(dataset.test, dataset.classes),
        backend=backend or NumpyBackend(),
        callbacks=callbacks,
    )


def make_samples(split: Split, classes: tuple[int | str, ...]) -> Samples:
    """Return rows with their labels one-hot."""
    return Samples(split.x, one_hot(split.labels, classes))


def make_model(dataset: Dataset, recipe: Recipe, result: FitResult) -> Model:
    """Put a trained network together with what the dataset knows of its inputs and classes."""
    form = ImageForm.measure(dataset.train.x, dataset.input_shape) if len(dataset.input_shape) == 2 else None
    training: dict[str, Any] = {
        "data": dataset.name,
        "source": dataset.source,
        "recipe": recipe.to_json(),
        "epochs": len(result.history),
    }
    return Model(
        layers=result.layers,
        activation=recipe.activation,
        loss=CLASSIFICATION_LOSS,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
        input_scale=dataset.input_scale,
        image_form=form,
        training=training,
    )
