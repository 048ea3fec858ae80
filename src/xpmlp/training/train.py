"""From a dataset and a recipe to a model."""

import math
from collections.abc import Sequence
from typing import Any

import array_api_compat.numpy
import numpy as np

from xpmlp.backends import Backend, NumpyBackend, load_backend
from xpmlp.datasets import Dataset
from xpmlp.model.image_preprocessor import ImagePreprocessor, measured_rows
from xpmlp.model.model import Model
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS, init_layers
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import LOSSES

from .callbacks import Callback
from .checkpoint import Checkpoint
from .fit import FitResult, fit
from .recipes import OPTIMIZERS, RECIPES, Recipe, table_recipe
from .schedules import SCHEDULES
from .split_samples import make_samples

CLASSIFICATION_LOSS = "softmax_cross_entropy"
REGRESSION_LOSS = "squared_error"


def train(
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    backend: Backend | str | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[Model, FitResult]:
    """Train a network on a dataset, judging it on the test rows after every epoch.

    For regression it learns the target with mean 0 and standard deviation 1 on the training rows, and the history's
    losses are of that; the model that is returned answers in the target's own units.

    Parameters
    ----------
    recipe
        How; by default what `default_recipe` gives.
    backend
        Where: a backend, or a name of one as `load_backend` takes it; by default NumPy.

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
    recipe = recipe or default_recipe(dataset)
    result = fit_dataset(dataset, recipe, backend=backend, callbacks=callbacks)
    return make_model(dataset, recipe, result), result


def default_recipe(dataset: Dataset) -> Recipe:
    """Return how to train on a dataset where nothing is said: ``RECIPES["default"]``, for tables `table_recipe`."""
    if dataset.table_schema is None or len(dataset.input_shape) == 2:
        return RECIPES["default"]
    return table_recipe(dataset.train.rows)


def fit_dataset(
    dataset: Dataset,
    recipe: Recipe,
    *,
    backend: Backend | str | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Train as `train` does, and return what `fit` returns; from a checkpoint of such a run, if one is given."""
    backend = load_backend(backend) if isinstance(backend, str) else backend or NumpyBackend()
    generator = np.random.default_rng(recipe.seed)
    # Drawn in NumPy whatever the backend: one seed is one network everywhere.
    layers = init_layers(
        array_api_compat.numpy,
        generator,
        (math.prod(dataset.input_shape), *recipe.hidden_layer_sizes, len(dataset.classes) or 1),
        INITIALIZERS[recipe.initializer](),
        dtype=getattr(np, recipe.dtype),
    )
    center, spread = target_scale(dataset)
    return fit(
        make_samples(
            dataset.train, dataset.classes, center, spread, as_bytes=backend.gathers_bytes and recipe.dtype == "float32"
        ),
        layers=layers,
        activation=ACTIVATIONS[recipe.activation],
        loss=LOSSES[loss_name(dataset)],
        optimizer=OPTIMIZERS[recipe.optimizer](),
        schedule=SCHEDULES[recipe.schedule](float(recipe.learning_rate)),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        generator=generator,
        penalty=float(recipe.penalty) or None,
        validation=make_samples(dataset.test, dataset.classes, center, spread),
        backend=backend,
        callbacks=callbacks,
        checkpoint=checkpoint,
    )


def loss_name(dataset: Dataset) -> str:
    """Return the name of the loss that suits what is to be learned."""
    return CLASSIFICATION_LOSS if dataset.classes else REGRESSION_LOSS


def target_scale(dataset: Dataset) -> tuple[float, float]:
    """Return mean and standard deviation of the training rows' numbers; 0 and 1 where there are classes."""
    if dataset.classes:
        return 0.0, 1.0
    spread = float(np.std(dataset.train.labels))
    return float(np.mean(dataset.train.labels)), spread if spread > 0.0 else 1.0


def in_own_units(layers: Layers, center: float, spread: float) -> Layers:
    """Return the network whose outputs are ``center + spread × output``: the same one, but for its last layer."""
    *hidden, last = layers
    weight = last.weight.astype(np.float64) * spread
    bias = last.bias.astype(np.float64) * spread + center
    return (*hidden, Layer(weight.astype(last.weight.dtype), bias.astype(last.bias.dtype)))


def make_model(dataset: Dataset, recipe: Recipe, result: FitResult) -> Model:
    """Put a trained network together with what the dataset knows of its inputs and classes."""
    form = None
    if len(dataset.input_shape) == 2:
        measured = dataset.train.take(measured_rows(dataset.train.rows))
        form = ImagePreprocessor.measure(measured.x, dataset.input_shape)
    training: dict[str, Any] = {
        "data": dataset.name,
        "source": dataset.source,
        "recipe": recipe.to_json(),
        "epochs": len(result.history),
        "kept_epoch": result.kept_epoch,
    }
    if dataset.provenance is not None:
        training["provenance"] = dataset.provenance.to_json()
    if dataset.split is not None:
        training["split"] = dataset.split
    target = "prediction" if dataset.table_schema is None else dataset.table_schema.target
    return Model(
        layers=result.layers if dataset.classes else in_own_units(result.layers, *target_scale(dataset)),
        activation=recipe.activation,
        loss=loss_name(dataset),
        classes=dataset.classes,
        input_shape=dataset.input_shape,
        input_scale=dataset.input_scale,
        image_preprocessor=form,
        training=training,
        output_names=() if dataset.classes else (target or "prediction",),
        table_schema=dataset.table_schema,
    )
