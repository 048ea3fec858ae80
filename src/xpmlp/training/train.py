"""From a dataset and a recipe to a trained model."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpmlp.backends import Backend, NumpyBackend, load_backend
from xpmlp.datasets import ByteSplit, Dataset, Split, one_hot
from xpmlp.model.image_preprocessor import ImagePreprocessor, measured_rows
from xpmlp.model.model import Model
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS, init_layers
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.samples import Samples

from .checkpoint import Checkpoint
from .fit import fit
from .recipes import OPTIMIZERS, RECIPES, Recipe, table_recipe
from .run import Callback, FitResult
from .schedules import SCHEDULES

CLASSIFICATION_LOSS = "softmax_cross_entropy"
REGRESSION_LOSS = "squared_error"
LARGER_THAN_CACHES = 2**25  # bytes of inputs in float32: fewer are gathered as quickly


def train(
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    backend: Backend | str | None = None,
    callbacks: Sequence[Callback] = (),
    threads: int | None = None,
) -> tuple[Model, FitResult]:
    """Train a network on a dataset, evaluating it on the test rows after every epoch.

    A regression is trained on targets standardised with the training rows' mean and standard deviation, and the
    history's losses refer to these; the model returned predicts in the target's own units.

    Parameters
    ----------
    recipe
        The settings; `default_recipe` by default.
    backend
        Where to train: a backend, or its name as for `load_backend`; NumPy by default.
    threads
        Number of threads of the matrix products; see `fit`.

    Returns
    -------
    model
        The trained network, ready for `save_model`, `predict` and `evaluate`.
    result
        Its history, and why it ended if that was before the last epoch.

    Raises
    ------
    DivergedError
        If the learning rate is too high; see `fit`.
    """
    recipe = recipe or default_recipe(dataset)
    result = fit_dataset(dataset, recipe, backend=backend, callbacks=callbacks, threads=threads)
    return make_model(dataset, recipe, result), result


def default_recipe(dataset: Dataset) -> Recipe:
    """Return the default recipe for a dataset: `table_recipe` for tables, else ``RECIPES["default"]``."""
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
    threads: int | None = None,
) -> FitResult:
    """Train as `train` does, and return the result of `fit`; resume from a checkpoint if one is given."""
    backend = load_backend(backend) if isinstance(backend, str) else backend or NumpyBackend()
    generator = np.random.default_rng(recipe.seed)
    # Drawn in NumPy on every backend, so that one seed gives one network everywhere.
    layers = init_layers(
        np,
        generator,
        (math.prod(dataset.input_shape), *recipe.hidden_layer_sizes, len(dataset.classes) or 1),
        INITIALIZERS[recipe.initializer](),
        dtype=getattr(np, recipe.dtype),
    )
    center, spread = target_scale(dataset)
    as_bytes = backend.gathers_bytes and recipe.dtype == "float32"
    return fit(
        make_samples(dataset.train, dataset.classes, center, spread, as_bytes=as_bytes),
        layers=layers,
        activation=ACTIVATIONS[recipe.activation],
        loss=LOSSES[loss_name(dataset)],
        optimizer=OPTIMIZERS[recipe.optimizer](),
        schedule=SCHEDULES[recipe.schedule](recipe.learning_rate),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        generator=generator,
        l2=recipe.penalty or None,
        validation=make_samples(dataset.test, dataset.classes, center, spread),
        backend=backend,
        callbacks=callbacks,
        checkpoint=checkpoint,
        threads=threads,
    )


def make_samples(
    split: Split, classes: tuple[int | str, ...], center: float = 0.0, spread: float = 1.0, *, as_bytes: bool = False
) -> Samples:
    """Return rows with one-hot targets; without classes with targets ``(number − center) / spread``.

    Parameters
    ----------
    as_bytes
        Whether to leave many inputs that are stored as bytes as they are.
    """
    if classes:
        targets: Any = one_hot(split.labels, classes)
    else:
        targets = ((split.labels[:, None] - center) / spread).astype(np.float64)
    if as_bytes and isinstance(split, ByteSplit) and 4 * split.stored.size > LARGER_THAN_CACHES:
        return Samples(split.stored, targets, divisor=split.divisor)
    return Samples(split.x, targets)


def loss_name(dataset: Dataset) -> str:
    """Return the name of the loss for a dataset's task."""
    return CLASSIFICATION_LOSS if dataset.classes else REGRESSION_LOSS


def target_scale(dataset: Dataset) -> tuple[float, float]:
    """Return mean and standard deviation of the training targets; 0 and 1 for classification."""
    if dataset.classes:
        return 0.0, 1.0
    spread = float(np.std(dataset.train.labels))
    return float(np.mean(dataset.train.labels)), spread if spread > 0.0 else 1.0


def in_own_units(layers: Layers, center: float, spread: float) -> Layers:
    """Return the network with outputs ``center + spread × output``: its last layer is scaled."""
    *hidden, last = layers
    weight = last.weight.astype(np.float64) * spread
    bias = last.bias.astype(np.float64) * spread + center
    return (*hidden, Layer(weight.astype(last.weight.dtype), bias.astype(last.bias.dtype)))


def make_model(dataset: Dataset, recipe: Recipe, result: FitResult) -> Model:
    """Return a model: the trained network with what the dataset says of its inputs and classes."""
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
